"""Statistics with their uncertainty: quantiles, confidence intervals, detectable effects.

numpy only. Limits and verdicts are the gate's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
POWER = 0.9
MIN_PERSONS = 3
"""Fewer persons than this give no interval over persons. From three on, 95 % were covered by
simulation, with errors as skewed as those of real faces: tests/runtime/test_stats.py."""
_TAIL_CONFIDENCE = 0.99
_MOST_PERSONS = 1_000_000
_BATCH, _FEWEST_BATCHES, _FEWEST_LEFT = 5, 10, 5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


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
    """Minimal detectable effect: if the truth is this far beyond a limit, nine samples in ten show
    it."""

    @property
    def is_unbounded(self) -> bool:
        """Whether there were not enough persons for bounds."""
        return self.low == -math.inf


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


def person_interval(
    values: Floats, persons: Sequence[str], confidence: float = CONFIDENCE
) -> Interval:
    """The mean of `values` (N,), with an interval for faces of other persons.

    Faces of one person resemble each other, so the person is the unit. The standard error is the
    jackknife's: how far the mean moves when one person is left out. The bounds are Student's t
    with the degrees of freedom that such a sum of squares has; persons with very different
    numbers of faces count as fewer persons. For a paired comparison give the differences.
    Bell and McCaffrey, Survey Methodology 28(2), 2002: their jackknife and its degrees of freedom.

    Args:
        values: one a face; a value that is not finite makes every bound infinite.
        persons: the person of each face; with fewer than `MIN_PERSONS` the interval is the whole
            line, since there are not enough persons to tell anything.
        confidence: chance that the interval holds the truth; one of K that shall all hold it
            together with 95 % takes 1 - .05 / K (Bonferroni).
    """
    if not np.all(np.isfinite(values)):
        return Interval(math.inf, math.inf, math.inf, math.inf)
    mean = float(values.mean())
    _, member = np.unique(np.asarray(persons), return_inverse=True)
    faces = np.bincount(member)
    if len(faces) < MIN_PERSONS:
        return Interval(mean, -math.inf, math.inf, math.inf)
    error = _jackknife_error(values, member)
    freedom = _jackknife_freedom(faces / len(values))
    edge = student_quantile(1 - (1 - confidence) / 2, freedom)
    reach = edge + student_quantile(POWER, freedom)
    return Interval(mean, mean - edge * error, mean + edge * error, reach * error)


def persons_needed(values: Floats, persons: Sequence[str], effect: float) -> int | None:
    """How many persons would have shown a mean of `effect` nine times in ten, at this spread.

    Shown: the 95 % interval of `person_interval` excludes it, where the true mean is zero. Persons
    are taken to have as many faces each as these have on average.

    Args:
        values: one a face, all finite.
        persons: the person of each face.
        effect: in the unit of the values.

    Returns:
        at least `MIN_PERSONS`; None when there are too few persons to know the spread, or no
        number of persons up to a million is enough.
    """
    member = np.unique(np.asarray(persons), return_inverse=True)[1]
    present = int(member.max()) + 1
    if present < MIN_PERSONS or not np.all(np.isfinite(values)):
        return None
    spread = _jackknife_error(values, member) * math.sqrt(present - 1)

    def shows(count: int) -> bool:
        edge = student_quantile(1 - (1 - CONFIDENCE) / 2, count - 1)
        return (edge + student_quantile(POWER, count - 1)) * spread <= effect * math.sqrt(count - 1)

    low, high = MIN_PERSONS - 1, MIN_PERSONS
    while not shows(high):
        low, high = high, 2 * high
        if high > _MOST_PERSONS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


def _jackknife_error(values: Floats, member: NDArray[np.intp]) -> float:
    """The standard error of the mean: how far it moves when one person is left out."""
    faces = np.bincount(member)
    moves = np.bincount(member, weights=values - values.mean()) / (len(values) - faces)
    return float(np.linalg.norm(moves))


def _jackknife_freedom(shares: Floats) -> float:
    """Degrees of freedom of the jackknife's variance, by Satterthwaite's rule: G - 1 for G equals.

    The moves of the mean are normal with covariance diag(spread) - odds odds', up to a factor, if
    faces are independent; the rule is trace squared over the sum of the squared entries.

    Args:
        shares: (G,) of all faces, for each person.
    """
    odds = shares / (1 - shares)
    spread = odds / (1 - shares)
    squares = (spread**2).sum() - 2 * (spread * odds**2).sum() + (odds**2).sum() ** 2
    return float(odds.sum() ** 2 / squares)


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


def steady_from(values: Floats) -> int | None:
    """Where a series (N,) becomes steady, by MSER-5: index of its first steady value.

    The series is cut where the mean of the rest is known best: the sum of squares of the rest over
    the square of its length is least. Means of five values in a row count as one. White, Simulation
    69(6), 1997; in fives: White, Cobb and Spratt, Winter Simulation Conference 2000.

    Returns:
        None where the cut lies in the second half, which the authors take for a series too short
        to tell, or where there are fewer than fifty values.
    """
    means = values[: len(values) // _BATCH * _BATCH].reshape(-1, _BATCH).mean(axis=1)
    count = len(means)
    if count < _FEWEST_BATCHES:
        return None
    # So few as the last ones may be alike by luck.
    errors = [means[cut:].var() / (count - cut) for cut in range(count - _FEWEST_LEFT + 1)]
    cut = int(np.argmin(errors))
    return cut * _BATCH if cut <= count // 2 else None


@cache
def student_quantile(share: float, freedom: float) -> float:
    """Student's t quantile for share > .5, by bisection; `freedom` need not be whole."""
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < share:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, freedom) < share else (low, middle)
    return high


def student_cdf(t: float, freedom: float) -> float:
    """Student's t distribution function, for `freedom` of one or more.

    With t = sqrt(freedom) tan(a) the density becomes a power of cos(a), which is integrated by
    Gauss and Legendre's rule.
    """
    angle = math.atan(t / math.sqrt(freedom))
    powers = np.cos(angle / 2 * (_NODES + 1)) ** (freedom - 1)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    return 0.5 + scale / math.sqrt(math.pi) * angle / 2 * float(_WEIGHTS @ powers)


def holm(p_values: Sequence[float], level: float) -> tuple[bool, ...]:
    """Which of several hypotheses are rejected, if one false rejection may happen at `level`.

    The smallest p-value is compared with level / K, the next with level / (K - 1), and so on until
    one is not rejected. Holm, Scandinavian Journal of Statistics 6(2), 1979.
    """
    rejected = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for step, place in enumerate(order):
        if p_values[place] > level / (len(p_values) - step):
            break
        rejected[place] = True
    return tuple(rejected)


def quantile_bounds(values: Floats, share: float, error: float) -> tuple[float, float]:
    """Lower and upper bound of a quantile: two of the values themselves, whatever distribution.

    The number of values below the quantile is binomial, which gives the ranks. Each bound is wrong
    with at most the chance `error`, for independent values.

    Args:
        values: (N,).
        share: such as 0.99 for p99.
        error: chance of each bound to be wrong.

    Returns:
        the bounds; minus or plus infinity where there are too few values.
    """
    ordered = np.sort(values)
    count = len(ordered)
    k = np.arange(count + 1)
    logs = np.array(
        [math.lgamma(count + 1) - math.lgamma(i + 1) - math.lgamma(count - i + 1) for i in k]
    )
    chances = np.exp(logs + k * math.log(share) + (count - k) * math.log1p(-share))
    below = np.cumsum(chances)  # P(at most k values lie below the quantile)
    # The r-th smallest lies above the quantile if at most r - 1 values lie below it.
    low_rank = int(np.searchsorted(below, error, side="right"))
    above = np.cumsum(chances[::-1])[::-1]  # P(at least k values lie below the quantile)
    enough = np.flatnonzero(above <= error)
    low = float(ordered[low_rank - 1]) if low_rank >= 1 else -math.inf
    high = float(ordered[enough[0] - 1]) if len(enough) else math.inf
    return low, high


def proportion_bounds(
    successes: int, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Exact bounds of a share, from so many successes; also for none, or for nothing else.

    Clopper and Pearson, Biometrika 26(4), 1934: the shares with which as many or more successes,
    and as many or fewer, are rarer than half of what the confidence leaves.
    """
    error = (1 - confidence) / 2

    def solve(count: int, chance: float) -> float:
        """The share with which at most `count` successes have this chance."""
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (
                (middle, high)
                if _binomial(trials, middle)[: count + 1].sum() > chance
                else (low, middle)
            )
        return high

    low = 0.0 if successes == 0 else solve(successes - 1, 1 - error)
    return low, 1.0 if successes == trials else solve(successes, error)


def _binomial(trials: int, share: float) -> Floats:
    """Chance of 0, 1, ... successes, for a share that is neither 0 nor 1."""
    k = np.arange(trials + 1)
    steps = np.log(np.arange(trials, 0, -1) / np.arange(1, trials + 1))
    ways = np.concatenate([[0.0], np.cumsum(steps)])  # logarithms of the binomial coefficients
    chances: Floats = np.exp(ways + k * math.log(share) + (trials - k) * math.log1p(-share))
    return chances
