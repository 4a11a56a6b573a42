"""Wilcoxon's signed-rank test, exact, with the bounds on a shift that follow from it. numpy only.

The test asks whether values that lie symmetrically around a centre have it above 0. It needs no
normal distribution, and every p-value is counted out, not approximated.
Wilcoxon, Biometrics Bulletin 1(6), 1945; Hollander, Wolfe and Chicken, Nonparametric Statistical
Methods, 3rd edition, section 3.1 to 3.3.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from landmint.runtime.stats import Floats

_DRAWS, _HALVINGS, _MOST_DEVIATIONS = 2000, 12, 16.0


def signed_rank_p(values: Sequence[float] | Floats) -> float:
    """One-sided p-value of "the centre is above 0", exact.

    Zeros are left out, as Wilcoxon did. Ties share the mean of their ranks, and the distribution is
    counted with those ranks: ties cost no exactness. With all values zero, or none, it is 1.

    Args:
        values: (N,), independent, and symmetric around their centre.

    Example:
        >>> signed_rank_p([0.02, 0.03, 0.01, 0.04, 0.05])
        0.03125
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[kept != 0]
    doubled = _doubled_ranks(np.abs(kept))
    above = int(doubled[kept > 0].sum())
    chances = _chances(tuple(sorted(doubled.tolist())))
    return float(min(1.0, chances[above:].sum()))


def least_p(count: int) -> float:
    """The smallest p-value that so many values can have: all of them above 0."""
    return 2.0**-count


def least_count(level: float) -> int:
    """With fewer values than these the test can never reject at a level."""
    return math.ceil(-math.log2(level))


def shift_bounds(values: Sequence[float] | Floats, error: float) -> tuple[float, float, float]:
    """Hodges and Lehmann's estimate of the centre, and a lower and an upper bound of it.

    The bounds invert the test: a centre lies below the lower bound if the one-sided test against it
    rejects at `error`, and likewise above the upper one. So each bound is wrong at most that often.

    Args:
        values: (N,), independent, and symmetric around their centre; at least one.
        error: chance of each bound to be wrong.

    Returns:
        lower bound, estimate, upper bound; the bounds are infinite for too few values.
    """
    x = np.asarray(values, dtype=np.float64)
    rows, columns = np.triu_indices(len(x))
    walsh = np.sort((x[rows] + x[columns]) / 2)
    cumulated = np.cumsum(_chances(tuple(range(2, 2 * len(x) + 1, 2)))[::2])
    depth = int(np.searchsorted(cumulated, error, side="right"))
    estimate = float(np.median(walsh))
    if depth == 0:
        return -math.inf, estimate, math.inf
    return float(walsh[depth - 1]), estimate, float(walsh[-depth])


@lru_cache(maxsize=256)
def detectable_shift(count: int, level: float, power: float) -> float:
    """The least centre that the test finds, in standard deviations of normal noise.

    The test is coarse for few values and small levels, so Student's t would promise too much. The
    power is counted over seeded draws instead.

    Args:
        count: of the values.
        level: of the test.
        power: how often it shall be found.

    Returns:
        infinite where so few values can never reject.
    """
    if count < max(1, least_count(level)):
        return math.inf
    noise = np.random.default_rng(0).standard_normal((_DRAWS, count))
    tail = np.cumsum(_chances(tuple(range(2, 2 * count + 1, 2)))[::-2])
    most = count * (count + 1) // 2
    critical = most + 1 - int(np.searchsorted(tail, level, side="right"))
    low, high = 0.0, _MOST_DEVIATIONS
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        values = noise + middle
        ranks = np.abs(values).argsort(axis=1).argsort(axis=1) + 1
        enough = np.mean((ranks * (values > 0)).sum(axis=1) >= critical) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def _doubled_ranks(sizes: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Twice the rank of each value, ties sharing the mean of theirs: whole numbers."""
    _, place, count = np.unique(sizes, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    doubled: np.ndarray[tuple[int], np.dtype[np.int64]] = (2 * last - count + 1)[place]
    return doubled


@lru_cache(maxsize=256)
def _chances(doubled_ranks: tuple[int, ...]) -> Floats:
    """Chance of each sum of the doubled ranks whose signs are positive, if each sign is a coin."""
    chances = np.zeros(sum(doubled_ranks) + 1)
    chances[0] = 1.0
    for rank in doubled_ranks:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: len(chances) - rank]
        chances = (chances + moved) / 2
    return chances
