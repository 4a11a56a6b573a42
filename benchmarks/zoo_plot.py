"""The picture of docs/zoo.md: NME against the latency of INT8, with the systems that none beats.

It draws what it is given; benchmarks/zoo.py says what that is and where the picture goes.
"""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox, Transform

Pair = tuple[float, float]

_STYLE: Any = {
    "svg.fonttype": "none",  # real text: to be searched and read aloud
    "svg.hashsalt": "zoo",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#667",
    "xtick.color": "#667",
    "ytick.color": "#667",
    "axes.axisbelow": True,
}
_LOOKS = {
    "heatmap": ("#0072b2", "o"),
    "hybrid": ("#d55e00", "s"),
    "regression": ("#009e73", "^"),
}
"""Colour, which the colour-blind can tell from the others, and marker of each family."""
_MARKER_PX = 6.0
_TICKS = 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8
_ANGLES = [math.radians(degrees) for degrees in range(0, 360, 15)]
_DISTANCES_PX = range(6, 400, 6)
_MARGIN_PX = 4
_NEAR_PX = 13
"""A label so near needs no line to its point."""


@dataclass(frozen=True)
class Point:
    """One system in the picture."""

    name: str
    """The recipe's; its last part stands beside the point."""
    family: str
    """Of the system; its colour and marker."""
    ms: float
    """Median latency of one face."""
    nme: float
    """In per cent."""


def front(points: Sequence[Point]) -> list[Point]:
    """The Pareto front: those that no other beats in one figure without losing in the other.

    Returns:
        By latency, the quickest first. Of equal points each is there.
    """
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.ms, point.nme, point.name)):
        best = kept[-1] if kept else None
        if best is None or point.nme < best.nme or (point.ms, point.nme) == (best.ms, best.nme):
            kept.append(point)
    return kept


def picture(points: Sequence[Point], title: str) -> str:
    """An SVG document, the same for the same points on any day.

    Args:
        points: what to draw; none leaves empty axes that say so.
        title: what is drawn, above the axes.
    """
    with matplotlib.rc_context(_STYLE):
        figure = draw(points, title)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def draw(points: Sequence[Point], title: str) -> Figure:
    """The figure that `picture` writes."""
    figure = Figure(figsize=(10, 7), facecolor="white", dpi=72)  # SVG counts 72 to the inch
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.07, 0.08, 0.91, 0.83))
    axes.set_title(title, loc="left", fontsize=10, pad=28)  # above the legend
    axes.set_xlabel("INT8 latency of one face, ms (TFLite, one thread)")
    axes.set_ylabel("INT8 NME, %")
    axes.grid(True, color="#dde", linewidth=0.6)
    if not points:
        axes.text(0.5, 0.5, "nothing has been measured yet", ha="center", transform=axes.transAxes)
        return figure
    _scale(axes, points)
    _markers(axes, points)
    _label(axes, points)
    return figure


def _scale(axes: Axes, points: Sequence[Point]) -> None:
    """Logarithmic in both directions, with room around the points."""
    for axis, values in (("x", [point.ms for point in points]), ("y", [p.nme for p in points])):
        low, high = min(values), max(values)
        room = max(1.05, (high / low) ** 0.08)
        axes.set(**{f"{axis}scale": "log", f"{axis}lim": (low / room, high * room)})
    for ticks in (axes.xaxis, axes.yaxis):
        ticks.set_major_locator(LogLocator(subs=_TICKS, numticks=99))
        ticks.set_major_formatter(FormatStrFormatter("%g"))
        ticks.set_minor_formatter(NullFormatter())


def _markers(axes: Axes, points: Sequence[Point]) -> None:
    """The front as a stair, and every point; those of the front are filled."""
    best = front(points)
    stair: Any = {"color": "#99a", "linewidth": 1.2, "drawstyle": "steps-post"}
    axes.plot([p.ms for p in best], [p.nme for p in best], label="Pareto front", **stair)
    for family, (color, marker) in _LOOKS.items():
        look: Any = {"color": color, "marker": marker, "markersize": _MARKER_PX, "linestyle": ""}
        members = [point for point in points if point.family == family]
        for shown, inside, label in (
            ([point for point in members if point in best], color, family),
            ([point for point in members if point not in best], "white", None),
        ):
            at = [point.ms for point in shown], [point.nme for point in shown]
            axes.plot(*at, markerfacecolor=inside, label=label, **look)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)


def _label(axes: Axes, points: Sequence[Point]) -> None:
    """Name every point, where its name lies on no other name and on no marker."""
    centres = {point: _moved(axes.transData, (point.ms, point.nme)) for point in points}
    taken = [_box(x, y, 1.5 * _MARKER_PX, 1.5 * _MARKER_PX) for x, y in centres.values()]
    for left, right in itertools.pairwise(front(points)):  # a step goes right, then down
        (x0, y0), (x1, y1) = centres[left], centres[right]
        taken += [Bbox([[x0, y0 - 1], [x1, y0 + 1]]), Bbox([[x1 - 1, y1], [x1 + 1, y0]])]
    for point in sorted(points, key=lambda point: (point.ms, point.nme, point.name)):
        color = _LOOKS[point.family][0]
        text = axes.text(
            0, 0, Path(point.name).name, fontsize=8, color=color, ha="center", va="center"
        )
        extent = text.get_window_extent()
        box = _free_place(centres[point], extent, taken, axes.bbox)
        taken.append(box)
        middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        text.set_position(_moved(axes.transData.inverted(), middle))
        _tie(axes, centres[point], box, color)


def _moved(transform: Transform, place: Pair) -> Pair:
    x, y = transform.transform(place)
    return float(x), float(y)


def _free_place(centre: Pair, extent: Bbox, taken: Sequence[Bbox], room: Bbox) -> Bbox:
    """The nearest box for a name around its point that lies in the axes and on nothing.

    Args:
        centre: (x, y) of the point, in pixels.
        extent: a box as large as the name.
        taken: what it shall not lie on.
        room: where it has to lie.
    """
    for distance, angle in itertools.product(_DISTANCES_PX, _ANGLES):
        x = centre[0] + math.cos(angle) * (distance + extent.width / 2)
        y = centre[1] + math.sin(angle) * (distance + extent.height / 2)
        box = _box(x, y, extent.width + _MARGIN_PX, extent.height)
        inside = room.contains(box.x0, box.y0) and room.contains(box.x1, box.y1)
        if inside and not box.count_overlaps(taken):
            return box
    return box  # the picture is full


def _box(x: float, y: float, width: float, height: float) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _tie(axes: Axes, centre: Pair, box: Bbox, color: str) -> None:
    """A thin line from a point to its name, where that is far."""
    nearest = float(np.clip(centre[0], box.x0, box.x1)), float(np.clip(centre[1], box.y0, box.y1))
    if math.dist(centre, nearest) > _NEAR_PX:
        ends = axes.transData.inverted().transform([centre, nearest])
        axes.plot(*ends.T, color=color, linewidth=0.5, zorder=1)
