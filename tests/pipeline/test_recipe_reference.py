"""The page of a recipe's keys: current, complete, in words."""

from pathlib import Path

from landmint.pipeline.recipe import Recipe
from landmint.pipeline.recipe_reference import _tables, recipe_reference

PAGE = Path(__file__).parents[2] / "docs/recipe-reference.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == recipe_reference(), "run `make reference`"


def test_every_table_has_a_heading() -> None:
    page = recipe_reference()
    for path in ("faces", "self_training.faces", "teacher.model", "student.fit", "gate"):
        assert f"`[{path}]`" in page


def test_every_key_has_a_meaning() -> None:
    tables = _tables()
    assert Recipe in tables
    missing = [
        f"{model.__name__}.{name}"
        for model in tables
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert not missing


def test_types_bounds_and_defaults_are_in_words() -> None:
    page = recipe_reference()
    assert "| `epochs` | integer, at least 1 | `60` |" in page
    assert "| `name` | text | the file's name |" in page
    assert '| `optimizer` | `"adamw"` or `"adam"` | `"adamw"` |' in page
    assert "| `limits` | table of integer, above 0 | `{}` |" in page
    assert "| `ranges` | path | *none* |" in page
