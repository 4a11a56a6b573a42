"""Leans in words, and the line that tells pixels from shares, beside SciPy's regression."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import linregress

from landmint.pipeline.leaning import lean_line, leaning_lines, significant_line

Floats = NDArray[np.float64]
SIDES = np.exp(np.random.default_rng(0).uniform(np.log(60), np.log(600), 300))
PERSONS = [f"p{i}" for i in range(300)]


def _noise(deviation: float, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(0, deviation, 300)


def test_the_line_and_its_error_are_those_of_a_regression() -> None:
    lean = 0.5 + 0.01 * SIDES + _noise(0.4)
    line, other = lean_line(lean, SIDES, PERSONS), linregress(SIDES, lean)
    assert (line.pixels, line.share) == pytest.approx((other.intercept, other.slope))
    reaches = 1.968 * np.array([other.intercept_stderr, other.stderr])  # Student's t for 299
    assert (line.pixels_reach, line.share_reach) == pytest.approx(reaches, rel=0.15)


def test_faces_of_one_person_count_as_one() -> None:
    person = np.repeat(np.random.default_rng(2).normal(0, 0.4, 30), 10)
    lean, persons = 0.5 + person, [f"p{i // 10}" for i in range(300)]
    apart = lean_line(lean, SIDES, PERSONS)
    assert lean_line(lean, SIDES, persons).pixels_reach > 1.5 * apart.pixels_reach


@pytest.mark.parametrize(
    ("lean", "pixels", "share"),
    [
        (0.5 + 0.01 * SIDES, 0.5, 0.01),
        (0.5 + 0.0 * SIDES, 0.5, 0.0),
        (0.01 * SIDES, 0.0, 0.01),
    ],
)
def test_only_the_parts_that_are_told_are_named(lean: Floats, pixels: float, share: float) -> None:
    line = significant_line(lean + _noise(0.1), SIDES, PERSONS)
    assert (line.pixels == 0, line.share == 0) == (pixels == 0, share == 0)
    assert (line.pixels, line.share) == pytest.approx((pixels, share), abs=0.06)


def test_faces_of_one_size_cannot_tell() -> None:
    sides = 100 + _noise(1)
    line = lean_line(0.02 * sides + _noise(0.01), sides, PERSONS)
    assert line.pixels == 0 and line.share == pytest.approx(0.02, rel=1e-2)
    assert np.isinf(line.pixels_reach)
    (right, _) = leaning_lines(
        np.stack([0.02 * sides + _noise(0.01), 0 * sides], 1), sides, PERSONS
    )
    assert "too much of a size" in right


def _said(right: Floats, down: Floats, persons: Sequence[str] = PERSONS) -> str:
    lean = np.stack([right + _noise(0.3), down + _noise(0.3, 3)], axis=1)
    return "\n".join(leaning_lines(lean, SIDES, persons))


def test_what_is_said() -> None:
    nothing = _said(0 * SIDES, 0 * SIDES)
    assert "lean to neither side" in nothing and "neither up nor down" in nothing
    both = _said(-0.6 - 0.01 * SIDES, 0.9 + 0 * SIDES)
    assert "to the left of what the model sees both ways round (300 faces)" in both
    assert "px of it are the same for all faces" in both and "grow with the face" in both
    assert "label_offset = { pixels = [-0.6" in both
    assert "below what the model sees" in both and "px for faces of all sizes" in both
    assert both.count("label_offset") == 1, "what leans down cannot be told, so nothing is advised"
    assert "not enough persons" in _said(0 * SIDES, 0 * SIDES, ["a", "b"] * 150)
