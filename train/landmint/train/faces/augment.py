"""Augmentation: one labelled face becomes a varied training crop, its landmarks exactly with it.

Geometry is composed into one matrix and sampled once, by the warp that runs on the device; only
then are the crop's pixels disturbed. Not a dataset: it reads no files and keeps no state.

The defaults stand between the recipes of PIPNet (translation, occlusion, blur, gray), HRNet (scale
.75-1.25, rotation 30 degrees with probability .6) and PFLD (centre +-10 %).
"""

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np
from numpy.random import Generator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from landmint.runtime.contract import CropRule
from landmint.runtime.crop import (
    Box,
    Floats,
    Image,
    apply_affine,
    compose,
    crop_matrix,
    invert_affine,
    warp,
)
from landmint.runtime.markup import Markup


def _ordered(values: tuple[float, float]) -> tuple[float, float]:
    if not values[0] <= values[1]:
        raise ValueError(f"a range runs from low to high, not from {values[0]} to {values[1]}")
    return values


Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
ScaleRange = Annotated[
    tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], AfterValidator(_ordered)
]
QualityRange = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=100)]], AfterValidator(_ordered)
]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, of RGB


class AugmentConfig(BaseModel):
    """How training crops vary. Ranges are drawn from uniformly."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    views: int = Field(default=0, ge=0)
    """How many different crops of a face are drawn and then seen over and over, so that a teacher
    is asked about each only once. 0 draws a new crop in every epoch."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of the crops. Left out: the seed of the training loop."""
    scale: ScaleRange = (0.85, 1.2)
    """Range of the size of the face box, as a multiple of the true one: detectors draw boxes of
    other sizes."""
    shift: Share = 0.08
    """The box's centre moves by up to this share of its sides, either way."""
    stretch: Share = 0.05
    """The box's width and height change by up to this share, apart from each other."""
    rotate_probability: Probability = 0.6
    """How often a face is rotated in the image plane."""
    rotate_degrees: float = Field(default=30.0, ge=0, le=180)
    """Largest angle of rotation, either way."""
    flip_probability: Probability = 0.5
    """How often a face is mirrored, landmarks by the markup's map."""
    occlude_probability: Probability = 0.4
    """How often blocks of one colour cover parts of the crop."""
    occlude_side: Share = 0.4
    """Longest side of a block, as a share of the crop's side."""
    occlude_blocks: int = Field(default=2, ge=1)
    """Largest number of blocks in a crop."""
    blur_probability: Probability = 0.25
    """How often the crop is blurred by a Gaussian."""
    blur_sigma: Share = 0.015
    """Largest standard deviation of that Gaussian, as a share of the crop's side: 4 px at 256."""
    gray_probability: Probability = 0.15
    """How often the crop loses its colour."""
    colour_probability: Probability = 0.6
    """How often brightness, contrast, saturation and tint change."""
    brightness: Share = 0.25
    """Mean brightness moves by up to this share of white."""
    contrast: Share = 0.3
    """Distance from the mean grows or shrinks by up to this share."""
    saturation: Share = 0.4
    """Distance from gray grows or shrinks by up to this share."""
    tint: Share = 0.1
    """The brightness of each channel changes by up to this share, apart from the others."""
    jpeg_probability: Probability = 0.2
    """How often the crop goes through a JPEG encoder."""
    jpeg_quality: QualityRange = (30, 90)
    """Range of the JPEG quality, from 1 to 100."""

    def reach_px(self, box: Box, rule: CropRule) -> float:
        """Side in image pixels of a square about the box that holds every possible crop."""
        longest = max(box.w, box.h)
        largest = longest * self.scale[1] * (1 + self.stretch)
        turns = self.rotate_probability > 0 and self.rotate_degrees > 0
        grown = max(rule.scale) * largest * (np.sqrt(2) if turns else 1.0)
        return float(grown + 2 * np.hypot(*rule.shift) * largest + 2 * self.shift * longest)

    def finest_step(self, box: Box, rule: CropRule, size: int) -> float:
        """Image pixels per crop pixel, along either axis, in the finest possible crop."""
        longest = max(box.w, box.h)
        sides = (longest, longest) if rule.square else (box.w, box.h)
        finest = min(scale * side for scale, side in zip(rule.scale, sides, strict=True))
        return finest * self.scale[0] * (1 - self.stretch) / size


def augment(
    image: Image,
    points: Floats,
    box: Box,
    rule: CropRule,
    size: int,
    markup: Markup,
    config: AugmentConfig,
    rng: Generator,
) -> tuple[Image, Floats]:
    """One varied crop of a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: (L, 2) landmarks in image pixels.
        box: the true face box in image pixels.
        rule: how a box becomes a crop.
        size: side S of the crop in pixels.
        markup: its flip map.
        config: probabilities and ranges.
        rng: source of every random number.

    Returns:
        the crop (S, S, 3) uint8 and its landmarks (L, 2) in crop pixels; they may lie outside.
    """
    matrix, flipped = draw_matrix(box, rule, size, config, rng)
    crop = disturb(warp(image, matrix, size), config, rng)
    labelled = points[list(markup.flip)] if flipped else points
    return crop, apply_affine(invert_affine(matrix), labelled)


def draw_matrix(
    box: Box, rule: CropRule, size: int, config: AugmentConfig, rng: Generator
) -> tuple[Floats, bool]:
    """A crop matrix with scale, shift, rotation and flip in it, and whether it mirrors.

    The face turns about the middle of the moved box, in image space: a rule that stretches the
    crop then stretches the turned face, as it would on the device. A rule that shifts the crop to
    the right shifts it to the right of a mirrored face too.
    """
    centre_x = box.x + box.w * (0.5 + rng.uniform(-config.shift, config.shift))
    centre_y = box.y + box.h * (0.5 + rng.uniform(-config.shift, config.shift))
    scale = rng.uniform(*config.scale)
    width, height = scale * (1 + rng.uniform(-config.stretch, config.stretch, 2)) * (box.w, box.h)
    jittered = Box(centre_x - width / 2, centre_y - height / 2, width, height)

    limit = np.radians(config.rotate_degrees) if happens(config.rotate_probability, rng) else 0.0
    cos, sin = np.cos(angle := rng.uniform(-limit, limit)), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    centre = np.array([centre_x, centre_y])
    turned = np.column_stack([turn, centre - turn @ centre])

    flipped = happens(config.flip_probability, rng)
    if not flipped:
        return compose(turned, crop_matrix(jittered, rule, size)), False
    mirrored = replace(rule, shift=(-rule.shift[0], rule.shift[1]))
    mirror = np.array([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0]])
    return compose(compose(turned, crop_matrix(jittered, mirrored, size)), mirror), True


def disturb(crop: Image, config: AugmentConfig, rng: Generator) -> Image:
    """The crop (S, S, 3) with other pixels in the same places: occlusion, blur, colour, JPEG."""
    if happens(config.occlude_probability, rng):
        crop = _occlude(crop, config, rng)
    if happens(config.blur_probability, rng):
        sigma = rng.uniform(0.4, max(0.4, config.blur_sigma * len(crop)))
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), dtype=np.uint8)
    colour = happens(config.colour_probability, rng)
    gray = happens(config.gray_probability, rng)
    if colour or gray:
        crop = _recolour(crop, config if colour else None, gray, rng)
    if happens(config.jpeg_probability, rng):
        crop = _compress(crop, int(rng.integers(*config.jpeg_quality, endpoint=True)))
    return crop


def happens(probability: float, rng: Generator) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)


def _occlude(crop: Image, config: AugmentConfig, rng: Generator) -> Image:
    covered, size = crop.copy(), len(crop)
    for _ in range(int(rng.integers(1, config.occlude_blocks, endpoint=True))):
        width, height = (rng.uniform(0.05, 1.0, 2) * config.occlude_side * size).astype(int)
        left, top = (rng.uniform(0, 1, 2) * (size - width, size - height)).astype(int)
        covered[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    return covered


def _recolour(crop: Image, config: AugmentConfig | None, gray: bool, rng: Generator) -> Image:
    """Saturation, tint, contrast and brightness as one affine map of RGB."""
    saturation, contrast, brightness, gain = 1.0, 1.0, 0.0, np.ones(3)
    if config is not None:
        saturation += rng.uniform(-config.saturation, config.saturation)
        contrast += rng.uniform(-config.contrast, config.contrast)
        brightness += rng.uniform(-config.brightness, config.brightness)
        gain += rng.uniform(-config.tint, config.tint, 3)
    if gray:
        saturation, gain = 0.0, np.ones(3)
    linear = gain[:, None] * (saturation * np.eye(3) + (1 - saturation) * _LUMA)
    mean = linear @ np.array(cv2.mean(crop)[:3])
    offset = (1 - contrast) * mean + 255 * brightness
    mixed = cv2.transform(crop, np.column_stack([contrast * linear, offset]))
    return np.asarray(mixed, dtype=np.uint8)


def _compress(crop: Image, quality: int) -> Image:
    bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)
