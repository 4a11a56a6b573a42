"""Where the level of a series changed, found by the library ruptures.

PELT (Killick, Fearnhead and Eckley, 2012) with absolute deviations as cost: a single odd session
is no change. Whether a candidate may pass is not decided here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_SESSIONS = 8
"""Shorter series are not searched."""
LEAST_SESSIONS = 3
"""A level lasts this long at least; a change in the last two sessions is not found yet."""
LEAST_CHANGE = 0.01
"""A smaller share is not worth naming."""
_PENALTY = 3.0
"""Price of a change, in standard deviations of a session, times ln(sessions). With it, series that
do not change show one in at most 2 of 100: tests/pipeline/history/test_changes.py."""
_NORMAL_MAD = 1.4826


@dataclass(frozen=True)
class Change:
    """A new level."""

    index: int
    """The first session of it."""
    ratio: float
    """Its median over that of the level before."""


def find_changes(values: Sequence[float]) -> tuple[Change, ...]:
    """The changes of level in a series of positive values, the oldest first.

    Args:
        values: one a session, in order of time.

    Raises:
        ModuleNotFoundError: ruptures is not installed.
    """
    import ruptures

    if len(values) < MIN_SESSIONS:
        return ()
    logs = np.log(np.asarray(values, dtype=np.float64))
    scaled = logs / max(_session_deviation(logs), LEAST_CHANGE / 10)
    search = ruptures.Pelt(model="l1", min_size=LEAST_SESSIONS, jump=1).fit(scaled)
    *starts, end = search.predict(pen=_PENALTY * math.log(len(values)))
    edges = [0, *starts, end]
    levels = [float(np.median(logs[a:b])) for a, b in zip(edges, edges[1:], strict=False)]
    changes = [
        Change(start, math.exp(after - before))
        for start, before, after in zip(starts, levels, levels[1:], strict=False)
    ]
    return tuple(change for change in changes if abs(change.ratio - 1) >= LEAST_CHANGE)


def _session_deviation(logs: NDArray[np.float64]) -> float:
    """Standard deviation of a session about its level, from neighbours: levels do not count."""
    steps = np.diff(logs)
    spread = float(np.median(np.abs(steps - np.median(steps))))
    return _NORMAL_MAD * spread / math.sqrt(2)
