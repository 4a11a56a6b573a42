"""A sheet of faces with their landmarks: the picture by which a person checks a data set."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import CropRule
from landmint.runtime.crop import Box, Floats, Image, apply_affine, crop_matrix, invert_affine, warp
from landmint.train.faces.face import Face, read_image

_RULE = CropRule(scale=(1.6, 1.6), square=True)
_INK = (60, 255, 90)
SHIFT = 4
"""OpenCV draws at 1/16 px: landmarks are not rounded to pixels."""


def contact_sheet(
    faces: Iterable[Face], columns: int, landmarks: bool = True, tile_px: int = 160
) -> Image:
    """The faces in rows, each cropped to 1.6 times its box.

    Args:
        faces: what to show, in reading order.
        columns: faces a row.
        landmarks: draw them too.
        tile_px: width and height of each face on the sheet.

    Returns:
        (rows * tile_px, columns * tile_px, 3) uint8 RGB; black where the last row has no face.

    Raises:
        LandmintError: an image is missing or unreadable.
    """
    tiles = [
        _tile(read_image(face.image), face.points, face.box, landmarks, tile_px) for face in faces
    ]
    blank = np.zeros((tile_px, tile_px, 3), dtype=np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def _tile(image: Image, points: Floats, box: Box, landmarks: bool, size_px: int) -> Image:
    matrix = crop_matrix(box, _RULE, size_px)
    tile = warp(image, matrix, size_px)
    if landmarks:
        radius = max(1, size_px // 200) << SHIFT
        for x, y in fixed_point(apply_affine(invert_affine(matrix), points)).tolist():
            cv2.circle(tile, (x, y), radius, _INK, -1, cv2.LINE_AA, SHIFT)
    return tile


def fixed_point(points: Floats) -> NDArray[np.int32]:
    """Coordinates in OpenCV's fixed point; far outside is clipped, lest they overflow."""
    clipped = np.clip(points, -(2.0**20), 2.0**20)
    fixed: NDArray[np.int32] = np.rint(clipped * 2**SHIFT).astype(np.int32)
    return fixed
