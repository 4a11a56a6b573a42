"""The strategies by which calibration faces are chosen.

Equal seeds choose equal faces. `calibration.py` checks the sets.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from landmint.quantize.config import QuantizeConfig, Strategy
from landmint.runtime.contract import CropRule
from landmint.runtime.crop import Floats, apply_affine, crop_matrix, invert_affine, warp
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face, FaceSet, read_face
from landmint.train.faces.pose import euler_angles

PITCH_EDGES_DEG = (-15.0, 15.0)
YAW_EDGES_DEG = (-45.0, -15.0, 15.0, 45.0)
ROLL_EDGES_DEG = (-15.0, 15.0)

Bins = NDArray[np.int64]
Features = Callable[[Sequence[Face]], NDArray[np.float32]]
"""Computes feature vectors (N, F) of N faces."""

_SQUARE = CropRule((1.2, 1.2), square=True)  # angles want a crop that is not stretched
_SIDE_PX = 32
_THIRDS = (1 / 3, 2 / 3)
_HIDDEN_EDGES = (0.0, 0.1, 0.3)


def choose(
    faces: FaceSet, config: QuantizeConfig, features: Features | None = None
) -> tuple[Face, ...]:
    """`config.size` faces by the configured strategy, in the order of their names.

    Args:
        faces: to choose from.
        config: strategy, size and seed.
        features: computes feature vectors of faces; needed by the strategy "features" alone.

    Raises:
        LandmintError: there are fewer faces, the strategy has nothing to choose by, or an image is
            unreadable.
    """
    count = len(faces.faces)
    if count < config.size:
        raise LandmintError(
            f"{config.size} calibration faces were asked for, {faces.source} has {count}",
            remedy="lower quantize.size, or calibrate on a larger split",
        )
    rng = np.random.default_rng(config.seed)
    if config.strategy == "random":
        picked = rng.permutation(count)[: config.size]
    elif config.strategy == "features":
        if features is None:
            raise LandmintError(
                "the strategy 'features' needs a network",
                remedy="choose another quantize.strategy",
                choices=("random", *STRATA),
            )
        picked = k_centre(features(faces.faces), config.size, rng)
    else:
        picked = _evenly(STRATA[config.strategy](faces), config.size, rng)
    return tuple(faces.faces[i] for i in sorted(picked))


def pose(faces: FaceSet) -> Bins:
    """(N, 3): the bins of pitch, yaw and roll that each face falls into.

    Faces whose landmarks are missing, so that they do not tell, have bins of their own.
    """
    markup = get_markup(faces.markup)
    angles = [euler_angles(_square_points(face), markup) for face in faces.faces]
    degrees = np.rad2deg(np.array(angles).reshape(-1, 3))
    edges = (PITCH_EDGES_DEG, YAW_EDGES_DEG, ROLL_EDGES_DEG)
    bins = np.stack([np.digitize(degrees[:, i], edges[i]) for i in range(3)], axis=1)
    return np.where(np.isnan(degrees), -1, bins)


def _square_points(face: Face) -> Floats:
    """Landmarks (L, 2) in a square crop, divided by its side."""
    to_crop = invert_affine(crop_matrix(face.box, _SQUARE, size=1))
    return apply_affine(to_crop, face.points) + 0.5


def light(faces: FaceSet) -> Bins:
    """(N, 3): thirds of the set by brightness, by contrast, and by which side is lit.

    They are measured on the crop's luma (Rec. 601): its mean, its standard deviation, and the mean
    of the left half less that of the right. This cannot tell a dark skin from a dark room.
    """
    rows = []
    for face in faces.faces:
        crop = warp(read_face(face), crop_matrix(face.box, _SQUARE, _SIDE_PX), _SIDE_PX)
        luma = crop @ np.array([0.299, 0.587, 0.114])
        half = _SIDE_PX // 2
        rows.append([luma.mean(), luma.std(), luma[:, :half].mean() - luma[:, half:].mean()])
    figures = np.array(rows)
    edges = np.quantile(figures, _THIRDS, axis=0)
    return np.stack([np.digitize(figures[:, i], edges[:, i]) for i in range(3)], axis=1)


def occlusion(faces: FaceSet) -> Bins:
    """(N, 1): whether none, up to 10 %, up to 30 % or more of the landmarks are marked hidden.

    Where a data set marks whole faces as occluded instead of landmarks, such a face counts as more
    than 30 % hidden.

    Raises:
        LandmintError: the annotation calls nothing hidden.
    """
    hidden = np.array(
        [max(1 - face.visible.mean(), face.attributes.get("occlusion", 0)) for face in faces.faces]
    )
    if not hidden.any():
        raise LandmintError(
            f"{faces.source} has no face with a hidden landmark",
            reason="the strategy 'occlusion' has nothing to choose by",
            remedy="choose another quantize.strategy",
            choices=("random", "pose", "light", "features"),
        )
    bins: Bins = np.digitize(hidden, _HIDDEN_EDGES, right=True)[:, None]
    return bins


STRATA: Mapping[Strategy, Callable[[FaceSet], Bins]] = MappingProxyType(
    {"pose": pose, "light": light, "occlusion": occlusion}
)


def k_centre(features: NDArray[np.float32], size: int, rng: np.random.Generator) -> Bins:
    """Indices of faces, chosen such that every other face is near to one of them: greedy k-centre.

    Gonzalez, "Clustering to minimize the maximum intercluster distance" (1985): the next face is
    always the one that is farthest from all chosen so far.

    Args:
        features: (N, F).
        size: how many faces to choose.
        rng: draws the first face.
    """
    taken = [int(rng.integers(len(features)))]
    far = np.full(len(features), np.inf)
    while len(taken) < size:
        far = np.minimum(far, np.square(features - features[taken[-1]]).sum(axis=1))
        far[taken] = -1
        taken.append(int(far.argmax()))
    return np.array(taken)


def _evenly(bins: Bins, size: int, rng: np.random.Generator) -> Bins:
    """Indices taken from every stratum in turn, until there are enough."""
    order = rng.permutation(len(bins))
    taken = Counter[bytes]()
    turns = []
    for i in order:
        stratum = bins[i].tobytes()
        turns.append(taken[stratum])
        taken[stratum] += 1
    return order[np.argsort(turns, kind="stable")][:size]
