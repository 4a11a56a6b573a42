"""From a face box to the model's input, and landmarks back to the image.

Coordinates are pixel-centre: (0, 0) is the centre of the top-left pixel. Matrices are 2x3 and
map crop pixels to image pixels. Training uses this code, so that a device sees the same crops.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract, CropRule
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup
from landmint.runtime.quantised import Integers, Quantisation
from landmint.runtime.sampling import (
    block_means,
    interpolate,
    interpolates_whole,
    look_up,
    look_up_planes,
)

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

SMALLEST_PX, LARGEST_PX = 1e-3, 1e6
"""No face is smaller, no picture larger; beyond, arithmetic would overflow or fill the memory."""
_ROUNDING = 1 / 16
"""By how much of a pixel interpolation may round a place; with a margin."""


class Box(NamedTuple):
    """A face box in image pixels."""

    x: float
    """Left edge."""
    y: float
    """Top edge."""
    w: float
    """Width."""
    h: float
    """Height."""


def has_area(box: Box) -> bool:
    """Whether a box can be cropped: finite, its sides of a size that faces can have."""
    x, y, w, h = box
    if not (SMALLEST_PX <= w <= LARGEST_PX and SMALLEST_PX <= h <= LARGEST_PX):  # as NaN is not
        return False
    return -LARGEST_PX <= x <= LARGEST_PX and -LARGEST_PX <= y <= LARGEST_PX


def box_of(points: Floats) -> Box:
    """The tight box of landmarks of shape (N, 2), some of which may be missing (NaN)."""
    (left, top), (right, bottom) = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    return Box(float(left), float(top), float(right - left), float(bottom - top))


def crop_matrix(box: Box, rule: CropRule, size: int) -> Floats:
    """The 2x3 matrix from the pixels of a size x size crop to those of the image.

    Raises:
        LandmintError: the box is empty, not finite, or far larger than any picture.
    """
    if not has_area(box):
        raise LandmintError(
            f"face box {tuple(float(v) for v in box)} has no area that can be cropped",
            reason=f"width and height are {SMALLEST_PX} to {LARGEST_PX:.0f} px, edges as near",
            remedy="give the box as x,y,w,h in image pixels",
        )
    side = max(box.w, box.h)
    width, height = (side, side) if rule.square else (box.w, box.h)
    step_x, step_y = rule.scale[0] * width / size, rule.scale[1] * height / size
    centre_x, centre_y = (
        box.x + (0.5 + rule.shift[0]) * box.w,
        box.y + (0.5 + rule.shift[1]) * box.h,
    )
    middle = (size - 1) / 2
    return np.array(
        [[step_x, 0.0, centre_x - step_x * middle], [0.0, step_y, centre_y - step_y * middle]]
    )


def apply_affine(matrix: Floats, points: Floats) -> Floats:
    """Map points of shape (..., 2) by a 2x3 matrix, or by a stack of them (N, 2, 3)."""
    moved: Floats = points @ np.swapaxes(matrix[..., :2], -1, -2)
    return moved + matrix[..., None, :, 2] if points.ndim > 1 else moved + matrix[..., 2]


def compose(after: Floats, before: Floats) -> Floats:
    """The matrix that maps by `before`, then by `after`."""
    linear = after[:, :2] @ before[:, :2]
    return np.column_stack([linear, after[:, :2] @ before[:, 2] + after[:, 2]])


def invert_affine(matrix: Floats) -> Floats:
    """The inverse of an invertible 2x3 matrix."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def warp(image: Image, matrix: Floats, size: int) -> Image:
    """Sample a size x size crop of an (H, W, 3) image; bilinear, black outside.

    When a crop pixel is at least two image pixels wide, the image is first averaged over blocks of
    whole pixels, by four samples of each, so that large photographs do not alias. Blocks are two
    pixels wide, and from a crop pixel of four on as wide as that, to the nearest whole pixel. They
    are counted from the image's corner: they do not depend on the crop.
    """
    (xx, xy, x), (yx, yy, y) = matrix.tolist()
    step = math.sqrt(abs(xx * yy - xy * yx))
    step += 1e-6  # lest a step of 2, computed as 1.999.., count as less
    side = round(step) if step >= 4 else 2 if step >= 2 else 1
    if side == 1 and interpolates_whole(image):
        return interpolate(image, matrix, size)
    first_x, last_x = _reach(xx * (size - 1), xy * (size - 1), x, side, image.shape[1])
    first_y, last_y = _reach(yx * (size - 1), yy * (size - 1), y, side, image.shape[0])
    if last_x < first_x or last_y < first_y:
        return np.zeros((size, size, 3), np.uint8)
    if side == 1:
        part = image[first_y : last_y + 1, first_x : last_x + 1]
    else:
        count = (last_x - first_x + 1, last_y - first_y + 1)
        part = block_means(np.ascontiguousarray(image), (first_x, first_y), count, side)
    middle = 0.5 / side - 0.5
    moved = np.array(
        [
            [xx / side, xy / side, x / side + middle - first_x],
            [yx / side, yy / side, y / side + middle - first_y],
        ]
    )
    return interpolate(part, moved, size)


def _reach(across: float, down: float, start: float, side: int, length: int) -> tuple[int, int]:
    """The first and the last block, along one axis, that the pixels of a crop lie between.

    The last is before the first where the crop lies outside the image.

    Args:
        across: how far along this axis the crop's last column lies of its first, in image pixels.
        down: how far its last row lies of its first.
        start: where its first pixel lies.
        side: of a block in pixels.
        length: of the image along this axis.
    """
    low, high = start + min(across, 0.0) + min(down, 0.0), start + max(across, 0.0) + max(down, 0.0)
    first, last = (low + 0.5) / side - 0.5, (high + 0.5) / side - 0.5
    most = (length - 1) // side
    return max(0, math.floor(first - _ROUNDING)), min(most, math.floor(last + _ROUNDING) + 1)


@functools.lru_cache(maxsize=8)
def _table(
    mean: tuple[float, ...], std: tuple[float, ...], entrance: Quantisation | None
) -> NDArray[Any]:
    """What each byte of each channel is normalised to, (256, 3); read-only."""
    table: NDArray[Any] = np.arange(256, dtype=np.float32)[:, None] - np.asarray(mean, np.float32)
    table /= np.asarray(std, np.float32)
    if entrance:
        table = entrance.quantise(table)
    table.flags.writeable = False
    return table


def normalise(crops: Image, contract: Contract) -> NDArray[np.float32]:
    """RGB crops (N, S, S, 3) as the model's input: (x - mean) / std, in its colours and layout.

    Mean and deviation are those of red, green and blue, whatever the order of the input's
    channels.
    """
    return _input(crops, contract, None)


def normalise_to(entrance: Quantisation, crops: Image, contract: Contract) -> Integers:
    """`normalise` rounded to the integers that a quantised input takes, in one step."""
    return _input(crops, contract, entrance)


def _input(crops: Image, contract: Contract, entrance: Quantisation | None) -> NDArray[Any]:
    table = _table(contract.mean, contract.std, entrance)
    if contract.color == "BGR":
        crops, table = crops[..., ::-1], table[:, ::-1]
    if contract.layout == "NHWC":
        return look_up(crops, table)
    return look_up_planes(crops, table)


def flip_points(points: Floats, width: int, markup: Markup) -> Floats:
    """Landmarks (..., L, 2) of the mirrored image of the given width in pixels."""
    mirrored = points[..., list(markup.flip), :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored
