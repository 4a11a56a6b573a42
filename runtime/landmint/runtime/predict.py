"""From crops, or one image and a face box, to landmarks in the image.

It finds no faces and draws nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract
from landmint.runtime.crop import (
    Box,
    Floats,
    Image,
    apply_affine,
    crop_matrix,
    normalise,
    normalise_to,
    warp,
)
from landmint.runtime.decode import decode
from landmint.runtime.engines.engine import Session, entrance_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.quantised import join

# Outputs of so many faces are decoded together: heatmaps of more would fill a board's memory.
_DECODED_TOGETHER = 16


@dataclass(frozen=True, eq=False)
class Prediction:
    """The landmarks of one face."""

    box: Box
    """Where the face was looked at, in image pixels."""
    points: Floats
    """(L, 2) in image pixels."""
    confidence: Floats
    """(L,); 1 for a head that states none."""


def predict_crops(
    session: Session, contract: Contract, crops: Image, matrices: Floats
) -> tuple[Floats, Floats]:
    """Landmarks of many faces, run one by one.

    Args:
        session: of any engine.
        contract: in the session's layout.
        crops: (N, S, S, 3) uint8 RGB.
        matrices: (N, 2, 3), each from crop to image pixels.

    Returns:
        points (N, L, 2) in image pixels and confidence (N, L). What the model returns is kept: a
        NaN stays a NaN, for the metrics to count as a failure.

    Raises:
        LandmintError: crops and matrices do not fit the contract, or outputs break it.
    """
    size = contract.input_size
    if crops.shape[1:] != (size, size, 3) or matrices.shape != (len(crops), 2, 3):
        raise LandmintError(
            f"crops of shape {crops.shape} with matrices of shape {matrices.shape}",
            reason=f"the contract wants (N, {size}, {size}, 3) and (N, 2, 3)",
        )
    parts = [
        _predict_some(session, contract, crops[i : i + _DECODED_TOGETHER])
        for i in range(0, len(crops), _DECODED_TOGETHER)
    ]
    if not parts:
        count = contract.landmarks.points
        return np.empty((0, count, 2)), np.empty((0, count))
    points = np.concatenate([points for points, _ in parts])
    confidence = np.concatenate([confidence for _, confidence in parts])
    return apply_affine(matrices, points), confidence


def _predict_some(session: Session, contract: Contract, crops: Image) -> tuple[Floats, Floats]:
    """Landmarks (N, L, 2) in crop pixels, and confidence."""
    runs = [session.run(input_of(session, contract, crop)) for crop in crops]
    return decode(contract, {name: join([run[name] for run in runs]) for name in runs[0]})


def input_of(session: Session, contract: Contract, crop: Image) -> NDArray[Any]:
    """A crop (S, S, 3) as the session takes it, in integers where it can."""
    entrance = entrance_of(session)
    if entrance:
        return normalise_to(entrance, crop[None], contract)
    return normalise(crop[None], contract)


def predict_image(
    session: Session, contract: Contract, image: NDArray[np.uint8], box: Box
) -> Prediction:
    """Landmarks of the face in `box` of an (H, W, 3) RGB image.

    Raises:
        LandmintError: the box has no area, or the image no three channels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise LandmintError(
            f"an image of shape {image.shape} and type {image.dtype}",
            reason="(H, W, 3) uint8 RGB is wanted",
        )
    matrix = crop_matrix(box, contract.crop, contract.input_size)
    crop = warp(image, matrix, contract.input_size)
    points, confidence = predict_crops(session, contract, crop[None], matrix[None])
    return Prediction(box, points[0], confidence[0])
