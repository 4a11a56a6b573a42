"""From a face box to the model's input, and landmarks back to the image.

Coordinates are pixel-centre: (0, 0) is the centre of the top-left pixel. Matrices are 2x3 and
map crop pixels to image pixels. Training uses this code, so that a device sees the same crops.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract, CropRule
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

SMALLEST_PX, LARGEST_PX = 1e-3, 1e6
"""No face is smaller, no picture larger; beyond, arithmetic would overflow or fill the memory."""


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
    near = all(abs(value) <= LARGEST_PX for value in box)  # which a NaN is not
    return near and min(box.w, box.h) >= SMALLEST_PX


def box_of(points: Floats) -> Box:
    """The tight box of landmarks of shape (N, 2)."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
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

    When the crop is at most half as fine as the image, the image is first averaged over blocks of
    whole pixels, so that large photographs do not alias.
    """
    # A millionth above, lest a step of 4, computed as 3.999.., count as 3.
    factor = int(np.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-6)
    if factor > 1:
        image, corner = _neighbourhood(image, matrix, size, factor)
        image = _shrink(image, factor)
        matrix = matrix / factor
        matrix[:, 2] += (0.5 - corner) / factor - 0.5
    padded = np.pad(image, ((1, 2), (1, 2), (0, 0)))
    height, width = padded.shape[:2]
    flat = padded.reshape(-1, 3)

    grid = np.arange(size, dtype=np.float64)
    x = matrix[0, 0] * grid[None, :] + matrix[0, 1] * grid[:, None] + (matrix[0, 2] + 1)
    y = matrix[1, 0] * grid[None, :] + matrix[1, 1] * grid[:, None] + (matrix[1, 2] + 1)
    x, y = np.clip(x, 0, width - 2), np.clip(y, 0, height - 2)
    left, top = x.astype(np.int32), y.astype(np.int32)
    right_share = (x - left).astype(np.float32)[..., None]
    below_share = (y - top).astype(np.float32)[..., None]
    index = top * width + left

    upper = flat[index] * (1 - right_share) + flat[index + 1] * right_share
    lower = flat[index + width] * (1 - right_share) + flat[index + width + 1] * right_share
    crop: Image = np.rint(upper * (1 - below_share) + lower * below_share).astype(np.uint8)
    return crop


def _neighbourhood(
    image: Image, matrix: Floats, size: int, factor: int
) -> tuple[Image, NDArray[np.int64]]:
    """The part of an image that a crop reads, and its top-left corner x, y.

    The corner stands on a whole block, so that averages do not depend on what was cut away.
    """
    last = size - 1.0
    corners = apply_affine(matrix, np.array([[0, 0], [last, 0], [0, last], [last, last]]))
    limit = np.array([image.shape[1], image.shape[0]]) - 1
    first = np.clip(corners.min(axis=0) // factor - 1, 0, limit // factor).astype(np.int64) * factor
    end = np.clip(corners.max(axis=0) + 3 * factor, first + 1, limit + 1).astype(np.int64)
    end = np.minimum(-(-end // factor) * factor, limit + 1)
    return image[first[1] : end[1], first[0] : end[0]], first


def _shrink(image: Image, factor: int) -> Image:
    """Average factor x factor blocks; the last row and column of blocks repeat the edge."""
    sums = _sum_blocks(_sum_blocks(image, factor, axis=0), factor, axis=1)
    small: Image = np.rint(sums.astype(np.float32) / np.float32(factor**2)).astype(np.uint8)
    return small


def _sum_blocks(values: NDArray[Any], factor: int, axis: int) -> NDArray[np.int64]:
    """Sums of `factor` neighbours along an axis; nothing is padded, however large a block is."""
    length = values.shape[axis]
    starts = np.arange(0, length, factor)
    sums: NDArray[np.int64] = np.add.reduceat(values, starts, axis=axis, dtype=np.int64)
    edge = np.take(values, -1, axis=axis).astype(np.int64)
    np.moveaxis(sums, axis, 0)[-1] += edge * (-length % factor)
    return sums


def normalise(crops: Image, contract: Contract) -> NDArray[np.float32]:
    """RGB crops (N, S, S, 3) as the model's input: (x - mean) / std, in its colours and layout.

    Mean and deviation are those of red, green and blue, whatever the order of the input's
    channels.
    """
    mean = np.asarray(contract.mean, dtype=np.float32)
    std = np.asarray(contract.std, dtype=np.float32)
    tensor: NDArray[np.float32] = (crops.astype(np.float32) - mean) / std
    if contract.color == "BGR":
        tensor = tensor[..., ::-1]
    if contract.layout == "NCHW":
        tensor = tensor.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(tensor)


def flip_points(points: Floats, width: int, markup: Markup) -> Floats:
    """Landmarks (..., L, 2) of the mirrored image of the given width in pixels."""
    mirrored = points[..., list(markup.flip), :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored
