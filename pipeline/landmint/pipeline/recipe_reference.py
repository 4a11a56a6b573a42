"""docs/recipe-reference.md: every table and key of a recipe, made from the models that check it.

`make reference` writes the page; a test compares it with what this file makes.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from landmint.pipeline.recipe import Recipe, models_in
from landmint.quantize.config import QuantizeConfig
from landmint.train.models.config import ModelConfig

_HEAD = """# Every key of a recipe

<!-- Written by `make reference` from the code. Change the docstrings there, not this page. -->

A recipe is one [TOML](https://toml.io) file. Only `[faces]` and `[student.model]` have to be
there; what is left out has the default below. An unknown key is refused, with its line and the
names that are close to it.

Relative paths start at the folder of the recipe. A *table* is a section of its own, further down
this page. A key whose default is *none* has no value until you give it one.
"""
_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Path: "path",
}
_DERIVED: Mapping[tuple[type[BaseModel], str], str] = {
    (Recipe, "name"): "the file's name",
    (ModelConfig, "markup"): "that of `[faces]`",
    (QuantizeConfig, "formats"): "those of `[export]`",
}
"""Defaults that `load_recipe` takes from elsewhere in the recipe."""
_BOUNDS = ((Ge, "ge", "at least"), (Gt, "gt", "above"), (Le, "le", "at most"), (Lt, "lt", "below"))


def recipe_reference() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *(_section(model, paths) for model, paths in _tables().items())])


def _tables() -> dict[type[BaseModel], list[str]]:
    """Each model of a recipe with the tables that it describes, the recipe itself first."""
    tables: dict[type[BaseModel], list[str]] = {}
    for model, path in _walk(Recipe, ""):
        tables.setdefault(model, []).append(path)
    return tables


def _walk(model: type[BaseModel], path: str) -> Iterator[tuple[type[BaseModel], str]]:
    yield model, path
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            yield from _walk(inner, f"{path}.{name}" if path else name)


def _section(model: type[BaseModel], paths: list[str]) -> str:
    title = ", ".join(f"`[{path}]`" for path in paths) if paths != [""] else "The top of the file"
    rows = [
        f"| `{name}` | {_type(field)} | {_DERIVED.get((model, name)) or _default(field)} "
        f"| {_cell(field.description or '')} |"
        for name, field in model.model_fields.items()
    ]
    head = ["| key | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {title}\n", f"{_text(model.__doc__ or '')}\n", *head, *rows, ""])


def _text(docstring: str) -> str:
    """A docstring as Markdown: its paragraphs, each on one line."""
    return "\n\n".join(" ".join(part.split()) for part in docstring.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _type(field: FieldInfo) -> str:
    if models_in(field.annotation):
        return "table"
    return _words(field.annotation, field.metadata)


def _words(annotation: Any, metadata: Any = ()) -> str:
    """A type in words, with its bounds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return " or ".join(_words(kind, metadata) for kind in arguments if kind is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(choice)}`" for choice in arguments)
    if origin is dict:
        return f"table of {_words(arguments[1])}"
    if origin is tuple:
        return _list_words(arguments)
    return ", ".join([_WORDS[annotation], *_bounds(metadata)])


def _list_words(kinds: tuple[Any, ...]) -> str:
    if kinds[-1] is Ellipsis:
        return f"list of {_words(kinds[0])}"
    return f"{len(kinds)} values: {_words(kinds[0])}"


def _bounds(metadata: Any) -> list[str]:
    return [
        f"{word} {getattr(bound, name):g}"
        for bound in metadata
        for kind, name, word in _BOUNDS
        if isinstance(bound, kind)
    ]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    default = field.get_default()
    if default is None:
        return "*none*"
    if isinstance(default, BaseModel):
        return ""
    return f"`{json.dumps(default, default=str)}`"


if __name__ == "__main__":
    page = Path("docs/recipe-reference.md")
    page.write_text(recipe_reference(), encoding="utf-8")
    print(f"{page} written")
