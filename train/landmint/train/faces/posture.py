"""What a markup says of any face: eyes above the mouth, its sides, the order of its landmarks.

Compared with a face that nobody labelled, so it also tells what is wrong with all faces of a set.
Not `typical`: that compares the faces of a set with each other.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup, get_markup
from landmint.train.faces.pose import POSE_MODEL
from landmint.train.faces.synthetic.markup import landmarks
from landmint.train.faces.synthetic.shape import Expression, FaceShape, Identity

NO_FACE = 0.45
"""Share of the 14 landmarks' spread that no turn, scale and mirroring of an average head explains,
beyond which they form no face. Of 3,428 real faces the strangest has 0.36, half have 0.014;
landmarks in random order have 0.9."""
_CLEARLY = 0.5
"""A mirrored fit leaves less than this share of what the plain one leaves. Of the same faces none
has less than 2.4."""
_PAIRS = ((0, 3), (1, 2), (4, 7), (5, 6), (8, 9), (10, 11))
"""Left and right of `Markup.pose_points`."""
_UPPER, _LOWER = list(range(8)), list(range(10, 14))
_SURELY = 0.05
"""Share of the eyes' distance by which a pair must be the wrong way round."""


@dataclass(frozen=True, eq=False)
class Posture:
    """How the 14 landmarks of head pose lie in each face; NaN where some are missing."""

    plain: Floats
    """(N,) share of their spread that a turned and scaled average head leaves."""
    mirrored: Floats
    """(N,) the same of its mirror image."""
    roll_deg: Floats
    """(N,) where the eyes lie as seen from the mouth: 0 above it, 90 to its right, 180 below."""

    @property
    def is_mirrored(self) -> NDArray[np.bool_]:
        """(N,) True where the sides are clearly exchanged."""
        return self.mirrored < _CLEARLY * self.plain

    @property
    def is_no_face(self) -> NDArray[np.bool_]:
        """(N,) True where the landmarks form no face either way round."""
        return np.minimum(self.plain, self.mirrored) > NO_FACE


def posture(points: Floats, markup: Markup) -> Posture:
    """How faces (N, L, 2) hold themselves, by the markup alone.

    The fit is that of Procrustes with complex numbers (Kent, "The complex Bingham distribution and
    shape analysis", 1994): 1 less the squared cosine between two centred shapes.
    """
    posed = points[:, list(markup.pose_points)]
    shapes = _unit(posed[..., 0] + 1j * posed[..., 1])
    head = _unit((POSE_MODEL[:, 0] + 1j * POSE_MODEL[:, 1])[None])[0]
    up = posed[:, _UPPER].mean(axis=1) - posed[:, _LOWER].mean(axis=1)
    return Posture(
        plain=1 - np.abs(shapes.conj() @ head) ** 2,
        mirrored=1 - np.abs(shapes @ head) ** 2,
        roll_deg=np.degrees(np.arctan2(up[:, 0], -up[:, 1])),
    )


def exchanged_pairs(points: Floats, markup: Markup) -> list[list[tuple[int, int]]]:
    """Of each face (N, L, 2) the pairs of landmarks whose left stands right of its right.

    Right is where most of the rights lie. What is left and right is the markup's word: that on its
    pose points where no more is known of it.
    """
    left, right = np.array(_sided(markup)).T
    across = points[:, right] - points[:, left]
    axis = np.nan_to_num(across).sum(axis=1)
    eyes = np.diff(points[:, list(markup.eye_corners)], axis=1)
    least = _SURELY * np.linalg.norm(eyes, axis=2) * np.linalg.norm(axis, axis=1, keepdims=True)
    wrong = (across * axis[:, None]).sum(axis=2) < -least
    return [[(int(left[i]), int(right[i])) for i in np.flatnonzero(row)] for row in wrong]


def expected_shape(markup: Markup) -> Floats | None:
    """The landmarks (L, 2) of an average face that looks straight ahead; None where none is known.

    It is the face that synthetic pictures vary. The median of 3,002 real faces with 68 points has
    every landmark within 0.09 times the distance of the outer eye corners from it.
    """
    return _expected(markup.name)


@cache
def _expected(name: str) -> Floats | None:
    try:
        face = landmarks(FaceShape(Identity(), Expression()), get_markup(name), 0.0)
    except LandmintError:
        return None
    return face[:, :2]


def _sided(markup: Markup) -> list[tuple[int, int]]:
    """Pairs of landmarks, that on the left of the picture first."""
    face = expected_shape(markup)
    if face is None:
        posed = markup.pose_points
        return [(posed[i], posed[j]) for i, j in _PAIRS]
    sides = face[:, 0] - face[list(markup.flip), 0]
    return [(int(i), markup.flip[i]) for i in np.flatnonzero(sides < 0)]


def _unit(shapes: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Shapes (N, L) of mean 0 and length 1."""
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # of shapes with missing landmarks, which stay NaN
        return np.asarray(centred / np.maximum(lengths, np.finfo(float).tiny))
