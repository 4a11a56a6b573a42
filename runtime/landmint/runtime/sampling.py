"""Pixels of a picture at other places: blocks made one pixel each, and bilinear interpolation.

Both count in integers, so that OpenCV, which interpolates where it is installed, and numpy alone
give the same bytes. Not geometry: which pixels a crop needs is said by `landmint.runtime.crop`.
"""

import functools
import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Image = NDArray[np.uint8]

_PARTS = 32
"""Places from one pixel to the next that interpolation tells apart."""
_FINE = 1024
"""Parts of a pixel to which each term of a place is rounded, before their sum is to `_PARTS`."""
_WORD = np.dtype("<u4")
"""A pixel and the byte after it: numpy copies words five times faster than three bytes."""
_OPENCVS_MOST_PX = 2**15 - 2
"""Larger pictures OpenCV does not interpolate: it counts places in 16 bits."""
_TWO_ROWS_FROM_PX = 8
"""Blocks of this side and larger are sampled in two rows. No cache holds the rows of such a face:
to fetch them takes longer than to add them up, and of four rows twice as long as of two."""


@functools.cache
def opencv() -> Any:
    """OpenCV; None on a device that has numpy alone."""
    try:
        return importlib.import_module("cv2")
    except ImportError:
        return None


def block_means(image: Image, first: tuple[int, int], count: tuple[int, int], side: int) -> Image:
    """Blocks of side x side pixels, each made one pixel: the mean of four samples of it.

    The samples stand on a rotated grid, no two in one row or column, as graphics hardware has them
    against aliasing. Of 2 x 2 pixels they are all four; of large blocks, two stand in a row. Blocks
    that the right or lower edge cuts are copies of the last whole one.

    Args:
        image: (H, W, 3), C-contiguous.
        first: column and row of the first block, counted in blocks from the top-left corner.
        count: blocks across and down, at least 1.
        side: of a block in pixels, at least 2.

    Returns:
        (rows, columns, 3), or 4 channels of which the fourth means nothing.
    """
    if min(image.shape[:2]) < side:
        short = [(0, max(0, side - length)) for length in image.shape[:2]]
        image = np.pad(image, (*short, (0, 0)), "edge")
    places = [
        (min(start, length // side - 1), min(start + number, length // side))
        for start, number, length in zip(first, count, image.shape[1::-1], strict=True)
    ]
    (left, right), (top, bottom) = places
    means = _whole_block_means(image, (left, top), (right - left, bottom - top), side)
    beyond = (0, count[1] + top - bottom), (0, count[0] + left - right), (0, 0)
    return np.pad(means, beyond, "edge") if beyond[0][1] or beyond[1][1] else means


def _whole_block_means(
    image: Image, first: tuple[int, int], count: tuple[int, int], side: int
) -> Image:
    """`block_means` of blocks that lie in the picture."""
    (x, y), (columns, rows) = first, count
    library = opencv()
    if side == 2 and library is not None:
        part = image[2 * y : 2 * (y + rows), 2 * x : 2 * (x + columns)]
    else:
        samples = _samples(image, first, count, side)
        if library is None:
            return _mean_of_samples(samples)
        part = samples.copy().view(np.uint8).reshape(2 * rows, 2 * columns, 4)
    means: Image = library.resize(part, count, interpolation=library.INTER_AREA)
    return means


def _samples(
    image: Image, first: tuple[int, int], count: tuple[int, int], side: int
) -> NDArray[np.uint32]:
    """Four samples of each block as words, (rows, 2, columns, 2), which lie there in rows.

    They are the corners of a parallelogram, so that one view has them all, which is copied row by
    row: what two samples read of one row comes from the processor's cache.
    """
    near, far, last, width = side // 8, 3 * side // 8, side - 1, image.shape[1]
    if side < _TWO_ROWS_FROM_PX:
        row, down, up = far, last - near - far, near - far
    else:
        row, down, up = side // 4, last - 2 * (side // 4), 0
    start = (first[1] * side + row) * width + first[0] * side + near
    steps = (side * width, down * width + far - near, side, up * width + last - far - near)
    return _words(image, start, (count[1], 2, count[0], 2), steps)


def _words(
    image: Image, start: int, shape: tuple[int, ...], steps: tuple[int, ...]
) -> NDArray[np.uint32]:
    """The word at each of the pixels that stand in even steps from the start on; a view or not."""
    reach = [(number - 1) * step for number, step in zip(shape, steps, strict=True)]
    last = start + sum(step for step in reach if step > 0)
    strides = tuple(3 * step for step in steps)
    if 3 * last + _WORD.itemsize <= image.nbytes:
        return np.ndarray(shape, _WORD, image, 3 * start, strides)
    if start + sum(step for step in reach if step < 0):
        # The last word would end beyond the picture: words that begin a byte earlier do not.
        early: NDArray[np.uint32] = np.ndarray(shape, _WORD, image, 3 * start - 1, strides)
        return early >> np.uint32(8)
    return np.ndarray(shape, _WORD, np.append(image, np.uint8(0)), 3 * start, strides)


def _mean_of_samples(samples: NDArray[np.uint32]) -> Image:
    """The mean of the four words of each block, byte by byte: (rows, columns, 4)."""
    rows, _, columns, _ = samples.shape
    words = np.ascontiguousarray(samples.transpose(0, 1, 3, 2)).reshape(rows, 4, columns)
    sums = np.full((rows, 4 * columns), 2, np.uint16)
    for place in range(4):
        sums += words[:, place].view(np.uint8)
    sums //= 4
    return sums.astype(np.uint8).reshape(rows, columns, 4)


def look_up(pictures: Image, table: NDArray[Any]) -> NDArray[Any]:
    """Each byte of pictures (N, H, W, 3) replaced by what a table (256, 3) has for its channel."""
    library = opencv()
    if library is not None and pictures.size:
        lines = np.ascontiguousarray(pictures).reshape(-1, pictures.shape[2], 3)
        values: NDArray[Any] = library.LUT(lines, table[None])
    else:
        values = np.empty(pictures.shape, dtype=table.dtype)
        for channel in range(3):
            values[..., channel] = table[:, channel].take(pictures[..., channel])
    return values.reshape(pictures.shape)


def look_up_planes(pictures: Image, table: NDArray[Any]) -> NDArray[Any]:
    """`look_up`, its result with the channels first: (N, 3, H, W)."""
    planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))  # bytes are quick to move
    values = np.empty(planes.shape, dtype=table.dtype)
    library = opencv()
    for channel, column in enumerate(np.ascontiguousarray(table.T)):
        for plane, target in zip(planes[:, channel], values[:, channel], strict=True):
            if library is not None:
                library.LUT(plane, column, target)
            else:
                column.take(plane, out=target, mode="clip")  # no byte is out of bounds
    return values


def interpolates_whole(picture: Image) -> bool:
    """Whether `interpolate` of a whole picture takes no longer than of the part that it reads."""
    within = max(picture.shape[:2]) <= _OPENCVS_MOST_PX
    return opencv() is not None and within and picture.flags.c_contiguous


def interpolate(picture: Image, matrix: Floats, size: int) -> Image:
    """A size x size picture of three channels, bilinear, black outside.

    Args:
        picture: (H, W, 3), or with a fourth channel that means nothing.
        matrix: 2x3, from the pixels of the result to those of the picture.
        size: side of the result in pixels.
    """
    library = opencv()
    if library is None:
        return _interpolate(picture[..., :3], matrix, size)
    flags = library.INTER_LINEAR | library.WARP_INVERSE_MAP
    crop: Image = library.warpAffine(picture, matrix, (size, size), flags=flags)
    return crop if crop.shape[2] == 3 else library.cvtColor(crop, library.COLOR_BGRA2BGR)


def _interpolate(picture: Image, matrix: Floats, size: int) -> Image:
    """`interpolate` by numpy alone, in OpenCV's integers."""
    padded = np.pad(picture, ((1, 2), (1, 2), (0, 0)))
    left, right = _places(matrix[0], size, picture.shape[1])
    top, below = _places(matrix[1], size, picture.shape[0])
    if left.shape[0] == top.shape[1] == 1:  # not turned: lines first, then columns of them
        lines = _blend(padded[top[:, 0]], padded[top[:, 0] + 1], below)
        before, after = (lines.take(columns, axis=1) for columns in (left[0], left[0] + 1))
        sums = _blend(before, after, right.astype(np.uint32))
    else:
        pixels, index = padded.reshape(-1, 3), top * padded.shape[1] + left
        upper = _blend(pixels[index], pixels[index + 1], right)
        index += padded.shape[1]
        lower = _blend(pixels[index], pixels[index + 1], right)
        sums = _blend(upper, lower, below.astype(np.uint32))
    sums += _PARTS**2 // 2
    return (sums // _PARTS**2).astype(np.uint8)


def _places(terms: Floats, size: int, length: int) -> tuple[Ints, NDArray[np.uint16]]:
    """Where the pixels of a crop lie along one axis of a padded picture.

    Places outside the picture, which is `length` long, are moved to its black border.

    Returns:
        the whole pixel before each, (rows, columns), and the parts from there on, with an axis for
        the channels; `size` rows and columns, but one where all of them would be equal.
    """
    grid = np.arange(size)
    along = np.rint(terms[0] * grid[: size if terms[0] else 1] * _FINE)
    across = np.rint((terms[1] * grid[: size if terms[1] else 1] + terms[2]) * _FINE)
    places = np.floor((along + across[:, None]) * (_PARTS / _FINE) + 0.5)
    places = np.clip(places, -_PARTS, length * _PARTS).astype(np.int64)
    return places // _PARTS + 1, (places % _PARTS).astype(np.uint16)[..., None]


def _blend(before: NDArray[Any], after: NDArray[Any], parts: NDArray[Any]) -> NDArray[Any]:
    """Between two pixels, times `_PARTS`; as wide integers as the parts are."""
    mixed: NDArray[Any] = before * (_PARTS - parts) + after * parts
    return mixed
