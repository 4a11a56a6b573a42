"""Which layers are worth float32: few candidates by sensitivity, one choice by measured figures.

What a candidate costs in time is never guessed: each is built and timed before the choice. The
building and timing stand in the pipeline.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from landmint.quantize.explanation import Explanation, Layer
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
    """NME less that of the float student, on the same faces; shares."""
    latency_ms: float
    """Warm median."""
    speedup: Interval
    """Times as fast as float32 on the same engine, paired by launches."""

    @property
    def refused(self) -> str:
        """Why it must not be chosen however accurate it is; empty when it may."""
        if self.speedup.estimate <= 1:
            return f"slower than float32 ({self.speedup.estimate:.2f} times as fast)"
        return ""


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


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other beats in both NME and latency, quickest first; refused ones left out."""
    allowed = [trial for trial in trials if not trial.refused]
    kept: list[Trial] = []
    for trial in sorted(allowed, key=lambda one: (one.latency_ms, one.nme_rise.estimate)):
        if not kept or trial.nme_rise.estimate < kept[-1].nme_rise.estimate:
            kept.append(trial)
    return kept


def choose_trial(trials: Sequence[Trial], budget: float) -> Trial | None:
    """The quickest whose NME rises by no more than the budget, a share; None when there is none.

    Of those that cannot be told from the quickest by their intervals, the one with the fewest
    layers in float.
    """
    within = [one for one in trials if not one.refused and one.nme_rise.estimate <= budget]
    best = max((one.speedup.estimate for one in within), default=0.0)
    equal = [one for one in within if one.speedup.high >= best]
    return min(equal, key=lambda one: len(one.float_layers), default=None)
