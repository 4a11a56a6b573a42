"""Brush strokes: antialiased shapes blended into a float picture. Knows nothing of faces.

Pictures are (H, W, 3) float32 on the 0..255 scale; points are (N, 2) pixels, pixel-centre.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Floats

Picture = NDArray[np.float32]
Mask = NDArray[np.uint8]
Colour = tuple[float, float, float]

_SHIFT = 5  # fractional bits of the coordinates given to OpenCV


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (factor under 1) or lighter colour."""
    r, g, b = (min(255.0, channel * factor) for channel in colour)
    return r, g, b


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour between two: `share` of the second."""
    r, g, b = ((1 - share) * a + share * b for a, b in zip(first, second, strict=True))
    return r, g, b


def fill(
    picture: Picture,
    polygon: Floats,
    colour: Colour,
    alpha: float = 1.0,
    soft_px: float = 0.0,
    clip: Mask | None = None,
) -> None:
    """Blend a polygon into the picture; `soft_px` blurs its edge, `clip` (H, W) limits it."""
    _blend(picture, polygon[None], colour, alpha, soft_px, 0, clip)


def stroke(
    picture: Picture,
    lines: Floats,
    colour: Colour,
    width_px: float,
    alpha: float = 1.0,
    soft_px: float = 0.0,
    clip: Mask | None = None,
) -> None:
    """Blend polylines (N, K, 2) of one width into the picture; under a pixel they fade."""
    _blend(
        picture, lines, colour, alpha * min(1.0, width_px), soft_px, max(1, round(width_px)), clip
    )


def _blend(
    picture: Picture,
    shapes: Floats,
    colour: Colour,
    alpha: float,
    soft_px: float,
    width: int,
    clip: Mask | None,
) -> None:
    """Fill the shapes (width 0) or stroke them, on no more of the picture than they touch."""
    margin = int(2.5 * soft_px) + width + 2
    low, high = shapes.min(axis=(0, 1)) - margin, shapes.max(axis=(0, 1)) + margin
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    right, bottom = max(int(high[0]) + 1, 0), max(int(high[1]) + 1, 0)
    part = picture[top:bottom, left:right]
    if part.size == 0:
        return
    mask = np.zeros(part.shape[:2], dtype=np.uint8)
    fixed = list(np.rint((shapes - (left, top)) * 2**_SHIFT).astype(np.int32))
    if width:
        cv2.polylines(mask, fixed, False, 255, width, cv2.LINE_AA, _SHIFT)
    else:
        cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, _SHIFT)
    if soft_px > 0:
        cv2.GaussianBlur(mask, (0, 0), soft_px, dst=mask)
    if clip is not None:
        cv2.multiply(mask, clip[top:bottom, left:right], dst=mask, scale=1 / 255)
    _apply(part, mask.astype(np.float32) * np.float32(alpha / 255), colour)


def _apply(part: Picture, share: NDArray[np.float32], colour: Colour) -> None:
    """Move each pixel towards the colour by its share (H, W), in place."""
    for channel, value in enumerate(colour):
        plane = part[..., channel]
        plane += (np.float32(value) - plane) * share


def glow(
    picture: Picture, centre: Floats, radii: tuple[float, float], colour: Colour, alpha: float
) -> None:
    """Blend a Gaussian patch into the picture; the radii are its deviations in pixels."""
    reach = 2.6 * np.array(radii)
    left, top = np.maximum(np.floor(centre - reach), 0).astype(int)
    right, bottom = np.maximum(np.ceil(centre + reach) + 1, 0).astype(int)
    part = picture[top:bottom, left:right]
    height, width = part.shape[:2]
    across = np.exp(-0.5 * ((np.arange(left, left + width) - centre[0]) / radii[0]) ** 2)
    down = np.exp(-0.5 * ((np.arange(top, top + height) - centre[1]) / radii[1]) ** 2)
    _apply(part, np.outer(alpha * down, across).astype(np.float32), colour)


def mask_of(polygon: Floats, height: int, width: int) -> Mask:
    """The polygon as an antialiased (height, width) mask, 0..255."""
    mask = np.zeros((height, width), dtype=np.uint8)
    fixed = np.rint(polygon * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
    return mask


_TURN = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=-1)


def ellipse(centre: Floats, radii: tuple[float, float], angle_rad: float = 0.0) -> Floats:
    """An ellipse as a polygon of 32 points."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    turned: Floats = (_CIRCLE * radii) @ np.array([[c, s], [-s, c]]) + centre
    return turned


def clouds(
    rng: np.random.Generator, height: int, width: int, cells: int, channels: int = 1
) -> Picture:
    """Smooth noise of mean 0 and deviation about 1, (height, width, channels)."""
    coarse = rng.standard_normal((cells + 1, cells + 1, channels), dtype=np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth.reshape(height, width, channels).astype(np.float32, copy=False)
