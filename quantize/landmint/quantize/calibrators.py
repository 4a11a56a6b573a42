"""Which part of what a tensor holds gets levels: the rules to choose from.

A range that spans everything makes every level coarse; one that spans less saturates the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from landmint.quantize.config import Calibrator
from landmint.quantize.ranges import BINS, LEVELS, Doubles, Range, is_dead, outermost

COUNTING: frozenset[Calibrator] = frozenset({"entropy", "mse"})
"""Calibrators that look at histograms."""

_DEAD: Range = (0.0, 1.0)
_SHRINKS = np.linspace(0.3, 1.0, 36)


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
    """The cheapest range within the outermost, by moving one end after the other, twice."""
    low, high = outermost(seen.extremes)
    lows, highs = low * _SHRINKS, high * _SHRINKS
    for _ in range(2):
        high = float(min(highs, key=lambda end: cost(seen, (low, end))))
        low = float(min(lows, key=lambda end: cost(seen, (end, high))))
    return low, high


def _square_error(seen: Seen, found: Range) -> float:
    low, high = found
    step = (high - low) / (LEVELS - 1)
    zero = np.rint(-low / step)
    values = seen.centres
    levels = np.clip(np.rint(values / step) + zero, 0, LEVELS - 1)
    return float(seen.counts @ ((levels - zero) * step - values) ** 2)


def entropy(seen: Seen, coverage: float) -> Range:
    """The range whose levels keep the distribution best: least Kullback-Leibler divergence.

    Migacz, "8-bit inference with TensorRT" (GTC 2017), for each end by itself. ONNX Runtime's own
    entropy calibrator takes ranges about zero only.
    """
    return _least(seen, _divergence)


def _divergence(seen: Seen, found: Range) -> float:
    """Of the values from what their levels tell; what lies outside counts at the ends."""
    low, high = found
    centres = seen.centres
    inside = (centres >= low) & (centres <= high)
    counts = seen.counts[inside].copy()
    if counts.sum() == 0:
        return float("inf")
    plain = counts.copy()
    counts[0] += seen.counts[centres < low].sum()
    counts[-1] += seen.counts[centres > high].sum()
    level = np.minimum(np.arange(len(counts)) * LEVELS // len(counts), LEVELS - 1)
    filled = plain > 0
    mass = np.bincount(level, plain, LEVELS)
    share = np.bincount(level, filled, LEVELS)
    spread = np.where(filled, (mass / np.maximum(share, 1))[level], 0.0)
    p, q = counts / counts.sum(), spread / spread.sum()
    known = p > 0
    return float(np.sum(p[known] * np.log(p[known] / np.maximum(q[known], 1e-9))))


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
    found = CALIBRATORS[calibrator](seen, coverage)
    return _DEAD if is_dead(found) else found
