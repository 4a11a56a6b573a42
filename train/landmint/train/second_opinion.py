"""What a trained network says of labels: which way round they fit a face, and where they lean.

Not an evaluation: here the labels are judged. The network need not be good, only better than a
label that is exchanged, mirrored or of another face.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landmint.runtime.accuracy import face_sizes, nme_per_image, point_errors
from landmint.runtime.crop import Box, Floats
from landmint.train.evaluate import Evaluation, both_ways, evaluate
from landmint.train.faces.check_shapes import MIRRORED, SWAPPED
from landmint.train.faces.face import Face, FaceSet, read_face
from landmint.train.faces.remark import Kind, Remark
from landmint.train.models.base import LandmarkModel

_POOR = 0.15
"""An error, as a share of the markup's normaliser, from which on other ways round are tried."""
_CLEARLY = 0.5
_FAR = 0.3

FAR = Kind("labels far from where a model sees the face", False, "look at them; most are hard")


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a network makes of labelled faces."""

    lean_px: Floats
    """(N, 2) how far the labels of each face lie right of and below what the network sees, the mean
    over landmarks in image pixels. Right: of the middle between a face and its mirror image, which
    leans to neither side, whatever the network has learnt. Below: of what the network says, which
    may itself lean; mirroring does not tell."""
    error: Floats
    """(N,) error of the labels as they are, as a share of the markup's normaliser."""
    exchanged: Floats
    """(N,) the same with the names of the sides exchanged."""
    mirrored: Floats
    """(N,) the same with labels mirrored in the picture, the names of sides exchanged; infinite for
    labels that fit well as they are, where that is not tried."""
    mirrored_names_kept: Floats
    """(N,) likewise, with the names as they are."""


def second_opinion(model: LandmarkModel, faces: FaceSet) -> Opinion:
    """Run a network over faces and their mirror images.

    Args:
        model: of the faces' markup; trained on photographs, or on such faces.
        faces: with all landmarks.

    Raises:
        LandmintError: the markups differ, there are no faces, or an image cannot be read.
    """
    plain, middle = both_ways(model, faces)
    error = plain.per_face
    mirrored, kept = np.full((2, len(error)), np.inf)
    doubtful = np.flatnonzero(error > _POOR)
    if len(doubtful):
        turned = [_mirrored(faces.faces[i], model.contract.landmarks.flip) for i in doubtful]
        others = evaluate(model, replace(faces, faces=tuple(turned)))
        mirrored[doubtful], kept[doubtful] = others.per_face, _renamed(others, model)
    return Opinion(
        lean_px=np.asarray((plain.truth.points - middle).mean(axis=1)),
        error=error,
        exchanged=_renamed(plain, model),
        mirrored=mirrored,
        mirrored_names_kept=kept,
    )


def opinion_remarks(opinion: Opinion, places: Sequence[str]) -> Iterator[Remark]:
    """What is to be said of faces, whose `places` are in the same order; the worst first."""
    ways: Mapping[str, tuple[Floats, Kind]] = {
        "left and right exchanged": (opinion.exchanged, SWAPPED),
        "mirrored": (opinion.mirrored, MIRRORED),
        "mirrored, each landmark keeping its name": (opinion.mirrored_names_kept, MIRRORED),
    }
    far = []
    for i in np.argsort(-opinion.error, kind="stable").tolist():
        own = float(opinion.error[i])
        way = min(ways, key=lambda name: ways[name][0][i])
        other, kind = ways[way]
        if own > _POOR and other[i] < _CLEARLY * own:
            detail = f"a model's error falls from {own:.0%} to {other[i]:.0%} with labels {way}"
            yield Remark(kind, places[i], detail)
        elif own > _FAR:
            far.append(Remark(FAR, places[i], f"{own:.0%} of the normaliser away"))
    yield from far


def _renamed(result: Evaluation, model: LandmarkModel) -> Floats:
    """Errors (N,) where the names of the two sides are exchanged in the labels."""
    truth = result.truth.points[:, list(model.contract.landmarks.flip)]
    return nme_per_image(point_errors(result.points, truth), face_sizes(result.truth))


def _mirrored(face: Face, flip: Sequence[int]) -> Face:
    """The same picture with the labels of its mirror image."""
    last = read_face(face).shape[1] - 1
    points = np.array([last, 0]) + face.points[list(flip)] * (-1, 1)
    box = face.box
    return replace(face, points=points, box=Box(last - box.x - box.w, box.y, box.w, box.h))
