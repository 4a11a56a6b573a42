"""Each rule draws the range that its definition says."""

import numpy as np
import pytest

from landmint.quantize.calibrators import CALIBRATORS, Seen, min_max, percentile, settle
from landmint.quantize.ranges import BINS, is_dead

EXTREMES = np.stack([np.arange(-10.0, 1.0), np.arange(20.0, 31.0)], axis=1)


def seen(extremes: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Seen:
    return Seen(extremes, np.empty(0))


def spread(*values: tuple[float, float]) -> Seen:
    """A tensor on [-1, 100] with so much mass at each of some values."""
    counts = np.zeros(BINS)
    for value, mass in values:
        counts[min(int((value + 1) / 101 * BINS), BINS - 1)] += mass
    return Seen(np.array([[-1.0, 100.0]]), counts)


def test_percentile_spans_a_share_of_the_faces_and_zero() -> None:
    assert min_max(seen(EXTREMES), 0.9) == (-10.0, 30.0)
    assert percentile(seen(EXTREMES), 1.0) == (-10.0, 30.0)
    assert percentile(seen(EXTREMES), 0.9) == (-9.0, 29.0)
    assert percentile(seen(EXTREMES + 100), 1.0) == (0.0, 130.0)
    assert percentile(seen(EXTREMES - 100), 1.0) == (-110.0, 0.0)


@pytest.mark.parametrize("name", ["mse", "entropy"])
def test_rare_outliers_are_cut_and_frequent_ones_kept(name: str) -> None:
    body = [(x, 1000 * np.exp(-((x / 8) ** 2) / 2)) for x in np.linspace(-1, 30, 3000)]
    far = [(x, 1000 * np.exp(-(((x - 90) / 3) ** 2) / 2)) for x in np.linspace(80, 99.9, 2000)]
    rule = CALIBRATORS[name]  # type: ignore[index]
    assert rule(spread(*body, (99.9, 0.01)), 0.9)[1] < 50
    assert rule(spread(*body, *far), 0.9)[1] > 90


@pytest.mark.parametrize("name", sorted(CALIBRATORS))
def test_a_dead_tensor_has_levels_all_the_same(name: str) -> None:
    dead = Seen(np.zeros((3, 2)), np.zeros(BINS))
    assert not is_dead(settle(dead, name, 0.9))  # type: ignore[arg-type]
