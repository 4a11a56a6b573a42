"""Prediction runs crops through an engine and lands in image pixels."""

from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.crop import Box, apply_affine, crop_matrix
from landmint.runtime.engines import load_engine
from landmint.runtime.engines.null_engine import plain_face
from landmint.runtime.errors import LandmintError
from landmint.runtime.predict import predict_crops, predict_image

CONTRACT = Contract(
    markup="68",
    input_size=48,
    crop=CropRule((1.25, 1.25), True),
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
    layout="NHWC",
)
SESSION = load_engine("null").load(Path("nothing"), CONTRACT, threads=1)
FACE = plain_face(CONTRACT.landmarks) * 48 - 0.5


def test_points_are_mapped_back_by_each_crops_matrix() -> None:
    boxes = [Box(10 * i, 5, 40 + i, 50) for i in range(20)]
    matrices = np.stack([crop_matrix(box, CONTRACT.crop, 48) for box in boxes])
    crops = np.zeros((20, 48, 48, 3), dtype=np.uint8)
    points, confidence = predict_crops(SESSION, CONTRACT, crops, matrices)
    assert confidence.shape == (20, 68)
    for i in range(20):
        np.testing.assert_allclose(points[i], apply_affine(matrices[i], FACE), atol=1e-4)


def test_one_image() -> None:
    image = np.zeros((200, 300, 3), dtype=np.uint8)
    found = predict_image(SESSION, CONTRACT, image, Box(100, 50, 80, 80))
    # The null face is a circle around the middle of the box, 0.35 of the crop's side wide.
    np.testing.assert_allclose(found.points.mean(axis=0), (140, 90), atol=1e-3)
    np.testing.assert_allclose(np.ptp(found.points[:, 0]), 0.7 * 100, rtol=1e-3)


def test_no_faces() -> None:
    empty = np.zeros((0, 48, 48, 3), dtype=np.uint8)
    points, _ = predict_crops(SESSION, CONTRACT, empty, np.zeros((0, 2, 3)))
    assert points.shape == (0, 68, 2)


def test_what_does_not_fit_is_refused() -> None:
    crops = np.zeros((2, 48, 48, 3), dtype=np.uint8)
    with pytest.raises(LandmintError, match=r"the contract wants \(N, 48, 48, 3\)"):
        predict_crops(SESSION, CONTRACT, crops, np.zeros((3, 2, 3)))
    with pytest.raises(LandmintError, match="uint8 RGB is wanted"):
        predict_image(SESSION, CONTRACT, np.zeros((9, 9), dtype=np.uint8), Box(0, 0, 9, 9))
    with pytest.raises(LandmintError, match="has no area"):
        image = np.zeros((9, 9, 3), dtype=np.uint8)
        predict_image(SESSION, CONTRACT, image, Box(0, 0, 0, 9))
