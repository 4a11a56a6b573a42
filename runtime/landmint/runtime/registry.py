"""Parts by name: landmint's own, and those that other installed packages add as entry points.

A package adds a student, say, by these lines of its pyproject.toml; nothing here is touched:

    [project.entry-points."landmint.students"]
    tinynet = "their_package.tinynet:TinyNet"

Nothing is imported before it is asked for.
"""

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from landmint.runtime.errors import LandmintError


class Registry(Mapping[str, str]):
    """Maps the name of each part to "module:attribute"."""

    def __init__(self, own: Mapping[str, str], *, kind: str, group: str) -> None:
        """Keep the names; nothing is imported yet.

        Args:
            own: "module:attribute" of landmint's own parts, by name.
            kind: what a part is, in messages, such as "engine".
            group: of the entry points by which packages add parts.
        """
        self.own = own
        self._kind, self._group = kind, group

    @cached_property
    def added(self) -> Mapping[str, tuple[EntryPoint, ...]]:
        """The entry points of installed packages by their names; more than one is a clash."""
        by_name: dict[str, tuple[EntryPoint, ...]] = {}
        for entry in sorted(entry_points(group=self._group), key=lambda e: (e.name, e.value)):
            by_name[entry.name] = (*by_name.get(entry.name, ()), entry)
        return by_name

    def __getitem__(self, name: str) -> str:
        """The part's "module:attribute"."""
        return self.own[name] if name in self.own else self.added[name][0].value

    def __iter__(self) -> Iterator[str]:
        """All names, landmint's own first."""
        yield from self.own
        yield from (name for name in self.added if name not in self.own)

    def __len__(self) -> int:
        """Number of names."""
        return len(self.own.keys() | self.added.keys())

    def load(self, name: str) -> Any:
        """Import the part called `name`.

        Raises:
            LandmintError: there is none, several packages offer one, or the package that offers it
                cannot be imported.
        """
        if name not in self:
            raise LandmintError(f"unknown {self._kind} '{name}'", choices=self)
        added = self.added.get(name, ())
        packages = ["landmint"] * (name in self.own) + [_package(entry) for entry in added]
        others = [other for other in self if other != name]
        if len(packages) > 1:
            raise LandmintError(
                f"{len(packages)} packages offer the {self._kind} '{name}'",
                reason=f"they are {' and '.join(packages)}; a name can mean one thing only",
                remedy=f"uninstall one of them, or use another {self._kind}",
                choices=others,
            )
        if not added:
            module, _, attribute = self.own[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        try:
            return added[0].load()
        except LandmintError:
            raise
        except Exception as error:  # whatever the code of others raises while it is imported
            raise LandmintError(
                f"the {self._kind} '{name}' of the package {packages[0]} cannot be loaded",
                reason=f"{added[0].value}: {type(error).__name__}: {error}",
                remedy=f"repair or uninstall that package, or use another {self._kind}",
                choices=others,
            ) from error

    def check(self, name: str) -> str:
        """The name itself, for a validator of settings; nothing is imported.

        Raises:
            ValueError: there is no such part.
        """
        if name not in self:
            raise ValueError(f"unknown {self._kind} '{name}'; choices: {', '.join(self)}")
        return name


def _package(entry: EntryPoint) -> str:
    """Name and version of the package that an entry point comes from."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "of an unknown name"
