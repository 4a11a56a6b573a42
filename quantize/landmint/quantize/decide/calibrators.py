"""Which part of what a tensor holds gets levels: the rules to choose from.

A range that spans everything makes every level coarse; one that spans less saturates the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from landmint.quantize.config import Calibrator
from landmint.quantize.decide.ranges import (
    BINS,
    LEVELS,
    Doubles,
    Range,
    is_dead,
    nearest_levels,
    outermost,
    zero_point,
)

COUNTING: frozenset[Calibrator] = frozenset({"entropy", "mse"})
"""Calibrators that look at histograms."""

_DEAD: Range = (0.0, 1.0)
_SHRINKS = np.arange(128, BINS + 1, 32) / BINS  # 128 bins are the fewest that Migacz tries
_EMPTY = 1e-9  # for a share of zero, whose logarithm would be infinite


@dataclass(frozen=True, eq=False)
class Seen:
    """One tensor over the calibration faces."""

    extremes: Doubles
    """(N, 2): least and greatest value on each face."""
    counts: Doubles
    """(2048,): of `ranges.histograms`; for calibrators that count, else empty."""

    @property
    def centres(self) -> Doubles:
        """(2048,): middle of each bin."""
        low, high = outermost(self.extremes)
        return low + (np.arange(BINS) + 0.5) * (high - low) / BINS


def min_max(seen: Seen, coverage: float) -> Range:
    """The outermost values of all faces."""
    return outermost(seen.extremes)


def percentile(seen: Seen, coverage: float) -> Range:
    """The range that spans the extremes of a share of the faces, each end by itself.

    A few faces drive some activations far beyond where all others stay; giving them levels makes
    the levels coarse for everybody. On a PIPNet and a PFLD over MobileNetV3-Small (128 px, 64
    faces) the outermost values cost a fifth more drift than those of nine faces in ten.
    """
    low = float(np.quantile(seen.extremes[:, 0], 1 - coverage))
    high = float(np.quantile(seen.extremes[:, 1], coverage))
    return min(low, 0.0), max(high, 0.0)


def mse(seen: Seen, coverage: float) -> Range:
    """The range whose levels lie nearest to the values, in mean square."""
    return _least(seen, _square_error)


def _least(seen: Seen, cost: Callable[[Seen, Range], float]) -> Range:
    """The cheapest range within the outermost, by moving one end after the other, twice.

    Each end moves in steps of 32 bins.
    """
    low, high = outermost(seen.extremes)
    lows, highs = low * _SHRINKS, high * _SHRINKS
    for _ in range(2):
        high = float(min(highs, key=lambda end: cost(seen, (low, end))))
        low = float(min(lows, key=lambda end: cost(seen, (end, high))))
    return low, high


def _square_error(seen: Seen, span: Range) -> float:
    low, high = span
    values = seen.centres
    levels = nearest_levels(values, span) - zero_point(span)
    return float(seen.counts @ (levels * (high - low) / (LEVELS - 1) - values) ** 2)


def entropy(seen: Seen, coverage: float) -> Range:
    """The range whose levels keep the distribution best: least Kullback-Leibler divergence.

    Migacz, "8-bit inference with TensorRT" (GTC 2017, S7310), whose pseudo-code knows magnitudes
    only; here each end moves by itself, and bins are merged as the levels of the range merge them.
    """
    return _least(_without_zeros(seen), _divergence)


def _without_zeros(seen: Seen) -> Seen:
    """The same tensor with as many values in the bin of zero as in the bins beside it.

    Every range has a level that is exactly zero: the zeros of a ReLU lose nothing in any of them.
    `_divergence` would share them among all bins of that level, and count that as a loss so great
    that the range shrinks until the level is one bin. NVIDIA's calibrators, too, give the first
    bin of their magnitudes what the second has.
    """
    (zero,) = np.flatnonzero(np.histogram(np.float32(0), BINS, outermost(seen.extremes))[0])
    beside = [i for i in (zero - 1, zero + 1) if 0 <= i < BINS]
    counts = seen.counts.copy()
    counts[zero] = counts[beside].mean()
    return Seen(seen.extremes, counts)


def _divergence(seen: Seen, span: Range) -> float:
    """Of the values (P) from what their levels tell of them (Q).

    What lies outside counts in P, in the last bin at its end, and not in Q: that is the price of
    saturation. A level's values are shared evenly among those of its bins that hold any.
    """
    low, high = span
    centres = seen.centres
    inside = (centres >= low) & (centres <= high)
    kept = seen.counts[inside]
    if kept.sum() == 0:
        return float("inf")
    saturated = kept.copy()
    saturated[0] += seen.counts[centres < low].sum()
    saturated[-1] += seen.counts[centres > high].sum()
    level = nearest_levels(centres[inside], span)
    mass = np.bincount(level, kept, LEVELS)
    bins = np.bincount(level, kept > 0, LEVELS)
    merged = np.where(kept > 0, (mass / np.maximum(bins, 1))[level], 0.0)
    p, q = saturated / saturated.sum(), merged / merged.sum()
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / np.maximum(q[some], _EMPTY))))


CALIBRATORS: Mapping[Calibrator, Callable[[Seen, float], Range]] = MappingProxyType(
    {"min_max": min_max, "percentile": percentile, "mse": mse, "entropy": entropy}
)


def settle(seen: Seen, calibrator: Calibrator, coverage: float) -> Range:
    """A tensor's range by the chosen rule; that of a dead tensor is [0, 1], so that it has levels.

    Args:
        seen: over the calibration faces.
        calibrator: registry name.
        coverage: of "percentile", the share of the faces whose extremes are spanned.
    """
    if is_dead(outermost(seen.extremes)):
        return _DEAD
    span = CALIBRATORS[calibrator](seen, coverage)
    return _DEAD if is_dead(span) else span
