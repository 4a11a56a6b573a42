"""Pictures of groups, made of pictures with one labelled face each, for benchmarks/detectors.py."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from landmint.runtime.crop import Box, Image, box_of
from landmint.train.faces.face import read_image
from landmint.train.faces.pts300w import read_pts

SIDES = (1280, 960)
SIZES_PX = (24, 400)
"""Longer sides of the faces' landmark boxes: as many of each octave."""
_AROUND = 0.7
"""How far a face's own picture is kept about its box, in longer sides of that."""
_GAP_PX = 4


class Group(NamedTuple):
    """A picture and its faces."""

    image: Image
    boxes: tuple[Box, ...]
    """Tight boxes of their landmarks."""


def groups(labels: Sequence[Path], seed: int = 0) -> Iterator[Group]:
    """Pictures of 1280 x 960 with all the faces, each once, in rows, on something out of focus.

    Args:
        labels: .pts files of 68 points beside their pictures.
        seed: of sizes.
    """
    rng = np.random.default_rng(seed)
    low, high = np.log(SIZES_PX)
    patches = (_patch(path, float(np.exp(rng.uniform(low, high)))) for path in labels)
    group = _empty(labels[0])
    x = y = tallest = 0
    boxes: list[Box] = []
    for image, box in patches:
        height, width = image.shape[:2]
        if x + width > SIDES[0]:
            x, y, tallest = 0, y + tallest + _GAP_PX, 0
        if y + height > SIDES[1]:
            yield Group(group, tuple(boxes))
            group, boxes, x, y, tallest = _empty(labels[0]), [], 0, 0, 0
        group[y : y + height, x : x + width] = image
        boxes.append(Box(box.x + x, box.y + y, box.w, box.h))
        x, tallest = x + width + _GAP_PX, max(tallest, height)
    yield Group(group, tuple(boxes))


def _patch(path: Path, size_px: float) -> tuple[Image, Box]:
    """A face with what is about it, its box of this size."""
    image, box = read_image(path.with_suffix(".jpg")), box_of(read_pts(path, 68))
    side = max(box.w, box.h)
    left, top = (max(0, int(edge - _AROUND * side)) for edge in box[:2])
    right, bottom = (int(edge + _AROUND * side) for edge in (box.x + box.w, box.y + box.h))
    part, scale = image[top:bottom, left:right], size_px / side
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(part, None, fx=scale, fy=scale, interpolation=how), np.uint8)
    return resized, Box((box.x - left) * scale, (box.y - top) * scale, box.w * scale, box.h * scale)


def _empty(path: Path) -> Image:
    """A background without faces: a picture of one, wholly out of focus."""
    coarse = cv2.resize(read_image(path.with_suffix(".jpg")), (8, 6), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, SIDES, interpolation=cv2.INTER_CUBIC), np.uint8)
