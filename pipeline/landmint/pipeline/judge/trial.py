"""Which INT8 candidate to keep, of those that were built and measured: by intervals, as the gate.

It neither builds nor measures: the search is `landmint.pipeline.cures`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landmint.pipeline.judge.comparison import side_of
from landmint.pipeline.judge.gate import PRECEDENCE, VerdictStatus, three_way
from landmint.pipeline.judge.summary import summarise_run
from landmint.quantize.cures import Cure
from landmint.runtime.accuracy import Truth, difference
from landmint.runtime.measurement import Measurement
from landmint.runtime.stats import Interval


@dataclass(frozen=True)
class Trial:
    """One cure, built for one format and measured."""

    cure: Cure
    """What was changed."""
    nme_rise: Interval
    """NME less that of the float student, paired by face; shares."""
    over_plain: Interval
    """NME less that of plain INT8, paired by face; shares."""
    latency_ms: float
    """Warm median."""
    speedup: Interval
    """Times as fast as float32 on the same engine, paired by launches."""

    def judge(self, budget: float) -> tuple[VerdictStatus, str]:
        """Whether it may be chosen, and why not; by intervals, as the gate judges.

        It must be faster than float32, keep the budget, and, unless it is plain INT8, have a lower
        NME than that: otherwise what it wins is noise.

        Args:
            budget: most rise of NME over the float student, a share.
        """
        side = side_of(self.speedup, 1)
        if side == "below":
            return "regression", f"slower than float32 ({self.speedup.estimate:.2f} times as fast)"
        if side != "above":
            return "inconclusive", "not surely faster than float32"
        if self.nme_rise.is_unbounded:
            return "inconclusive", "not enough persons"
        status = three_way(self.nme_rise, budget, "accuracy drift")
        if status == "inconclusive":
            return status, "the interval of its NME rise lies across the budget"
        if status != "pass":
            return status, "its NME rises by more than the budget"
        # Infinite here means that plain INT8 has landmarks that are not finite.
        if self.cure.settings and 0 <= self.over_plain.high < math.inf:
            return "inconclusive", "its NME is not surely lower than that of plain INT8"
        return "pass", ""


@dataclass(frozen=True)
class Search:
    """What was tried for one format, and what was chosen."""

    format: str
    """Which."""
    trials: tuple[Trial, ...]
    """Every candidate that ran, plain INT8 first."""
    budget: float
    """Most rise of NME over the float student, a share."""
    reason: str = ""
    """Why nothing was tried; empty when something was."""

    @property
    def chosen(self) -> Trial | None:
        """The quickest within the budget; None when there is none."""
        return choose_trial(self.trials, self.budget)

    @property
    def status(self) -> VerdictStatus:
        """That of the best candidate; "not measured" when none ran."""
        statuses = [trial.judge(self.budget)[0] for trial in self.trials]
        return max(statuses, key=PRECEDENCE.index, default="not measured")


def trials_of(
    measurements: Sequence[Measurement], truth: Truth, names: Mapping[str, Cure]
) -> tuple[Trial, ...]:
    """The candidates that ran, plain INT8 first; none without it, since all are compared with it.

    Args:
        measurements: of one visit, the float variants among them.
        truth: the faces.
        names: of the candidates' variants, plain INT8 first, with their cures.
    """
    summaries = {summary.name: summary for summary in summarise_run(measurements, truth)}
    plain = summaries[next(iter(names))].measurement.points
    if plain is None:
        return ()
    trials = []
    for name, cure in names.items():
        summary = summaries[name]
        points = summary.measurement.points
        if points is None or not (summary.difference and summary.latency and summary.speedup):
            continue
        over_plain = difference(points, plain, truth).nme_rise
        rise, latency_ms = summary.difference.nme_rise, summary.latency.warm_ms
        trials.append(Trial(cure, rise, over_plain, latency_ms, summary.speedup))
    return tuple(trials)


def choose_trial(trials: Sequence[Trial], budget: float) -> Trial | None:
    """The quickest that may be chosen within the budget, a share; None when there is none.

    Of those that cannot be told from the quickest by their intervals, the one with the fewest
    layers in float, and of these the first.
    """
    passing = [trial for trial in trials if trial.judge(budget)[0] == "pass"]
    best = max((trial.speedup.estimate for trial in passing), default=0.0)
    equal = [trial for trial in passing if trial.speedup.high >= best]
    return min(equal, key=lambda trial: len(trial.cure.float_layers), default=None)
