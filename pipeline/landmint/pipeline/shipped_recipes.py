"""The recipes that come with landmint, found by name as its models are.

They stand in recipes/ at the top of the repository. The link `recipes` beside this file leads
there; a wheel holds the files in its place. What stands in the folder is the list, but for
markups, whose names end in .markup.toml.
"""

import tomllib
from importlib import resources
from pathlib import Path

ZOO = "zoo"
"""Folder of the published systems, and the beginning of their names."""


def folder() -> Path:
    """Where the shipped recipes lie."""
    return Path(str(resources.files("landmint.pipeline") / "recipes")).resolve()


def shipped_recipes() -> dict[str, Path]:
    """The file of each shipped recipe by its name, such as demo or zoo/hourglass."""
    place = folder()
    return {
        path.relative_to(place).with_suffix("").as_posix(): path
        for path in sorted(place.rglob("*.toml"))
        if not path.name.endswith(".markup.toml")
    }


def published_systems() -> dict[str, Path]:
    """Those of `shipped_recipes` that are published systems, each with a [source]."""
    return {name: path for name, path in shipped_recipes().items() if name.startswith(f"{ZOO}/")}


def find_recipe(given: Path) -> Path:
    """The file of a shipped recipe for its name; every other path as it is.

    A shipped name means the shipped recipe even where a file has that name.
    """
    return shipped_recipes().get(given.as_posix(), given)


def about(recipe: Path) -> str:
    """What a shipped recipe says it is for."""
    return str(tomllib.loads(recipe.read_text(encoding="utf-8")).get("about", ""))
