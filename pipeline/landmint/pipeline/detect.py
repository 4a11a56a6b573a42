"""Faces in a photograph, for `landmint predict` without `--box`: OpenCV's Haar cascade.

The cascade is bundled with OpenCV, so nothing is downloaded. It finds upright, roughly frontal
faces. Not a part of any measurement: those use the boxes of the data set.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from landmint.runtime.crop import Box, Image
from landmint.runtime.errors import NotMeasuredError

_CASCADE = "haarcascade_frontalface_alt2.xml"
_LONGEST_PX = 1024
_SMALLEST_PX = 24
_SCALE_STEP = 1.1
_MIN_NEIGHBOURS = 4

# Models are trained on tight landmark boxes, the cascade returns a square from the forehead to the
# chin. Medians over 250 faces of YouTube Faces with 68 points, in units of the square's side; the
# landmark box stands lower (IQR .04) and is .90 wide (IQR .10), .86 high (IQR .09).
_DOWN, _WIDTH, _HEIGHT = 0.164, 0.896, 0.855


def find_faces(image: Image) -> list[Box]:
    """Boxes of the faces in an RGB image (H, W, 3), the largest first.

    The boxes are what a tight box of the landmarks would be, as models are trained on it; the
    square that the detector returns is converted by fixed ratios.

    Raises:
        NotMeasuredError: this OpenCV comes without its cascades.
    """
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
    return [_landmark_box(square, shrink) for square in reversed(by_area)]


@functools.cache
def _cascade() -> cv2.CascadeClassifier:
    """Read once: that takes as long as a small picture."""
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


def _landmark_box(square: Sequence[float], shrink: float) -> Box:
    x, y, w, h = (value / shrink for value in square)
    width, height = _WIDTH * w, _HEIGHT * h
    return Box(x + (w - width) / 2, y + (h - height) / 2 + _DOWN * h, width, height)
