"""The examples of `landmint.api` run as they stand in its docstrings."""

import doctest
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from landmint import api

LayOut = Callable[[Path, set[str]], None]
SLOW = {"adapt", "distill", "export", "gate", "measure", "quantize", "report", "run", "train"}
"""Their examples train, convert or measure."""


def _functions() -> dict[str, Callable[..., object]]:
    """Everything that is called, by its name in the library."""
    named = {name: getattr(api, name) for name in api.__all__}
    functions = {name: value for name, value in named.items() if inspect.isfunction(value)}
    return {**functions, "Model.predict": api.Model.predict}


def _cases() -> list[object]:
    marks = {name: [pytest.mark.slow] if name in SLOW else [] for name in _functions()}
    return [pytest.param(name, marks=marks[name]) for name in sorted(marks)]


def _state() -> dict[str, object]:
    """What a call must leave as it was."""
    return {
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "random numbers": torch.random.get_rng_state().tolist(),
        "numpy's random numbers": str(np.random.get_state()),
        "hooks": (sys.excepthook, sys.meta_path, sys.path),
        "telemetry": sys.modules.get("openvino_telemetry", "not imported"),
    }


@pytest.mark.parametrize("name", _cases())
@pytest.mark.usefixtures("short_gate")
def test_the_example_of_a_function_runs_and_changes_nothing_of_the_process(
    name: str,
    tmp_path: Path,
    lay_out: LayOut,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lay_out(tmp_path, set())
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(_functions()[name]) or ""
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert example.examples, f"{name} has no example"
    lines: list[str] = []
    before = _state()
    capfd.readouterr()
    result = doctest.DocTestRunner().run(example, out=lines.append)
    assert result.failed == 0, "".join(lines)
    assert capfd.readouterr().out == ""
    after = _state()
    assert {name for name, value in before.items() if after[name] != value} == set()


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


def test_progress_is_told_to_whoever_gives_one(
    tmp_path: Path, lay_out: LayOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Notes:
        def __init__(self) -> None:
            self.steps: list[str] = []

        def at(self, done: int, total: int, note: str = "") -> None:
            self.steps.append(f"{done}/{total}")

        def step(self, note: str) -> None:
            self.steps.append(note)

    lay_out(tmp_path, set())
    monkeypatch.chdir(tmp_path)
    notes = Notes()
    api.measure("bundle", "m", recipe="demo", variants=["torch/float32"], progress=notes)
    assert any("crops" in step for step in notes.steps)
