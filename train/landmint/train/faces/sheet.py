"""A sheet of faces with their landmarks: the picture by which a person checks a data set."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import CropRule
from landmint.runtime.crop import Box, Floats, Image, apply_affine, crop_matrix, invert_affine, warp
from landmint.runtime.markup import Markup
from landmint.train.faces.face import Face, read_face

_RULE = CropRule(scale=(1.6, 1.6), square=True)
Ink = tuple[int, int, int]
"""Red, green, blue."""
_INK: Ink = (60, 255, 90)
_FIRST_INK: Ink = (80, 170, 255)
_OTHER_INK: Ink = (255, 150, 40)
_LETTER_PX = 7
SHIFT = 4
"""OpenCV draws at 1/16 px: landmarks are not rounded to pixels."""


def contact_sheet(
    faces: Sequence[Face],
    columns: int,
    landmarks: bool = True,
    tile_px: int = 160,
    markup: Markup | None = None,
) -> Image:
    """The faces in rows, each cropped to 1.6 times its box.

    Args:
        faces: what to show, in reading order.
        columns: faces a row.
        landmarks: draw them too.
        tile_px: width and height of each face on the sheet.
        markup: of the faces; landmarks of the two sides are then drawn in two colours, so that an
            exchange is seen, and every tile carries the end of its face's name.

    Returns:
        (rows * tile_px, columns * tile_px, 3) uint8 RGB; black where the last row has no face.

    Raises:
        LandmintError: an image is missing or unreadable.
    """
    inks = None if markup is None else _inks_of_sides(faces, markup)
    tiles = []
    for face in faces:
        inked = inks or [_INK] * len(face.points)
        tile = _tile(read_face(face), face.points, face.box, inked if landmarks else [], tile_px)
        tiles.append(tile if markup is None else _named(tile, face.name))
    blank = np.zeros((tile_px, tile_px, 3), dtype=np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def _inks_of_sides(faces: Sequence[Face], markup: Markup) -> list[Ink]:
    """The colour of each landmark: which of a pair lies nearer the first eye, in most faces."""
    first, other = markup.eye_corners
    along = []
    for face in faces:
        axis = face.points[other] - face.points[first]
        along.append((face.points - face.points[list(markup.flip)]) @ axis)
    beyond = np.nanmedian(along, axis=0)
    return [_INK if x == 0 else _FIRST_INK if x < 0 else _OTHER_INK for x in beyond.tolist()]


def _named(tile: Image, name: str) -> Image:
    """The tile with the end of a name, which tells faces of one folder apart, on its lower edge."""
    shown, size = name[-len(tile) // _LETTER_PX :], 0.35
    shown = shown.encode("ascii", "replace").decode()
    place = (2, len(tile) - 4)
    for ink, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(tile, shown, place, cv2.FONT_HERSHEY_SIMPLEX, size, ink, width, cv2.LINE_AA)
    return tile


def _tile(image: Image, points: Floats, box: Box, inks: Sequence[Ink], size_px: int) -> Image:
    matrix = crop_matrix(box, _RULE, size_px)
    tile = warp(image, matrix, size_px)
    if inks:
        radius = max(1, size_px // 200) << SHIFT
        placed = np.flatnonzero(np.isfinite(points).all(axis=1))
        places = fixed_point(apply_affine(invert_affine(matrix), points[placed])).tolist()
        for (x, y), landmark in zip(places, placed.tolist(), strict=True):
            cv2.circle(tile, (x, y), radius, inks[landmark], -1, cv2.LINE_AA, SHIFT)
    return tile


def fixed_point(points: Floats) -> NDArray[np.int32]:
    """Coordinates in OpenCV's fixed point; far outside is clipped, lest they overflow."""
    clipped = np.clip(points, -(2.0**20), 2.0**20)
    fixed: NDArray[np.int32] = np.rint(clipped * 2**SHIFT).astype(np.int32)
    return fixed
