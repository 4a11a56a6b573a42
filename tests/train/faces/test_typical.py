"""Which shapes are strange."""

import numpy as np
import pytest
from numpy.typing import NDArray

from landmint.runtime.markup import get_markup
from landmint.train.faces.typical import strangeness

MARKUP = get_markup("68")


def shapes(count: int = 200) -> NDArray[np.float64]:
    """One symmetric shape, turned, moved, scaled, and varied along two modes."""
    rng = np.random.default_rng(0)
    half = rng.uniform(0, 100, (68, 2))
    base = half + half[list(MARKUP.flip)] * (-1, 1)
    modes = rng.normal(0, 3, (2, 68, 2))
    found = []
    for _ in range(count):
        shape = base + np.tensordot(rng.normal(0, 1, 2), modes, 1) + rng.normal(0, 1, (68, 2))
        angle, scale = rng.uniform(-0.5, 0.5), rng.uniform(0.3, 3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        found.append(scale * shape @ turn + rng.uniform(-500, 500, 2))
    return np.array(found)


def test_variation_that_is_usual_is_not_strange() -> None:
    far = strangeness(shapes())
    assert far.shape == (200, 68)
    assert np.median(far.max(axis=1)) == pytest.approx(1)
    assert far.max() < 2.5


def test_one_moved_landmark_is_named() -> None:
    points = shapes()
    points[7, 30] += 0.3 * np.ptp(points[7], axis=0)
    far = strangeness(points)
    assert far.argmax() == 7 * 68 + 30
    assert far[7, 30] > 3
    assert np.delete(far, 7, axis=0).max() < 2.5


def test_place_size_and_roll_do_not_matter() -> None:
    points = shapes()
    far = strangeness(points)
    points[5] = 7 * points[5] @ [[0, 1], [-1, 0]] - 3000
    # The median of turned shapes is not quite the turned median.
    np.testing.assert_allclose(strangeness(points), far, atol=0.1)


def test_copies_of_one_face_are_not_strange() -> None:
    points = np.repeat(shapes(1), 30, axis=0)
    assert strangeness(points).max() < 1 + 1e-9
