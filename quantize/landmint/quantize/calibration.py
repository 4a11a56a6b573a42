"""The faces whose activations set the scales: chosen by a stated strategy, hashed, kept apart.

They may share no image and no person with the faces that the result is measured on. Not a data
loader: crops are cut as the device cuts them, without augmentation.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.quantize.config import QuantizeConfig
from landmint.runtime.contract import Contract, CropRule
from landmint.runtime.crop import (
    Floats,
    apply_affine,
    crop_matrix,
    invert_affine,
    normalise,
    warp,
)
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face, FaceSet, image_digest, read_image
from landmint.train.faces.pose import euler_angles

PITCH_EDGES_DEG = (-15.0, 15.0)
YAW_EDGES_DEG = (-45.0, -15.0, 15.0, 45.0)
ROLL_EDGES_DEG = (-15.0, 15.0)

_NAMED = 3
_POSE_CROP = CropRule(1.2, square=True)  # angles want a crop that is not stretched


@dataclass(frozen=True, eq=False)
class Calibration:
    """Chosen faces, cut out and hashed."""

    crops: NDArray[np.uint8]
    """(N, S, S, 3) RGB, cut by the contract."""
    record: Mapping[str, Any]
    """For the manifest: strategy, seed, size, source, and name and pixel hash of each image."""

    def tensors(self, contract: Contract) -> NDArray[np.float32]:
        """(N, ...) as the model eats them, in the contract's layout."""
        return normalise(self.crops, contract)


def calibrate(
    faces: FaceSet, evaluation: FaceSet, contract: Contract, config: QuantizeConfig
) -> Calibration:
    """Choose calibration faces and cut their crops.

    Args:
        faces: to choose from.
        evaluation: what the quantised model will be measured on.
        contract: of the model; says how to crop.
        config: strategy, size and seed.

    Raises:
        LandmintError: the sets are of another markup than the model, too few faces, a coordinate
            that is not finite, an unreadable image, or an image or a person in both sets.
    """
    _check_markup(faces, contract)
    _check_markup(evaluation, contract)
    _check_sound(faces.faces)
    chosen = choose(faces, config)
    digests = check_apart(chosen, evaluation.faces)
    images = [{"name": face.name, "sha256": digests[face.image]} for face in chosen]
    record = {
        "strategy": config.strategy,
        "seed": config.seed,
        "size": config.size,
        "fingerprint": faces.fingerprint,
        "images": images,
    }
    return Calibration(_crops(chosen, contract), record)


def choose(faces: FaceSet, config: QuantizeConfig) -> tuple[Face, ...]:
    """`config.size` faces by the configured strategy, in the order of their names.

    Raises:
        LandmintError: there are fewer faces.
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
    else:
        picked = _evenly(strata(faces), config.size, rng)
    return tuple(faces.faces[i] for i in sorted(picked))


def strata(faces: FaceSet) -> NDArray[np.int64]:
    """(N, 3): the bins of pitch, yaw and roll that each face falls into."""
    markup = get_markup(faces.markup)
    angles = [euler_angles(_square_points(face), markup) for face in faces.faces]
    degrees = np.rad2deg(np.array(angles).reshape(-1, 3))
    edges = (PITCH_EDGES_DEG, YAW_EDGES_DEG, ROLL_EDGES_DEG)
    return np.stack([np.digitize(degrees[:, i], edges[i]) for i in range(3)], axis=1)


def _square_points(face: Face) -> Floats:
    """Landmarks (L, 2) in a square crop, divided by its side."""
    to_crop = invert_affine(crop_matrix(face.box, _POSE_CROP, size=1))
    return apply_affine(to_crop, face.points) + 0.5


def _evenly(bins: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices taken from every stratum in turn, until there are enough."""
    order = rng.permutation(len(bins))
    taken = Counter[bytes]()
    turns = []
    for i in order:
        stratum = bins[i].tobytes()
        turns.append(taken[stratum])
        taken[stratum] += 1
    return order[np.argsort(turns, kind="stable")][:size]


def check_apart(chosen: Sequence[Face], evaluation: Sequence[Face]) -> dict[Path, str]:
    """Refuse calibration faces that share an image or a person with the evaluation set.

    Images are compared by their pixels: a copy under another name is the same image.

    Returns:
        pixel hash by image file, of the chosen faces.

    Raises:
        LandmintError: they share one; the message names a few.
    """
    persons = {face.person for face in evaluation}
    shared = [face.name for face in chosen if face.person in persons]
    if shared:
        raise _leak("a person", shared)
    digests = _digests(face.image for face in chosen)
    seen = set(_digests(face.image for face in evaluation).values())
    shared = [face.name for face in chosen if digests[face.image] in seen]
    if shared:
        raise _leak("an image", shared)
    return digests


def _digests(images: Iterable[Path]) -> dict[Path, str]:
    """Pixel hash of each file, each read once; decoding runs beside hashing."""
    distinct = list(dict.fromkeys(images))
    with ThreadPoolExecutor() as pool:
        return dict(zip(distinct, pool.map(image_digest, distinct), strict=True))


def _leak(what: str, names: Sequence[str]) -> LandmintError:
    few = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return LandmintError(
        f"{len(names)} calibration faces share {what} with the evaluation set: {few}",
        reason="figures measured on what a model was calibrated with prove nothing",
        remedy="calibrate on the training or validation split, and split the data by person "
        "(faces.person_pattern tells who is who)",
    )


def _check_markup(faces: FaceSet, contract: Contract) -> None:
    if faces.markup != contract.markup:
        raise LandmintError(
            f"{faces.source} has {faces.markup} landmarks, the model {contract.markup}",
            remedy="use faces of the model's markup",
        )


def _check_sound(faces: Sequence[Face]) -> None:
    for face in faces:
        finite = np.isfinite(face.points).all() and np.isfinite(face.box).all()
        if not finite or face.box.w <= 0 or face.box.h <= 0:
            raise LandmintError(
                f"calibration face {face.name} has "
                + ("a box without area" if finite else "a coordinate that is no finite number"),
                remedy="correct its annotation, or remove the face",
            )


def _crops(chosen: Sequence[Face], contract: Contract) -> NDArray[np.uint8]:
    size = contract.input_size
    return np.stack(
        [
            warp(read_image(face.image), crop_matrix(face.box, contract.crop, size), size)
            for face in chosen
        ]
    )
