"""The calibration faces, whose activations set the scales: chosen, checked and cropped.

They may share no image and no person with the faces that the result is measured on. Crops are cut
as on the device, without augmentation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.strategies import Features, choose
from landmint.runtime.contract import Contract
from landmint.runtime.crop import crop_matrix, normalise, warp
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import Face, FaceSet, read_face
from landmint.train.faces.leaks import pixel_digests, refuse_leaks, same_pixels


@dataclass(frozen=True, eq=False)
class Calibration:
    """The chosen faces, and a record of them for the manifest."""

    crops: NDArray[np.uint8]
    """(N, S, S, 3) RGB, cut by the contract's crop rule."""
    record: Mapping[str, Any]
    """Strategy, seed, size, fingerprint of the faces, and name and pixel hash of each image."""

    def tensors(self, contract: Contract) -> NDArray[np.float32]:
        """The normalised crops (N, ...), in the contract's layout."""
        return normalise(self.crops, contract)


def calibrate(
    faces: FaceSet,
    evaluation: FaceSet,
    contract: Contract,
    config: QuantizeConfig,
    features: Features | None = None,
) -> Calibration:
    """Choose calibration faces and cut their crops.

    Args:
        faces: to choose from.
        evaluation: what the quantised model will be measured on.
        contract: of the model; says how to crop.
        config: strategy, size and seed.
        features: computes feature vectors of faces; needed by the strategy "features" alone.

    Raises:
        LandmintError: a set has another markup than the model, there are too few faces, a
            coordinate is not finite, an image is unreadable, or an image or a person is in both
            sets.
    """
    _check_markup(faces, contract)
    _check_markup(evaluation, contract)
    _check_sound(faces.faces)
    chosen = choose(faces, config, features)
    digests = pixel_digests(face.image for face in chosen)
    refuse_leaks(
        chosen,
        evaluation.faces,
        "{count} calibration faces share {what} with the evaluation set",
        same_pixels(digests, pixel_digests),
        "calibrate on the training or validation split, and split the data by person "
        "(faces.person_pattern tells who is who)",
        "figures measured on what a model was calibrated with prove nothing",
    )
    images = [{"name": face.name, "sha256": digests[face.image]} for face in chosen]
    record = {
        "strategy": config.strategy,
        "seed": config.seed,
        "size": config.size,
        "fingerprint": faces.fingerprint,
        "images": images,
    }
    return Calibration(crops_of(chosen, contract), record)


def _check_markup(faces: FaceSet, contract: Contract) -> None:
    if faces.markup != contract.markup:
        raise LandmintError(
            f"{faces.source} has {faces.markup} landmarks, the model {contract.markup}",
            remedy="use faces of the model's markup",
        )


def _check_sound(faces: Sequence[Face]) -> None:
    for face in faces:
        finite = not np.isinf(face.points).any() and np.isfinite(face.box).all()
        if not finite or face.box.w <= 0 or face.box.h <= 0:
            raise LandmintError(
                f"calibration face {face.name} has "
                + ("a box without area" if finite else "a coordinate that is no finite number"),
                remedy="correct its annotation, or remove the face",
            )


def crops_of(chosen: Sequence[Face], contract: Contract) -> NDArray[np.uint8]:
    """Crops (N, S, S, 3) of faces in RGB, cut by the contract's crop rule.

    Raises:
        LandmintError: an image is unreadable.
    """
    size = contract.input_size
    return np.stack(
        [warp(read_face(face), crop_matrix(face.box, contract.crop, size), size) for face in chosen]
    )
