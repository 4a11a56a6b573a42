"""Landmarks drawn over a photograph.

Not the report's pictures: those are vectors and stand in `landmint.pipeline.report`.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from landmint.runtime.crop import Box, Floats, Image
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path
from landmint.runtime.markup import Markup
from landmint.train.faces.sheet import SHIFT, fixed_point

_LINE = (64, 224, 208)
_DOT = (255, 255, 255)
_RIM = (20, 30, 40)
_BOX = (255, 176, 32)

_READABLE_PX, _LARGEST_PX, _MOST = 240, 2048, 4


def enlargement(image: Image, boxes: Sequence[Box]) -> int:
    """How many times an image must grow for the landmarks of its smallest face to be told apart."""
    if not boxes:
        return 1
    wanted = _READABLE_PX / min(max(box.w, box.h) for box in boxes)
    allowed = _LARGEST_PX / max(image.shape[:2])
    return int(np.clip(np.floor(min(np.ceil(wanted), allowed)), 1, _MOST))


def enlarge(image: Image, factor: int) -> Image:
    """An RGB image (H, W, 3) grown by a whole factor; pixel p goes to (p + 0.5) factor - 0.5."""
    grown = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, dtype=np.uint8)


def draw_landmarks(image: Image, points: Floats, markup: Markup, box: Box | None = None) -> Image:
    """A copy of an RGB image (H, W, 3) with contours and dots over it.

    Args:
        image: the photograph.
        points: (L, 2) landmarks in image pixels.
        markup: tells what to connect.
        box: the face box to draw beneath; none when absent.
    """
    drawn = image.copy()
    # Thick enough for a large face, not so thick that a small one vanishes beneath.
    unit = float(np.ptp(points, axis=0).max()) / 300
    thin = max(1, round(1.2 * unit))
    if box is not None:
        corners = np.array([[box.x, box.y], [box.x + box.w, box.y + box.h]])
        (left, top), (right, bottom) = fixed_point(corners).tolist()
        cv2.rectangle(drawn, (left, top), (right, bottom), _BOX, thin, cv2.LINE_AA, SHIFT)
    for indices, closed in markup.contours:
        line = fixed_point(points[list(indices)]).reshape(-1, 1, 2)
        cv2.polylines(drawn, [line], closed, _LINE, thin, cv2.LINE_AA, SHIFT)
    radius = round(max(1.0, 2.2 * unit) * 2**SHIFT)
    for x, y in fixed_point(points).tolist():
        cv2.circle(drawn, (x, y), radius + 2**SHIFT // 2, _RIM, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(drawn, (x, y), radius, _DOT, -1, cv2.LINE_AA, SHIFT)
    return drawn


def write_image(path: Path, image: Image) -> None:
    """Write an RGB image (H, W, 3) in the format of the path's suffix, whole or not at all.

    Raises:
        LandmintError: the suffix names no format that can be written.
    """
    try:
        done, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        raise LandmintError(f"cannot write {path}", reason=f"no image format '{path.suffix}'")
    with atomic_path(path) as fresh:
        fresh.write_bytes(encoded.tobytes())
