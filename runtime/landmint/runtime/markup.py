"""Landmark schemes: how many points, which mirror which, where eyes and contours are.

Indices are 0-based. Sources: the 300W 68-point and the WFLW 98-point annotation guides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from landmint.runtime.errors import LandmintError

Indices = tuple[int, ...]


@dataclass(frozen=True)
class Markup:
    """One landmark scheme."""

    name: str
    """The name in recipes and contracts: the number of points."""
    points: int
    """Number of landmarks L."""
    flip: Indices
    """flip[i] is the landmark that stands at i's place in the mirrored face; an involution."""
    eye_corners: tuple[int, int]
    """Outer eye corners; their distance is the inter-ocular normaliser."""
    pupils: tuple[Indices, Indices]
    """Landmarks whose mean is each pupil; their distance is the inter-pupil normaliser."""
    contours: tuple[tuple[Indices, bool], ...]
    """Polylines to draw, each with whether it is closed."""
    regions: Mapping[str, Indices]
    """Landmarks by part of the face; together all of them, each once."""
    pose_points: Indices
    """14 landmarks for head pose: brow ends, eye corners, nose wings, mouth corners, lip, chin."""


def _span(first: int, last: int) -> Indices:
    return tuple(range(first, last + 1))


def _flip(count: int, sums: Mapping[int, Indices], pairs: tuple[tuple[int, int], ...]) -> Indices:
    """The flip map from runs of landmarks whose mirror is `sum - i`, and single pairs."""
    flip = list(range(count))
    for total, run in sums.items():
        for i in run:
            flip[i], flip[total - i] = total - i, i
    for i, j in pairs:
        flip[i], flip[j] = j, i
    return tuple(flip)


_MARKUP_68 = Markup(
    name="68",
    points=68,
    flip=_flip(
        68,
        {16: _span(0, 7), 43: _span(17, 21), 66: (31, 32), 102: (48, 49, 50), 114: (55, 56)},
        ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), (60, 64), (61, 63), (65, 67)),
    ),
    eye_corners=(36, 45),
    pupils=(_span(36, 41), _span(42, 47)),
    contours=(
        (_span(0, 16), False),
        (_span(17, 21), False),
        (_span(22, 26), False),
        (_span(27, 30), False),
        (_span(31, 35), False),
        (_span(36, 41), True),
        (_span(42, 47), True),
        (_span(48, 59), True),
        (_span(60, 67), True),
    ),
    regions=MappingProxyType(
        {
            "contour": _span(0, 16),
            "brows": _span(17, 26),
            "nose": _span(27, 35),
            "eyes": _span(36, 47),
            "mouth": _span(48, 67),
        }
    ),
    pose_points=(17, 21, 22, 26, 36, 39, 42, 45, 31, 35, 48, 54, 57, 8),
)

_MARKUP_98 = Markup(
    name="98",
    points=98,
    flip=_flip(
        98,
        {
            32: _span(0, 15),
            79: _span(33, 36),
            88: (38, 39, 40),
            114: (55, 56),
            132: (60, 61, 62, 63, 64),
            140: (65, 66, 67),
            158: (76, 77, 78),
            170: (83, 84),
            180: (88, 89),
            188: (93,),
        },
        ((37, 42), (41, 47), (96, 97)),
    ),
    eye_corners=(60, 72),
    pupils=((96,), (97,)),
    contours=(
        (_span(0, 32), False),
        (_span(33, 41), True),
        (_span(42, 50), True),
        (_span(51, 54), False),
        (_span(55, 59), False),
        (_span(60, 67), True),
        (_span(68, 75), True),
        (_span(76, 87), True),
        (_span(88, 95), True),
    ),
    regions=MappingProxyType(
        {
            "contour": _span(0, 32),
            "brows": _span(33, 50),
            "nose": _span(51, 59),
            "eyes": _span(60, 75),
            "mouth": _span(76, 95),
            "pupils": (96, 97),
        }
    ),
    pose_points=(33, 38, 50, 46, 60, 64, 68, 72, 55, 59, 76, 82, 85, 16),
)

MARKUPS: Mapping[str, Markup] = MappingProxyType({"68": _MARKUP_68, "98": _MARKUP_98})


def get_markup(name: str) -> Markup:
    """The markup called `name`.

    Raises:
        LandmintError: there is no such markup.
    """
    try:
        return MARKUPS[name]
    except KeyError:
        raise LandmintError(f"unknown markup '{name}'", choices=MARKUPS) from None
