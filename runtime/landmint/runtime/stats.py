"""Estimates with what they do not know: quantiles, intervals, detectable effects. numpy only.

It judges nothing: limits and verdicts are the gate's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
POWER = 0.9
_RESAMPLES = 2000
_TAIL_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Interval:
    """An estimate and a two-sided confidence interval."""

    estimate: float
    """The value of the sample."""
    low: float
    """Lower bound."""
    high: float
    """Upper bound."""
    detectable: float
    """Minimal detectable effect: so far from a limit, nine samples in ten would tell."""


def quantile(values: Floats, share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed.

    An order statistic, so that infinite errors stay infinite and nothing is interpolated.
    """
    return float(np.quantile(values, share, method="inverted_cdf"))


def samples_needed(share: float) -> int:
    """How many samples a quantile of a tail needs before it may be told.

    The fewest n for which a sample with at most one value above the true quantile is rarer than
    1 %: 64 for p90 and 662 for p99, the counts of MLPerf LoadGen's early stopping.
    """
    count = 1
    while share**count + count * (1 - share) * share ** (count - 1) > 1 - _TAIL_CONFIDENCE:
        count += 1
    return count


def cluster_bootstrap(
    values: Floats, clusters: Sequence[str], seed: int = 0, resamples: int = _RESAMPLES
) -> Interval:
    """The mean of `values` (N,), with a percentile interval over resampled clusters.

    Faces of one person resemble each other: resampling faces would promise too much. For a paired
    comparison give the differences. Davison and Hinkley, Bootstrap Methods, 1997, section 3.8.

    Args:
        values: one a face; a value that is not finite makes every bound infinite.
        clusters: the person of each face.
        seed: of the resampling.
        resamples: how many.
    """
    if not np.all(np.isfinite(values)):
        return Interval(math.inf, math.inf, math.inf, math.inf)
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    counts = np.bincount(member).astype(np.float64)
    sums = np.bincount(member, weights=values)
    groups = len(counts)
    mean = float(values.mean())
    if groups < 2:
        return Interval(mean, -math.inf, math.inf, math.inf)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    means = (drawn @ sums) / (drawn @ counts)
    edge = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [edge, 1 - edge])
    normal = NormalDist()
    reach = normal.inv_cdf(1 - edge) + normal.inv_cdf(POWER)
    return Interval(mean, float(low), float(high), reach * float(means.std(ddof=1)))


def launch_interval(values: Sequence[float]) -> Interval | None:
    """The geometric mean of one positive value a launch, with Student's interval on its logarithm.

    A launch is the unit: iterations of one process repeat each other's luck. None for fewer than
    two launches. For a paired ratio give the ratio of each launch.
    """
    if len(values) < 2:
        return None
    logs = np.log(np.asarray(values, dtype=np.float64))
    freedom = len(logs) - 1
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    edge = student_quantile(1 - (1 - CONFIDENCE) / 2, freedom)
    middle = float(logs.mean())
    reach = (edge + student_quantile(POWER, freedom)) * error
    estimate = math.exp(middle)
    return Interval(
        estimate,
        math.exp(middle - edge * error),
        math.exp(middle + edge * error),
        estimate * math.expm1(reach),
    )


def student_quantile(share: float, freedom: int) -> float:
    """Student's t quantile for share > .5 and whole degrees of freedom, by bisection."""
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < share:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, freedom) < share else (low, middle)
    return high


def student_cdf(t: float, freedom: int) -> float:
    """Student's t distribution function (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for i in range(2 + odd, freedom, 2):
        term *= cosine**2 * (i - 1) / i
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2
