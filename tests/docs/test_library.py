"""The examples of `landmint.api` run as they stand in its docstrings."""

import doctest
import inspect
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from landmint import api

LayOut = Callable[[Path, set[str]], None]
SLOW = {"adapt", "distill", "export", "lint", "measure", "quantize", "report", "run", "train"}
"""Their examples train, convert or measure."""


def _functions() -> dict[str, Callable[..., object]]:
    """Everything that is called, by its name in the library."""
    named = {name: getattr(api, name) for name in api.__all__}
    functions = {name: value for name, value in named.items() if inspect.isfunction(value)}
    return {**functions, "Model.predict": api.Model.predict}


def _cases() -> list[object]:
    marks = {name: [pytest.mark.slow] if name in SLOW else [] for name in _functions()}
    return [pytest.param(name, marks=marks[name]) for name in sorted(marks)]


@pytest.mark.parametrize("name", _cases())
def test_the_example_of_a_function_runs(
    name: str, tmp_path: Path, lay_out: LayOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, set())
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(_functions()[name]) or ""
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert example.examples, f"{name} has no example"
    lines: list[str] = []
    result = doctest.DocTestRunner().run(example, out=lines.append)
    assert result.failed == 0, "".join(lines)


def test_what_is_called_says_what_comes_in_out_and_amiss() -> None:
    for name, function in _functions().items():
        text = inspect.getdoc(function) or ""
        assert "Example:" in text, name
        assert not inspect.signature(function).parameters or "Args:" in text, name


def test_a_box_outside_the_image_is_refused(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, set())
    model = api.load(tmp_path / "bundle")
    with pytest.raises(api.LandmintError, match="lies outside"):
        model.predict(tmp_path / "photo.jpg", (1000, 1000, 10, 10))


def test_a_call_changes_nothing_of_the_process(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, set())
    before = dict(os.environ)
    api.load(tmp_path / "bundle").predict(tmp_path / "photo.jpg", (60, 60, 130, 130))
    assert dict(os.environ) == before
