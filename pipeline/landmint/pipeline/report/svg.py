"""Matplotlib figures as inline SVG: the same figure gives the same bytes, on any day.

Not a plotting library: `figures.py` draws, this turns a drawing into markup for the page.
"""

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landmint.pipeline.report.palette import GRID, INK, MUTED, themed

_STYLE: Any = {
    "svg.fonttype": "none",  # real text: selectable, readable aloud, small
    "font.size": 11,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@contextmanager
def drawing(width_in: float, height_in: float) -> Iterator[Figure]:
    """Yield an empty figure of the given size in inches, in the report's style."""
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width_in, height_in), layout="constrained")


def grid(axes: Axes, which: str = "both") -> None:
    """Draw a light grid along `which` axes ("x", "y" or "both")."""
    axes.grid(True, axis=which, which="major")  # type: ignore[arg-type]
    axes.tick_params(length=0, which="both")


def inline(figure: Figure, name: str, description: str) -> str:
    """The figure as one `<svg>` element for an HTML page.

    Args:
        figure: a finished drawing.
        name: unique in the page; salts the ids, so that figures cannot take each other's parts.
        description: what the picture says, for people who do not see it.

    Returns:
        Markup without dates, metadata, namespaces or anything that a browser would fetch.
    """
    buffer = io.StringIO()
    salted: Any = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(salted):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)  # would hold for the whole page
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r"font-family:[^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"<[^>]+>", _shortened, svg)
    svg = _unique_ids(svg, name)
    label = html.escape(description, quote=True)
    width_px = figure.get_figwidth() * 96
    head = (
        f'<svg role="img" aria-label="{label}" class="figure" '
        f'style="max-width:{width_px:.0f}px;min-width:{min(width_px, 460):.0f}px" '
    )
    svg = re.sub(r'^<svg\s+(?:width="[^"]*"\s*|height="[^"]*"\s*)*', head, svg)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    return themed(svg)


def _shortened(tag: re.Match[str]) -> str:
    """Two decimals in coordinates: a hundredth of a point is finer than any screen."""
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", tag.group())


def _unique_ids(svg: str, name: str) -> str:
    """Prefix the ids that are used, drop the others: matplotlib names its groups alike anew."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))

    def keep(match: re.Match[str]) -> str:
        return f' id="{name}-{match.group(1)}"' if match.group(1) in used else ""

    svg = re.sub(r'\s+id="([^"]*)"', keep, svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
