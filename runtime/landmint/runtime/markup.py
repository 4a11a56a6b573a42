"""Landmark schemes: how many points, which mirror which, where eyes and contours are.

Indices are 0-based. Sources: the annotation guides of 300W (68 points), WFLW (98) and LaPa (106),
COFW's (29; Burgos-Artizzu et al., 2013) and the 19 points that Zhu et al., 2016, chose of AFLW's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from landmint.runtime.errors import LandmintError

Indices = tuple[int, ...]
Normaliser = Literal["inter_ocular", "inter_pupil", "box"]
"""What landmark errors are divided by; `accuracy.normalisers` says how each is measured."""

_NAME = re.compile(r"[\w-]{1,40}")
_MOST_POINTS = 5000
_UNITS: Mapping[Normaliser, str] = MappingProxyType(
    {
        "inter_ocular": "inter-ocular distance",
        "inter_pupil": "inter-pupil distance",
        "box": "face box's size",
    }
)


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
    """14 landmarks for head pose: brow ends, eye corners, nose wings, mouth corners, lower lip,
    chin. Where no landmark is on the lower lip, the mouth's centre stands for it: on real faces
    that lowers the pitch by 2 degrees."""
    normalisers: tuple[Normaliser, ...] = ("inter_ocular", "inter_pupil", "box")
    """What errors can be divided by; the first is meant where nothing else is said. AFLW has
    profiles, whose eye corners may lie on top of each other: there it is the box alone."""

    def __post_init__(self) -> None:
        """Refuse a scheme whose parts do not fit.

        Raises:
            LandmintError: the flip map is no involution, a landmark is none of its own, the regions
                leave one out or name one twice, or it has no name or no normaliser.
        """
        every = range(self.points)
        listed = (*self.eye_corners, *self.pose_points, *(i for part in self.pupils for i in part))
        drawn = (i for line, _ in self.contours for i in line)
        parts = sorted(i for part in self.regions.values() for i in part)
        problems = {
            "a markup has 2 to 5000 landmarks": 2 <= self.points <= _MOST_POINTS,
            "its name is 1 to 40 letters, digits, - and _": bool(_NAME.fullmatch(self.name)),
            "flip names each landmark's mirror, whose mirror is that landmark": (
                len(self.flip) == self.points
                and all(i in every for i in self.flip)
                and all(self.flip[self.flip[i]] == i for i in every)
            ),
            f"landmarks are numbers from 0 to {self.points - 1}": all(
                i in every for i in (*listed, *drawn)
            ),
            "the regions name every landmark once": parts == list(every),
            "one of the regions is called eyes": "eyes" in self.regions,
            "each pupil is one landmark or more": all(self.pupils),
            "there are 14 pose points, or none": len(self.pose_points) in (0, 14),
            "there is a normaliser": bool(self.normalisers),
        }
        for rule, kept in problems.items():
            if not kept:
                raise LandmintError(
                    f"the markup '{self.name[:40]}' does not fit itself",
                    reason=rule,
                    remedy="correct the markup's file",
                )

    @property
    def error_unit(self) -> str:
        """In words, what landmark errors are shares of where nothing else is said."""
        return _UNITS[self.normalisers[0]]


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

_MARKUP_29 = Markup(
    name="29",
    points=29,
    flip=_flip(
        29,
        {},
        (
            *((0, 1), (2, 3), (4, 6), (5, 7)),
            *((8, 9), (10, 11), (12, 14), (13, 15), (16, 17)),
            *((18, 19), (22, 23)),
        ),
    ),
    eye_corners=(8, 9),
    pupils=((16,), (17,)),
    contours=(
        ((0, 4, 2, 5), True),
        ((1, 6, 3, 7), True),
        ((8, 12, 10, 13), True),
        ((9, 14, 11, 15), True),
        ((18, 21, 19), False),
        ((22, 24, 23, 27), True),
        ((22, 25, 23, 26), True),
    ),
    regions=MappingProxyType(
        {
            "contour": (28,),
            "brows": _span(0, 7),
            "nose": _span(18, 21),
            "eyes": _span(8, 15),
            "mouth": _span(22, 27),
            "pupils": (16, 17),
        }
    ),
    pose_points=(0, 2, 3, 1, 8, 10, 11, 9, 18, 19, 22, 23, 27, 28),
)

_MARKUP_19 = Markup(
    name="19",
    points=19,
    flip=_flip(19, {5: (0, 1, 2), 17: (6, 7, 8), 26: (12,), 32: (15,)}, ()),
    eye_corners=(6, 11),
    pupils=((7,), (10,)),
    contours=(
        (_span(0, 2), False),
        (_span(3, 5), False),
        (_span(6, 8), False),
        (_span(9, 11), False),
        (_span(12, 14), False),
        (_span(15, 17), False),
    ),
    regions=MappingProxyType(
        {
            "contour": (18,),
            "brows": _span(0, 5),
            "nose": _span(12, 14),
            "eyes": _span(6, 11),
            "mouth": _span(15, 17),
        }
    ),
    pose_points=(0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 16, 18),
    normalisers=("box",),
)

_MARKUP_106 = Markup(
    name="106",
    points=106,
    flip=_flip(
        106,
        {
            32: _span(0, 15),
            79: _span(33, 37),
            88: _span(38, 41),
            120: _span(55, 59),
            145: _span(66, 70),
            153: (71, 72, 73),
            174: (84, 85, 86),
            186: (91, 92),
            196: (96, 97),
            204: (101,),
        },
        ((74, 83), (104, 105)),
    ),
    eye_corners=(66, 79),
    pupils=((104,), (105,)),
    contours=(
        (_span(0, 32), False),
        (_span(33, 41), True),
        (_span(42, 50), True),
        (_span(51, 54), False),
        (_span(55, 65), False),
        (_span(66, 73), True),
        (_span(75, 82), True),
        (_span(84, 95), True),
        (_span(96, 103), True),
    ),
    regions=MappingProxyType(
        {
            "contour": _span(0, 32),
            "brows": _span(33, 50),
            "nose": _span(51, 65),
            "eyes": _span(66, 83),
            "mouth": _span(84, 103),
            "pupils": (104, 105),
        }
    ),
    pose_points=(33, 37, 42, 46, 66, 70, 75, 79, 57, 63, 84, 90, 93, 16),
)

MARKUPS: Mapping[str, Markup] = MappingProxyType(
    {
        markup.name: markup
        for markup in (_MARKUP_68, _MARKUP_98, _MARKUP_29, _MARKUP_19, _MARKUP_106)
    }
)


_OWN: dict[str, Markup] = {}
"""Markups that were read in this process, from files, contracts and labels."""


def keep_markup(markup: Markup) -> Markup:
    """Make a markup known by its name; one that is known already is the same.

    Raises:
        LandmintError: another markup has this name.
    """
    known = MARKUPS.get(markup.name) or _OWN.setdefault(markup.name, markup)
    if known != markup:
        raise LandmintError(
            f"two markups are called '{markup.name}'",
            reason="what is measured by one cannot be compared with the other",
            remedy="give yours another name",
        )
    return known


def known_markups() -> tuple[str, ...]:
    """Names of all markups, those that come along first."""
    return (*MARKUPS, *_OWN)


def own_markup(name: str) -> Markup | None:
    """The markup called `name`, if it does not come along with landmint."""
    return _OWN.get(name)


def get_markup(name: str) -> Markup:
    """The markup called `name`.

    Raises:
        LandmintError: there is no such markup.
    """
    try:
        return _OWN[name] if name in _OWN else MARKUPS[name]
    except KeyError:
        raise LandmintError(
            f"unknown markup '{name}'",
            remedy='one of your own stands in a file: markup = "FILE.toml"',
            choices=MARKUPS,
        ) from None
