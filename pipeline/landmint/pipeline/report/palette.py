"""Colours, markers and lines of the variants, and the hand-over of colours from SVG to CSS.

Figures are drawn in stand-in colours that no picture contains otherwise; `themed` replaces each by
a CSS variable, so that one SVG serves a light page, a dark page and a printer. The values of the
variables stand in `page.css`. It is not a general theme: it knows this report's figures only.
"""

import re
from dataclasses import dataclass

INK = "#a0f010"
"""Text and axes."""
MUTED = "#a0f011"
"""Tick labels, notes, helper lines."""
GRID = "#a0f012"
"""Grid lines."""
SURFACE = "#a0f013"
"""The page behind the figure, for rims around markers."""

_FORMATS = {
    "torch": "#a0f001",
    "onnx": "#a0f002",
    "openvino": "#a0f003",
    "tflite": "#a0f004",
    "tensorrt": "#a0f005",
}
_OTHER = "#a0f006"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    SURFACE: "var(--surface)",
    _OTHER: "var(--c-other)",
    **{color: f"var(--c-{name})" for name, color in _FORMATS.items()},
}


@dataclass(frozen=True)
class Look:
    """How one variant is drawn in every figure: hue by format, shape and line by precision."""

    color: str
    """Stand-in colour."""
    marker: str
    """matplotlib marker."""
    line: str | tuple[int, tuple[float, ...]]
    """matplotlib line style."""


_PRECISIONS: dict[str, tuple[str, str | tuple[int, tuple[float, ...]]]] = {
    "float32": ("o", "solid"),
    "float16": ("s", (0, (6.0, 2.0))),
    "int8": ("D", (0, (1.5, 1.5))),
}


def split_variant(variant: str) -> tuple[str, str]:
    """Format and precision of a variant's name; the precision is empty where there is none."""
    family, _, precision = variant.partition("/")
    return family, precision


def css_class(variant: str) -> str:
    """The CSS class that carries the variant's colour."""
    family, _ = split_variant(variant)
    return f"c-{family}" if family in _FORMATS else "c-other"


def look_of(variant: str) -> Look:
    """The look of the variant called `variant`, e.g. `tflite/int8`."""
    family, precision = split_variant(variant)
    marker, line = _PRECISIONS.get(precision, ("^", "dashdot"))
    return Look(color=_FORMATS.get(family, _OTHER), marker=marker, line=line)


def themed(svg: str) -> str:
    """Replace every stand-in colour in `svg` by its CSS variable."""
    return re.sub(r"#a0f0[0-9a-f]{2}", lambda match: _VARIABLES[match.group()], svg)
