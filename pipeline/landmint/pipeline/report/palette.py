"""Colours, markers and lines of the variants, and the hand-over of colours from SVG to CSS.

Figures are drawn in stand-in colours that no picture contains otherwise; `themed` replaces each by
a CSS variable, so that one SVG serves a light page, a dark page and a printer. The values of the
formats' variables come from their records, the others stand in `page.css`. It is not a general
theme: it knows this report's figures only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from landmint.runtime.formats import LISTED

INK = "#a0f010"
"""Text and axes."""
MUTED = "#a0f011"
"""Tick labels, notes, helper lines."""
GRID = "#a0f012"
"""Grid lines."""
SURFACE = "#a0f013"
"""The page behind the figure, for rims around markers."""

_OTHER = "#a0f000"
_FORMATS = {name: f"#a0f1{place:02x}" for place, name in enumerate(LISTED)}
_LIGHT = {**{name: record.color.light for name, record in LISTED.items()}, "other": "#8a6d1a"}
_DARK = {**{name: record.color.dark for name, record in LISTED.items()}, "other": "#d8bb62"}
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
    "dynamic-int8": ("v", (0, (1.5, 3.0))),
    "int16x8": ("P", (0, (4.0, 1.5, 1.0, 1.5))),
    "w8a16": ("X", (0, (4.0, 1.5, 1.0, 1.5, 1.0, 1.5))),
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
    return re.sub(r"#a0f[01][0-9a-f]{2}", lambda match: _VARIABLES[match.group()], svg)


def format_styles() -> str:
    """CSS with the formats' colours on light and on dark pages, and a class for each."""
    classes = "\n".join(f".c-{name} {{ color: var(--c-{name}); }}" for name in _LIGHT)
    dark = f"@media screen and (prefers-color-scheme: dark) {{ {_variables(_DARK)} }}"
    return f"{_variables(_LIGHT)}\n{dark}\n{classes}\n"


def _variables(colors: Mapping[str, str]) -> str:
    values = " ".join(f"--c-{name}: {color};" for name, color in colors.items())
    return f":root {{ {values} }}"
