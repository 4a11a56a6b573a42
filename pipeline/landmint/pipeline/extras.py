"""Which extra of landmint brings a library: what to install where an import fails.

The list of extras stands in pyproject.toml; an installed landmint carries it in its metadata.
"""

import functools
import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from landmint.runtime.errors import MissingLibraryError

_P = ParamSpec("_P")
_R = TypeVar("_R")

_DISTRIBUTIONS = {"cv2": "opencv-python-headless"}
"""Import names that are not the name of their distribution."""


def naming_extras(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function that says which extra to install where a library is missing that it imports."""

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise missing_library(error) or error from None

    return wrapped


def missing_library(error: ModuleNotFoundError) -> MissingLibraryError | None:
    """What to install where an import failed; None where no extra brings that library."""
    extra = extra_of(error.name or "")
    if not extra:
        return None
    return MissingLibraryError(
        f"{error.name} is not installed here: pip install 'landmint[{extra}]', "
        "or 'landmint[all]' for every verb"
    )


def extra_of(module: str) -> str:
    """The smallest extra whose libraries include a module; empty where none does.

    Args:
        module: its import name, such as `lightning.fabric`.
    """
    package = module.partition(".")[0]
    wanted = _normal(_DISTRIBUTIONS.get(package, package))
    holding = (names for names in _extras().items() if wanted in names[1])
    return min(holding, key=lambda names: len(names[1]), default=("", ()))[0]


def _extras() -> dict[str, list[str]]:
    """The distributions of each extra, those of the extras within it included."""
    extras = defaultdict(list)
    for requirement in _requirements():
        name, extra = re.match(r"[\w.-]+", requirement), re.search(r"extra == .(\w+)", requirement)
        if name and extra:
            extras[extra[1]].append(_normal(name[0]))
    return extras


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("landmint") or []
    except importlib.metadata.PackageNotFoundError:  # its folders are on the path, uninstalled
        return []


def _normal(name: str) -> str:
    """A distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
