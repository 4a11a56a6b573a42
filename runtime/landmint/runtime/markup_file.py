"""Reads a landmark scheme of one's own from TOML.

Once read it is known by its name, as those that come along; contracts and labels carry it on.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Indices, Markup, Normaliser, keep_markup
from landmint.runtime.typed_json import MismatchError, read_as


@dataclass(frozen=True)
class _Contour:
    """A polyline to draw."""

    points: Indices
    closed: bool = False


@dataclass(frozen=True)
class _Written:
    """A markup as its file says it; what may be left out has a default."""

    name: str
    flip: Indices
    eye_corners: tuple[int, int]
    pupils: tuple[Indices, ...] = ()
    contours: tuple[_Contour, ...] = ()
    regions: Mapping[str, Indices] = field(default_factory=dict)
    pose_points: Indices = ()
    normalisers: tuple[Normaliser, ...] = ("inter_ocular", "inter_pupil", "box")


def read_markup(path: Path) -> Markup:
    """Read a markup's TOML and make it known.

    Raises:
        LandmintError: the file is missing or no TOML, a field is missing, unknown, of the wrong
            type or does not fit the others, or another markup has its name.
    """
    remedy = f'correct {path}; "Any markup" in docs/importing.md tells what stands in it'
    try:
        written = read_as(_Written, tomllib.loads(path.read_text(encoding="utf-8")), path.name)
        return keep_markup(_markup_of(written))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, MismatchError) as error:
        raise LandmintError(
            f"{path} cannot be read as a markup", reason=str(error), remedy=remedy
        ) from None
    except LandmintError as error:
        raise LandmintError(error.fact, reason=error.reason, remedy=remedy) from None


def _markup_of(written: _Written) -> Markup:
    count = len(written.flip)
    eyes = {*written.eye_corners, *(i for pupil in written.pupils for i in pupil)}
    rest = tuple(i for i in range(count) if i not in eyes)
    left, right = written.pupils or tuple((corner,) for corner in written.eye_corners)
    return Markup(
        name=written.name,
        points=count,
        flip=written.flip,
        eye_corners=written.eye_corners,
        pupils=(left, right),
        contours=tuple((contour.points, contour.closed) for contour in written.contours),
        regions=written.regions or {"eyes": tuple(sorted(eyes)), "face": rest},
        pose_points=written.pose_points,
        normalisers=written.normalisers,
    )
