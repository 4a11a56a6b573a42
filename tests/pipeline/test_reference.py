"""The errors that the suite measures again: written, read, and tolerated for a reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline.reference import (
    TIES_POINTS,
    FormError,
    Measured,
    Reference,
    figures_of,
    read_reference,
    write_reference,
)
from landmint.runtime.errors import LandmintError
from landmint.runtime.machine import identify


def test_what_is_written_is_read(tmp_path: Path) -> None:
    figures = {"torch/float32": FormError(6.4873, 0.02), "onnx/int8": FormError(6.5356, 0.0373)}
    drawn = Measured("60 drawn faces", 60, "", figures)
    overflowing = {"onnx/int8": FormError(6.6, 0.0373)}
    test = Measured("2 faces", 2, "e" * 64, figures, overflowing)
    reference = Reference("a-recipe", "f" * 64, drawn, test)
    write_reference(tmp_path / "a.toml", reference)
    assert read_reference(tmp_path / "a.toml") == reference


def test_a_processor_on_which_int8_overflows_has_figures_of_its_own() -> None:
    float32, int8, overflowing = (FormError(nme, 0.02) for nme in (6.4, 6.5, 6.6))
    figures = {"onnx/float32": float32, "onnx/int8": int8}
    told = Measured("2 faces", 2, "", figures, {"onnx/int8": overflowing})
    for flags, wanted in ((("avx2",), overflowing), (("avx2", "avx512_vnni"), int8)):
        machine = replace(identify(), architecture="x86_64", flags=flags)
        assert told.figures_on(machine) == {"onnx/float32": float32, "onnx/int8": wanted}


def test_what_is_no_reference_is_refused(tmp_path: Path) -> None:
    for text in (None, "recipe = ", 'recipe = "a"', 'recipe = "a"\ndrawn = 1\ntest = 1'):
        if text is not None:
            (tmp_path / "a.toml").write_text(text, encoding="utf-8")
        with pytest.raises(LandmintError, match="is no reference of a shipped model"):
            read_reference(tmp_path / "a.toml")


def test_forms_in_float_are_allowed_a_tie_or_two() -> None:
    errors = np.full(60, 0.05)
    figures = figures_of({"torch/float32": errors, "onnx/float32": errors + 1e-7})
    assert figures == {name: FormError(5.0, TIES_POINTS) for name in figures}


def test_int8_is_allowed_another_draw_of_its_rounding() -> None:
    rng = np.random.default_rng(0)
    errors, noise = np.full(400, 0.05), 0.01
    told = figures_of({"torch/float32": errors, "onnx/int8": errors + rng.normal(0, noise, 400)})[
        "onnx/int8"
    ]
    # Three times the standard error of the difference between two means of 400 draws.
    assert told.tolerance_points == pytest.approx(100 * 3 * noise * np.sqrt(2 / 400), rel=0.1)
    again = [100 * (errors + rng.normal(0, noise, 400)).mean() for _ in range(50)]
    assert max(abs(nme - told.nme_percent) for nme in again) < told.tolerance_points
