"""What `check` says of shapes: sides, order, eyes above the mouth, landmarks that lie strangely.

Faces with missing landmarks are passed over where the missing ones would be needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from landmint.runtime.crop import Floats
from landmint.runtime.markup import Markup
from landmint.train.faces.face import Face
from landmint.train.faces.posture import Posture, exchanged_pairs, expected_shape, posture
from landmint.train.faces.remark import Kind, Remark, SplitFaces, placed_faces
from landmint.train.faces.typical import FEWEST_FACES, strangeness, typical_shape

STRANGE = 3.0
"""A landmark so many times as far off as the worst of half of the faces is worth a look."""
_FEWEST_PAIRS = 3
"""Exchanged pairs that are no accident of a profile: 3,002 real faces have at most two."""
_ON_ITS_HEAD_DEG = 120.0
_ELSEWHERE, _NEARER = 0.15, 0.5
"""A landmark of the typical face is another's where it lies so far from its own place, as a share
of the distance of the eye corners, and at less than half of that from the other's."""

SWAPPED = Kind(
    "left and right swapped",
    True,
    "a flip without the markup's flip map leaves faces so: exchange the names of the two sides in "
    "these faces, or take flipped copies out; training flips faces by itself",
)
MIRRORED = Kind(
    "labels of the mirrored picture",
    True,
    "picture and labels were not mirrored together: mirror the one that was not, with the markup's "
    "flip map for the labels, or take such copies out; training flips faces by itself",
)
FROM_BELOW = Kind(
    "y counted from below",
    True,
    "landmarks are pixels right of and below the upper left corner: replace y by height - 1 - y",
)
ON_ITS_HEAD = Kind(
    "faces on their head", False, "turn picture and labels, or leave the faces out if they are few"
)
NO_FACE = Kind(
    "landmarks in another order",
    True,
    "these landmarks form no face in this order: choose the markup that they have, or put them in "
    "its order",
)
ORDER = Kind(
    "landmarks with other numbers than in the markup",
    True,
    "renumber them in all label files, or choose the markup that they have",
)
STRANGE_SHAPE = Kind("strange shapes", False, "look at them on the contact sheet")
NOT_COMPARED = Kind("not compared", False)


@dataclass(frozen=True, eq=False)
class Shape:
    """How a face's landmarks compare with those of all."""

    face: Face
    where: str
    distance: float
    landmark: int


def by_strangeness(read: Sequence[SplitFaces]) -> list[Shape]:
    """All whole faces, the strangest first; none where they are too few to compare."""
    named = [(where, face) for where, face in placed_faces(read) if face.placed.all()]
    if len(named) < FEWEST_FACES:
        return []
    far = strangeness(np.stack([face.points for _, face in named]))
    distance = far.max(axis=1)
    return [
        Shape(named[i][1], named[i][0], float(distance[i]), int(far[i].argmax()))
        for i in np.argsort(-distance, kind="stable").tolist()
    ]


def shape_remarks(
    read: Sequence[SplitFaces], ordered: Sequence[Shape], markup: Markup
) -> Iterator[Remark]:
    """What is wrong with shapes by the markup, then what is strange among them."""
    named = placed_faces(read)
    if named:
        points = np.stack([face.points for _, face in named])
        wrong: dict[str, Remark] = {}
        for remark in _postures([where for where, _ in named], points, markup):
            wrong.setdefault(remark.where, remark)
        yield from wrong.values()
        yield from _order(points, posture(points, markup), markup)
        for shape in ordered:
            if shape.distance > STRANGE and shape.where not in wrong:
                times = f"{shape.distance:.1f} times as far off as is usual"
                detail = f"landmark {shape.landmark} is {times}"
                yield Remark(STRANGE_SHAPE, shape.where, detail)
    if len(named) < FEWEST_FACES:
        detail = f"{len(named)} faces, and shapes are compared from {FEWEST_FACES} on"
        yield Remark(NOT_COMPARED, "shapes", detail)


def _postures(places: Sequence[str], points: Floats, markup: Markup) -> Iterator[Remark]:
    """Faces that are none, that are mirrored in all or in part, or that stand on their head."""
    held = posture(points, markup)
    pairs = exchanged_pairs(points, markup)
    turned = np.abs(held.roll_deg) > _ON_ITS_HEAD_DEG
    for i, where in enumerate(places):
        if held.is_no_face[i]:
            share = f"{100 * min(held.plain[i], held.mirrored[i]):.0f} %"
            yield Remark(NO_FACE, where, f"{share} of their spread is not that of a head")
        elif held.is_mirrored[i] and turned[i]:
            yield Remark(FROM_BELOW, where, "the face is mirrored and stands on its head")
        elif held.is_mirrored[i]:
            detail = "the landmarks fit a face with its sides exchanged"
            yield Remark(SWAPPED, where, detail)
        elif len(pairs[i]) >= _FEWEST_PAIRS:
            some = ", ".join(f"{left} and {right}" for left, right in pairs[i][:5])
            more = f" and {len(pairs[i]) - 5} more pairs" if len(pairs[i]) > 5 else ""
            yield Remark(SWAPPED, where, f"landmarks {some}{more} have their sides exchanged")
        elif turned[i]:
            yield Remark(ON_ITS_HEAD, where, "the eyes lie below the mouth")


def _order(points: Floats, held: Posture, markup: Markup) -> Iterator[Remark]:
    """Landmarks of the typical face that stand at another's place, in the sets that are drawn."""
    expected = expected_shape(markup)
    fine = ~held.is_no_face & ~held.is_mirrored & np.isfinite(points).all(axis=(1, 2))
    if expected is None or np.count_nonzero(fine) < FEWEST_FACES:
        return
    far = _distances(typical_shape(points[fine]), expected)
    first, other = markup.eye_corners
    far = far / np.linalg.norm(expected[first] - expected[other])
    own, nearest = np.diag(far), far.argmin(axis=1)
    wrong = (own > _ELSEWHERE) & (far.min(axis=1) < _NEARER * own)
    for landmark in np.flatnonzero(wrong).tolist():
        detail = f"in most faces it stands where the markup has landmark {nearest[landmark]}"
        yield Remark(ORDER, f"landmark {landmark}", detail)


def _distances(shape: Floats, expected: Floats) -> Floats:
    """From each landmark of a shape (L, 2) to all of the expected one (L, 2), once aligned: (L, L).

    Aligned by least squares, from which landmarks that lie far off are taken in some rounds.
    """
    seen, wanted = (s[:, 0] + 1j * s[:, 1] for s in (shape, expected))
    weights = np.ones(len(seen))
    for _ in range(10):
        middle, aim = np.average(seen, weights=weights), np.average(wanted, weights=weights)
        own, other = seen - middle, wanted - aim
        turn = (weights * own.conj() * other).sum() / (weights * np.abs(own) ** 2).sum()
        apart = np.abs(turn * own - other)
        weights = 1 / np.maximum(apart, np.median(apart) + 1e-12)
    aligned = turn * (seen - middle) + aim
    return np.asarray(np.abs(aligned[:, None] - wanted[None]))
