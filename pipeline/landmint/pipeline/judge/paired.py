"""What the launches of two builds tell about the one question: is the candidate slower?

Two figures are compared. The time of a run, by each launch's median ratio of block minima; minima
cannot see the tail. And slow runs, by how many more of the candidate's runs than of the baseline's
lie beyond p99. In both the launch is the unit. The method and its reasons: docs/gate.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from landmint.pipeline.text import milliseconds
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import Launch
from landmint.runtime.paired import PairedLaunch
from landmint.runtime.signed_rank import (
    detectable_shift,
    least_count,
    shift_bounds,
    signed_rank_p,
)
from landmint.runtime.stats import (
    POWER,
    Floats,
    quantile,
    quantile_bounds,
    samples_needed,
)

TIME, TAIL = "latency_baseline", "slow_runs_baseline"
"""The two comparisons, as their checks are called."""
_TAIL_SHARE = 0.99


@dataclass(frozen=True)
class PairedRules:
    """What counts as slower, and how sure a verdict must be."""

    tolerance: float = 0.01
    """A slowdown up to this share is none."""
    margin: float = 0.05
    """A variant passes when it is surely less than this share slower."""
    tail_tolerance: float = 0.10
    """A p99 that is longer by up to this share is none."""
    tail_margin: float = 0.01
    """The tail passes when surely less than this share more of the runs are slow."""
    drift: float = 0.3
    """A variant passes when its NME surely rises by less than so many points of percent."""
    false_alarm: float = 0.01
    """Chance that any comparison of a gate raises a false alarm, before alarms are confirmed."""
    false_pass: float = 0.05
    """Chance that a slowdown as large as the margin passes."""
    looks: tuple[int, ...] = (12, 24, 48)
    """Launches after which the gate decides, if it can; both chances are split over them."""

    def __post_init__(self) -> None:
        """Refuse rules that cannot be kept.

        Raises:
            LandmintError: the margin is not above the tolerance, a chance is no chance, or the
                looks do not rise.
        """
        if not 0 <= self.tolerance < self.margin:
            raise LandmintError(
                f"a margin of {self.margin:g} with a tolerance of {self.tolerance:g}",
                reason="what is tolerated passes, so the margin must be larger",
            )
        if not (self.tail_tolerance >= 0 and self.tail_margin > 0):
            raise LandmintError("the tolerance and the margin of the tail must be positive")
        if not self.drift >= 0:
            raise LandmintError(f"a drift of {self.drift:g} points", reason="it cannot be negative")
        if not all(0 < chance < 0.5 for chance in (self.false_alarm, self.false_pass)):
            raise LandmintError("the chance of a wrong verdict must lie between 0 and 0.5")
        if not self.looks or any(a >= b for a, b in pairwise((1, *self.looks))):
            raise LandmintError(f"looks at {self.looks} launches", reason="they must rise from 2")

    @property
    def level(self) -> float:
        """Chance of a false alarm that one look may use, over all comparisons."""
        return self.false_alarm / len(self.looks)

    @property
    def bound_error(self) -> float:
        """Chance of one look's bound to be wrong."""
        return self.false_pass / len(self.looks)

    def looks_of(self, comparisons: int) -> tuple[int, ...]:
        """The looks of a gate with so many comparisons.

        With too few launches an exact test can never reject: the first looks come later then.
        """
        least = least_count(self.level / max(1, comparisons))
        return tuple(dict.fromkeys(max(look, least) for look in self.looks))


@dataclass(frozen=True)
class Series:
    """One figure a launch, above 0 where the candidate is slower."""

    name: str
    """`TIME`: logarithm of a ratio; or `TAIL`: points of percent."""
    values: Floats
    """(J,)."""
    tolerance: float
    """Not more than this is no slowdown."""
    margin: float
    """Surely less than this passes."""
    step: float = 0.0
    """The least by which all values can rise together; 0 where there is no such step."""
    note: str = ""
    """What else is known of it, in words."""

    @property
    def p_value(self) -> float:
        """Of "more than the tolerance", one-sided and exact."""
        return signed_rank_p(self.values - self.tolerance)

    def bounds(self, error: float) -> tuple[float, float, float]:
        """Lower bound, estimate and upper bound, each bound wrong with the chance `error`."""
        if not len(self.values):
            return -math.inf, math.nan, math.inf
        return shift_bounds(self.values, error)

    def detectable(self, level: float) -> float:
        """The least centre that two batches like this both find at `level`, nine times in ten.

        Infinite where there are too few launches for any.
        """
        count = len(self.values)
        if count < 2:
            return math.inf
        once = math.sqrt(POWER)  # an alarm must come twice
        deviations = detectable_shift(count, level, once)
        return self.tolerance + max(deviations * float(self.values.std(ddof=1)), self.step)


def time_series(launches: Sequence[PairedLaunch], rules: PairedRules) -> Series:
    """How much longer the quickest runs of the candidate take, by launch."""
    values = np.array([launch.log_ratio for launch in launches])
    return Series(TIME, values, math.log1p(rules.tolerance), math.log1p(rules.margin))


def tail_series(launches: Sequence[PairedLaunch], rules: PairedRules) -> Series:
    """How many more of the candidate's runs are slow, by launch, in points of percent.

    The candidate's runs count shorter by the tolerance, and slow is then what reaches p99 of
    all runs. So both builds have equally many slow runs if their p99 differ by the tolerance. With
    fewer runs than p99 needs there are no values.
    """
    margin = 100 * rules.tail_margin
    theirs = [_runs(launch.baseline) for launch in launches]
    ours = [_runs(launch.candidate) for launch in launches]
    fewest = min(sum(map(len, side)) for side in (theirs, ours))
    if fewest < (needed := samples_needed(_TAIL_SHARE)):
        note = f"p99 needs {needed} runs of each build, there are {fewest}"
        return Series(TAIL, np.empty(0), 0.0, margin, note=note)
    scaled = [runs / (1 + rules.tail_tolerance) for runs in ours]
    limit = quantile(np.concatenate([*theirs, *scaled]), _TAIL_SHARE)
    more = [np.mean(b >= limit) - np.mean(a >= limit) for a, b in zip(theirs, scaled, strict=True)]
    p99 = [_p99(np.concatenate(side), rules) for side in (ours, theirs)]
    step = 100 * len(launches) / fewest
    return Series(TAIL, 100 * np.array(more), 0.0, margin, step, f"p99 {p99[0]} against {p99[1]}")


def _runs(launch: Launch) -> Floats:
    return np.array([ms for block in launch.blocks for ms in block.samples_ms])


def _p99(runs: Floats, rules: PairedRules) -> str:
    """The p99 of one build, with the bounds that its order statistics give."""
    low, high = quantile_bounds(runs, _TAIL_SHARE, rules.bound_error)
    middle = quantile(runs, _TAIL_SHARE)
    return f"{milliseconds(middle)} ms [{milliseconds(low)}, {milliseconds(high)}]"
