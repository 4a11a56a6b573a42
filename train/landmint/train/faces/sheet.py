"""A sheet of faces with their landmarks: the picture by which a person checks a data set."""

from collections.abc import Iterable

import cv2
import numpy as np

from landmint.runtime.contract import CropRule
from landmint.runtime.crop import Box, Floats, Image, apply_affine, crop_matrix, invert_affine, warp
from landmint.train.faces.face import Face, read_image

_RULE = CropRule(scale=(1.6, 1.6), square=True)
_INK = (60, 255, 90)


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
        shift = 4
        for x, y in (
            np.rint(apply_affine(invert_affine(matrix), points) * 2**shift).astype(int).tolist()
        ):
            cv2.circle(tile, (x, y), max(1, size_px // 200) << shift, _INK, -1, cv2.LINE_AA, shift)
    return tile
