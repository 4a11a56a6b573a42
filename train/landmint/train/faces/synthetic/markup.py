"""The 68 and 98 landmarks of a synthetic face: samples of its curves, exact by construction.

Each markup is a table: which landmarks lie on which curve, and where on it. Not the curves
themselves, which are in `shape.py`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup
from landmint.train.faces.synthetic.shape import LEFT, RIGHT, FaceShape


class _Run(NamedTuple):
    """Landmarks of the left half or the middle, along one curve."""

    curve: str
    lower: bool
    indices: tuple[int, ...]
    us: tuple[float, ...]


_THIRDS, _QUARTERS = (0, 1 / 3, 2 / 3, 1), (0, 0.25, 0.5, 0.75, 1)


def _mouth(first: int) -> tuple[_Run, ...]:
    inner = first + 12
    return (
        _Run("lip", False, tuple(range(first, first + 4)), (0, 0.31, 0.76, 1)),
        _Run("lip", True, (first + 11, first + 10, first + 9), _THIRDS[1:]),
        _Run("inner_lip", False, (inner, inner + 1, inner + 2), (0, 0.64, 1)),
        _Run("inner_lip", True, (inner + 7, inner + 6), (0.64, 1)),
    )


# The right half follows from the markup's flip map, drawn with the right half's own expression.
_RUNS: Mapping[str, tuple[_Run, ...]] = {
    "68": (
        _Run("brow", False, (17, 18, 19, 20, 21), _QUARTERS),
        _Run("bridge", False, (27, 28, 29, 30), _THIRDS),
        _Run("nostril", False, (31, 32, 33), (0, 0.5, 1)),
        _Run("lid", False, (36, 37, 38, 39), _THIRDS),
        _Run("lid", True, (41, 40), _THIRDS[1:3]),
        *_mouth(48),
    ),
    "98": (
        _Run("brow", False, (33, 34, 35, 36, 37), _QUARTERS),
        _Run("brow", True, (41, 40, 39, 38), _QUARTERS[1:]),
        _Run("bridge", False, (51, 52, 53, 54), _THIRDS),
        _Run("nostril", False, (55, 56, 57), (0, 0.5, 1)),
        _Run("lid", False, (60, 61, 62, 63, 64), _QUARTERS),
        _Run("lid", True, (67, 66, 65), _QUARTERS[1:4]),
        *_mouth(76),
        _Run("pupil", False, (96,), (0,)),
    ),
}


def drawable(name: str) -> str:
    """The markup of this name if its landmarks can be drawn, else one whose can."""
    return name if name in _RUNS else next(iter(_RUNS))


def landmarks(shape: FaceShape, markup: Markup, yaw_rad: float) -> Floats:
    """The landmarks of the face on its surface, (L, 3), for a viewer at the given yaw.

    Raises:
        LandmintError: the markup cannot be drawn.
    """
    if markup.name not in _RUNS:
        raise LandmintError(f"no synthetic faces have markup {markup.name}", choices=_RUNS)
    plane = np.zeros((markup.points, 2))
    for run in _RUNS[markup.name]:
        us = np.array(run.us, dtype=np.float64)
        mirrored = [markup.flip[i] for i in run.indices]
        plane[mirrored] = _on_curve(shape, run, us, RIGHT)
        plane[list(run.indices)] = _on_curve(shape, run, us, LEFT)
    points = shape.lift(plane)
    contour = list(markup.regions["contour"])
    points[contour] = shape.jaw_line(len(contour), yaw_rad)
    return points


def _on_curve(shape: FaceShape, run: _Run, us: Floats, side: int) -> Floats:
    match run.curve:
        case "brow":
            return shape.brow(side, us, run.lower)
        case "lid":
            return shape.lid(side, us, run.lower)
        case "lip":
            return shape.lip(side, us, run.lower)
        case "inner_lip":
            return shape.inner_lip(side, us, run.lower)
        case "nostril":
            return shape.nostril(side, us)
        case "bridge":
            return shape.bridge(us)
        case _:
            return shape.pupil(side)
