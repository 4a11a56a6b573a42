"""Calibrators: the rules that choose a tensor's range from its values on the calibration faces.

A wide range makes the steps between levels coarse; a narrow one clips the values beyond it.
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
"""Calibrators that need histograms."""

_DEAD: Range = (0.0, 1.0)
_SHRINKS = np.arange(128, BINS + 1, 32) / BINS  # 128 bins are the fewest that Migacz tries
_EMPTY = 1e-9  # for a share of zero, whose logarithm would be infinite


@dataclass(frozen=True, eq=False)
class Seen:
    """The values of one tensor on the calibration faces, in summary."""

    extremes: Doubles
    """(N, 2): least and greatest value on each face."""
    counts: Doubles
    """(2048,): histogram by `ranges.histograms`; empty unless the calibrator is in `COUNTING`."""

    @property
    def centres(self) -> Doubles:
        """(2048,): middle of each bin."""
        low, high = outermost(self.extremes)
        return low + (np.arange(BINS) + 0.5) * (high - low) / BINS


def min_max(seen: Seen, coverage: float) -> Range:
    """From the least to the greatest value on all faces."""
    return outermost(seen.extremes)


def percentile(seen: Seen, coverage: float) -> Range:
    """From the least to the greatest value on a share of the faces, each end by itself.

    A few faces drive some activations far beyond those of all others. A range that spans these too
    has coarse steps for every face. On a PIPNet and a PFLD over MobileNetV3-Small (128 px, 64
    faces) "min_max" moved landmarks a fifth further than a coverage of 0.9.
    """
    low = float(np.quantile(seen.extremes[:, 0], 1 - coverage))
    high = float(np.quantile(seen.extremes[:, 1], coverage))
    return min(low, 0.0), max(high, 0.0)


def mse(seen: Seen, coverage: float) -> Range:
    """The range with the least mean square error of the rounded values."""
    return _least(seen, _square_error)


def _least(seen: Seen, cost: Callable[[Seen, Range], float]) -> Range:
    """The range with the least cost: one end after the other is moved to its best place, twice.

    Each end moves in steps of 32 bins, within the least and the greatest value.
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
    """The range whose rounded values keep the distribution best: least Kullback-Leibler divergence.

    By Migacz, "8-bit inference with TensorRT" (GTC 2017, S7310). His pseudo-code knows magnitudes
    only. Here each end moves by itself, and bins that round to the same level are merged.
    """
    return _least(_without_zeros(seen), _divergence)


def _without_zeros(seen: Seen) -> Seen:
    """The same tensor, but with as few values in the bin of zero as in the bins beside it.

    A ReLU makes very many zeros. No range loses anything by them, since each has a level that is
    exactly zero. `_divergence`, however, would spread them over all bins of that level, and count
    this as a loss so great that the range shrinks until the level is one bin wide. NVIDIA's
    calibrators do alike: they give the first bin of magnitudes the count of the second.
    """
    (zero,) = np.flatnonzero(np.histogram(np.float32(0), BINS, outermost(seen.extremes))[0])
    beside = [i for i in (zero - 1, zero + 1) if 0 <= i < BINS]
    counts = seen.counts.copy()
    counts[zero] = counts[beside].mean()
    return Seen(seen.extremes, counts)


def _divergence(seen: Seen, span: Range) -> float:
    """Kullback-Leibler divergence of the exact values (P) from the rounded ones (Q).

    Values outside the range count in P, in the outermost bin on their side, and not in Q: that is
    the price of clipping. In Q the values of a level are spread evenly over those of its bins that
    are not empty.
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
    """Choose a tensor's range. A tensor of zeros gets [0, 1], since a range may not be empty.

    Args:
        seen: the tensor's values on the calibration faces.
        calibrator: which rule to use.
        coverage: for "percentile": the share of the faces whose extremes the range spans.
    """
    if is_dead(outermost(seen.extremes)):
        return _DEAD
    span = CALIBRATORS[calibrator](seen, coverage)
    return _DEAD if is_dead(span) else span
