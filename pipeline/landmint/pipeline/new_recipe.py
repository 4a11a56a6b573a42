"""A recipe of one's own from one that comes along: its network and schedule, the user's faces.

The text is composed, not dumped, so that what the shipped recipe explains is kept.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.shipped_recipes import shipped_recipes
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path
from landmint.train.faces.readers import SPLITS, FacesConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TABLE = re.compile(r"^(?:#.*\n)*\[\s*(\w+).*\n", re.MULTILINE)
_LEFT_OUT = "source", "faces"
_BESIDE_RECIPES = re.compile(r'"(?:\.\./)+runs/')
_PERSONS = """\
# Who it is, from the file's name, such as '^(.+)_\\d+$' for anna_01.jpg. Without it every image
# counts as a person of its own, and intervals are too narrow where persons have many images.
person_pattern = \"\""""


def write_new_recipe(name: str, like: str, faces: FacesConfig) -> Path:
    """Write NAME.toml into the working directory.

    Args:
        name: of the recipe and of its run.
        like: the shipped recipe whose networks, training and INT8 it takes over.
        faces: the user's data set.

    Returns:
        The file.

    Raises:
        LandmintError: the name cannot be one, the file exists or cannot be written, there is no
            such shipped recipe, or it does not fit the faces.
    """
    path = Path(f"{name}.toml")
    if not _NAME.fullmatch(name):
        raise LandmintError(
            f"'{name}' is no name for a recipe",
            reason="it names a file and a folder of runs: letters, digits, dots and dashes",
        )
    if path.exists():
        raise LandmintError(f"{path} exists", remedy="take another name, or remove it")
    text = recipe_text(name, like, faces)
    try:
        with atomic_path(path) as fresh:
            fresh.write_text(text, encoding="utf-8")
            load_recipe(fresh)
    except OSError as error:
        raise LandmintError(
            f"{path} cannot be written", reason=error.strerror or str(error)
        ) from None
    return path


def recipe_text(name: str, like: str, faces: FacesConfig) -> str:
    """The text of a recipe in the working directory.

    Raises:
        LandmintError: there is no such shipped recipe.
    """
    shipped = shipped_recipes()
    if like not in shipped:
        raise LandmintError(f"no recipe called '{like}' comes along", choices=shipped)
    base = shipped[like].read_text(encoding="utf-8")
    parts = [*_head(name, like, faces.root, base), _faces(faces), *_kept_tables(base)]
    # Runs lie beside the folder of the shipped recipes, and beside this file.
    return _BESIDE_RECIPES.sub('"runs/', "\n\n".join(part.strip() for part in parts) + "\n")


def _head(name: str, like: str, root: Path, base: str) -> Iterator[str]:
    faces = shlex.quote(str(root))
    yield (
        f"# Made by: landmint new-recipe {name} --like {like} --faces {faces}\n"
        "# Every key: docs/recipe-reference.md\n#\n"
        f"#     landmint data check --recipe {name}.toml\n"
        f"#     landmint run {name}.toml"
    )
    about = f"about = {_toml(f'Like {like}, on the faces in {root}.')}"
    teachers = tomllib.loads(base).get("teachers")
    yield about + (f"\nteachers = {_toml(teachers)}" if teachers else "")


def _faces(config: FacesConfig) -> str:
    lines = [
        "[faces]",
        f"kind = {_toml(config.kind)}",
        f"root = {_toml(str(config.root))} # or --faces ROOT",
        f"markup = {_toml(config.markup)}",
    ]
    lines += [f"images = {_toml(config.images)}"] if config.images else []
    for split in SPLITS:
        if config.limits.get(split):
            lines.append(
                "# There are no validation faces: these train too, and show the curve alone."
            )
        lines.append(f"{split} = {_toml(list(config.names_of(split)))}")
    if config.limits:
        limits = ", ".join(f"{split} = {limit}" for split, limit in config.limits.items())
        lines.append(f"limits = {{ {limits} }}")
    return "\n".join([*lines, _PERSONS])


def _kept_tables(base: str) -> Iterator[str]:
    """The tables of a recipe but those of its faces and of where it comes from, with comments."""
    tables = list(_TABLE.finditer(base))
    ends = [table.start() for table in tables[1:]] + [len(base)]
    for table, end in zip(tables, ends, strict=True):
        if table[1] not in _LEFT_OUT:
            yield base[table.start() : end]


def _toml(value: object) -> str:
    """A text, or a list of texts, as TOML writes it."""
    return json.dumps(value, ensure_ascii=False)
