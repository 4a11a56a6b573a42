"""Broken recipes: refused with the line, by every verb that takes one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import Result

from landmint.pipeline.recipe import load_recipe
from landmint.runtime.errors import LandmintError

AskInVain = Callable[..., Result]

DIGITS = "9" * 5000
"""More digits than Python reads."""
HUGE = 10**400
"""A whole number that no float holds."""
DEEP = 100_000
"""Brackets within each other, more than a parser goes down."""


class TextCase(NamedTuple):
    """One broken recipe."""

    text: str
    said: str


def _recipe(faces: str = "", student: str = "", more: str = "") -> str:
    return (
        f'{more}\n[faces]\nkind = "300w"\n{faces}\n[student]\n[student.model]\n'
        f'name = "pipnet"\nbackbone = "mobilenetv3_large_100"\n{student}\n'
    )


RECIPES: Mapping[str, TextCase] = {
    "number of 5000 digits": TextCase(f"x = {DIGITS}", "r.toml: not valid TOML"),
    "seed of 5000 digits": TextCase(_recipe(student=f"input_size = {DIGITS}"), "not valid TOML"),
    "too deep": TextCase("x = " + "[" * DEEP, "r.toml: not valid TOML"),
    "markup is a list": TextCase("[faces]\nmarkup = []", "r.toml:2: faces.markup"),
    "markup is a list of lists": TextCase(_recipe("markup = [[[[]]]]"), "faces.markup"),
    "markup is a table": TextCase(_recipe("[faces.markup]"), "faces.markup"),
    "markup is a number": TextCase(_recipe("markup = 68"), "faces.markup"),
    "kind of faces is a list": TextCase("[faces]\nkind = [[]]", "r.toml:2: faces.kind"),
    "size is a list": TextCase(
        _recipe(student="input_size = [[[[]]]]"), "student.model.input_size"
    ),
    "size is infinite": TextCase(_recipe(student="input_size = inf"), "student.model.input_size"),
    "size of 400 digits": TextCase(
        _recipe(student=f"input_size = {HUGE}"), "student.model.input_size"
    ),
    "size is a date": TextCase(
        _recipe(student="input_size = 2020-01-01"), "student.model.input_size"
    ),
    "name of a model is a list": TextCase(
        _recipe().replace('"pipnet"', "[[]]"), "student.model.name"
    ),
    "models are a list": TextCase("[faces]\n[[student.model]]\nname = 1", "student.model"),
    "formats are lists": TextCase(_recipe() + "[export]\nformats = [[], {}]", "export.formats"),
    "formats of INT8 are a table": TextCase(
        _recipe() + "[quantize]\nformats = {a = 1}", "quantize.formats"
    ),
    "limits are a list": TextCase(
        _recipe() + "[gate]\ndrift_percent = [[1]]", "gate.drift_percent"
    ),
    "start is a list": TextCase(
        _recipe().replace("[student]", "[student]\nstart = [1]"), "student.start"
    ),
    "pattern is broken": TextCase(_recipe("person_pattern = '('"), "faces.person_pattern"),
    "pattern of a set in a set": TextCase(
        _recipe("person_pattern = '[[a]]'"), "faces.person_pattern"
    ),
    "faces are a number": TextCase("faces = 3", "r.toml:1: faces"),
    "self-training is a list": TextCase("self_training = [[]]\n" + _recipe(), "self_training"),
}
recipe_case = pytest.mark.parametrize("case", RECIPES.values(), ids=list(RECIPES))


@recipe_case
def test_a_recipe_is_read_or_refused_with_its_line(case: TextCase, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(case.text)
    with pytest.raises(LandmintError) as caught:
        load_recipe(path)
    assert case.said in caught.value.fact
    assert caught.value.remedy


@pytest.mark.parametrize(
    "words",
    [
        ("run", "RECIPE"),
        ("train", "RECIPE", "--out", "out"),
        ("distill", "RECIPE", "--teacher", "pipnet-mbv3", "--out", "out"),
        ("gate", ".", "--recipe", "RECIPE", "--out", "out"),
        ("data", "check", "--recipe", "RECIPE"),
    ],
    ids=lambda words: words[0],
)
@recipe_case
def test_a_verb_tells_of_its_recipe(
    case: TextCase, words: Sequence[str], tmp_path: Path, ask_in_vain: AskInVain
) -> None:
    (tmp_path / "r.toml").write_text(case.text)
    ask_in_vain(*(word.replace("RECIPE", "../r.toml") for word in words), said=case.said)
