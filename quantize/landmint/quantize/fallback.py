"""Which layers are worth float32: few candidates by sensitivity, one choice by measured figures.

What a candidate costs in time is never guessed: each is built and timed before the choice. The
building and timing stand in the pipeline.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from landmint.quantize.explanation import Explanation, Layer
from landmint.runtime.gate import Status, three_way
from landmint.runtime.stats import Interval

SIZES = (1, 2, 4, 8)
"""Float layers of each candidate, beside the one without any."""
_WORTH = 0.01


@dataclass(frozen=True)
class Trial:
    """One set of float layers, built for one format and measured."""

    float_layers: tuple[str, ...]
    """Names of the layers; none for plain INT8."""
    nme_rise: Interval
    """NME less that of the float student, paired by face; shares."""
    over_plain: Interval
    """NME less that of plain INT8, paired by face; shares."""
    latency_ms: float
    """Warm median."""
    speedup: Interval
    """Times as fast as float32 on the same engine, paired by launches."""

    def judge(self, budget: float) -> tuple[Status, str]:
        """Whether it may be chosen, and why not; by intervals, as the gate judges.

        It must be faster than float32, keep the budget, and, with layers in float, have a lower
        NME than plain INT8: otherwise those layers are noise.

        Args:
            budget: most rise of NME over the float student, a share.
        """
        if self.speedup.high < 1:
            return "regression", f"slower than float32 ({self.speedup.estimate:.2f} times as fast)"
        if self.speedup.low <= 1:
            return "inconclusive", "not surely faster than float32"
        if self.nme_rise.is_unbounded:
            return "inconclusive", "not enough persons"
        status = three_way(self.nme_rise, budget, "accuracy drift")
        if status == "inconclusive":
            return status, "the interval of its NME rise lies across the budget"
        if status != "pass":
            return status, "its NME rises by more than the budget"
        # Infinite here means that plain INT8 has landmarks that are not finite.
        if self.float_layers and 0 <= self.over_plain.high < math.inf:
            return "inconclusive", "its NME is not surely lower than that of plain INT8"
        return "pass", ""


def candidates(explanation: Explanation, sizes: Sequence[int] = SIZES) -> list[tuple[str, ...]]:
    """Sets of layers to try in float, growing from none.

    Greedy by what a layer takes back when it alone stays in float, over what float costs there:
    its share of the multiply-accumulates, and as much again as an average layer for the change
    of type at its borders. A layer that takes back less than 1 % of the drift is never tried.

    Args:
        explanation: of the INT8 bundle.
        sizes: how many layers the candidates have.
    """
    total = sum(layer.macs for layer in explanation.layers) or 1
    border = total / len(explanation.layers)

    def gain(layer: Layer) -> float:
        return explanation.saved_px(layer) / ((layer.macs + border) / total)

    least = _WORTH * explanation.simulated.drift_px
    worthy = [layer for layer in explanation.layers if explanation.saved_px(layer) > least]
    ranked = [layer.name for layer in sorted(worthy, key=gain, reverse=True)]
    sets = [tuple(ranked[:size]) for size in (0, *sizes)]
    return list(dict.fromkeys(sets))


def choose_trial(trials: Sequence[Trial], budget: float) -> Trial | None:
    """The quickest that may be chosen within the budget, a share; None when there is none.

    Of those that cannot be told from the quickest by their intervals, the one with the fewest
    layers in float.
    """
    passing = [trial for trial in trials if trial.judge(budget)[0] == "pass"]
    best = max((trial.speedup.estimate for trial in passing), default=0.0)
    equal = [trial for trial in passing if trial.speedup.high >= best]
    return min(equal, key=lambda trial: len(trial.float_layers), default=None)
