"""Compares a figure with a value, by its 95 % interval and never by its estimate.

The gate, the advice, the choice among INT8 candidates and the report all use these functions.
"""

from typing import Literal

from landmint.runtime.latency import latency_ratio
from landmint.runtime.measurement import Measurement
from landmint.runtime.stats import Interval

Side = Literal["below", "above", "undecided", "unknown"]
"""On which side of a value the whole interval lies: "undecided" if on both, "unknown" without an
interval."""

_WORTH_NAMING = 0.01
"""A ratio within 1 % of one is neither a gain nor a loss, however sure."""


def side_of(interval: Interval | None, value: float) -> Side:
    """On which side of a value the whole interval lies."""
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
    """Ratio of two variants' latencies, from launches of one visit in which they took turns.

    None for variants of different visits, in which the machine may have been in different states.
    None also for fewer than two launches, which give no interval.
    """
    if denominator is None or numerator.session != denominator.session:
        return None
    return latency_ratio(numerator.launches, denominator.launches)
