"""The picture of one series: sessions over time, with their intervals and levels."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import matplotlib.dates
import numpy as np

from landmint.pipeline.history.changes import Change
from landmint.pipeline.history.series import Series
from landmint.pipeline.report.palette import INK, MUTED, look_of
from landmint.pipeline.report.svg import drawing, grid, inline

_DATES: Any = matplotlib.dates  # without types


def trend(series: Series, changes: Sequence[Change], name: str) -> str:
    """Latency of every session as inline SVG.

    Args:
        series: at least one session.
        changes: where a new level begins.
        name: unique in the page.
    """
    times = _DATES.date2num([_time(row.session) for row in series.rows])
    latencies = np.array(series.latencies_ms)
    look = look_of(series.variant)
    with drawing(7.4, 2.8) as figure:
        axes = figure.subplots()
        for when, row in zip(times, series.rows, strict=True):
            if row.latency_low_ms is not None and row.latency_high_ms is not None:
                axes.plot([when] * 2, [row.latency_low_ms, row.latency_high_ms], color=MUTED, lw=1)
        axes.plot(times, latencies, look.marker, color=look.color, markersize=4)
        edges = [0, *(change.index for change in changes), len(times)]
        for start, end in pairwise(edges):
            level = float(np.median(latencies[start:end]))
            axes.plot([times[start], times[end - 1]], [level] * 2, color=INK, lw=1.2)
        for change in changes:
            axes.axvline(times[change.index], color=MUTED, lw=0.8, linestyle=(0, (3.0, 3.0)))
        low, high = float(latencies.min()), float(latencies.max())
        axes.set_ylim(0.9 * low, 1.1 * high)  # wide intervals run out of the picture
        locator = _DATES.AutoDateLocator(maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(_DATES.ConciseDateFormatter(locator))
        axes.set_ylabel("latency, ms")
        grid(axes)
        return inline(figure, name, _description(series, changes))


def _time(session: str) -> datetime:
    try:
        return datetime.fromisoformat(session)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)


def _description(series: Series, changes: Sequence[Change]) -> str:
    return (
        f"Latency of {series.name} over {len(series.rows)} sessions, with {len(changes)} changes "
        "of its level"
    )
