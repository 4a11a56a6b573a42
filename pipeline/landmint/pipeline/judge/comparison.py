"""On which side of a value a figure surely lies, by its 95 % interval and never by its estimate.

It knows no limits and no variants: the gate, the advice, the choice among INT8 candidates and the
report all ask here.
"""

from typing import Literal

from landmint.runtime.latency import latency_ratio
from landmint.runtime.measurement import Measurement
from landmint.runtime.stats import Interval

Side = Literal["below", "above", "undecided", "unknown"]
"""Where the whole interval lies; undecided where it lies on both sides, unknown without one."""

_WORTH_NAMING = 0.01
"""A ratio within 1 % of one is neither a gain nor a loss, however sure."""


def side_of(interval: Interval | None, value: float) -> Side:
    """Where the whole interval lies, seen from a value."""
    if interval is None:
        return "unknown"
    if interval.low > value:
        return "above"
    return "below" if interval.high < value else "undecided"


def gain_of(speedup: Interval | None) -> Side:
    """Whether a variant is faster than another by more than 1 % (above) or slower (below)."""
    if side_of(speedup, 1 + _WORTH_NAMING) == "above":
        return "above"
    if side_of(speedup, 1 - _WORTH_NAMING) == "below":
        return "below"
    return "unknown" if speedup is None else "undecided"


def paired_ratio(numerator: Measurement, denominator: Measurement | None) -> Interval | None:
    """How many times as long one variant takes as another, by launches in which both took turns.

    None where they did not: in another visit the machine was in another state. None also for fewer
    than two launches, which give no interval.
    """
    if denominator is None or numerator.session != denominator.session:
        return None
    return latency_ratio(numerator.launches, denominator.launches)
