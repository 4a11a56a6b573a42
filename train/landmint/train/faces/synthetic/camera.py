"""Pose, light and film: from a portrait on its relief to a picture of a head.

The relief is projected with weak perspective, point by point from far to near, so the nose hides
what lies behind it. Not a general renderer: one surface, one lamp, no cast shadows.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Floats, Image
from landmint.train.faces.synthetic.paint import Picture, clouds
from landmint.train.faces.synthetic.portrait import Portrait
from landmint.train.faces.synthetic.shape import FaceShape

_ROWS, _COLUMNS = 72, 88  # of the coarse grid on which geometry and light are computed


@dataclass(frozen=True)
class Pose:
    """How the head is turned; image axes: x right, y down, z towards the viewer."""

    yaw_rad: float
    """Positive turns the nose to the right of the picture."""
    pitch_rad: float
    """Positive turns the nose down."""
    roll_rad: float
    """Positive turns the head clockwise."""

    def matrix(self) -> Floats:
        """The rotation (3, 3): yaw first, then pitch, then roll."""
        (cy, sy), (cp, sp), (cr, sr) = (
            (np.cos(a), np.sin(a)) for a in (self.yaw_rad, self.pitch_rad, self.roll_rad)
        )
        yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        turned: Floats = roll @ pitch @ yaw
        return turned


@dataclass(frozen=True)
class HeadView:
    """A pose and a place in the picture."""

    pose: Pose
    """How the head is turned."""
    scale_px: float
    """Pixels per unit of the shape."""
    origin: tuple[float, float]
    """Where the shape's origin lies, in pixels."""

    def project(self, points: Floats) -> Floats:
        """Points (..., 3) of the shape in pixels (..., 2)."""
        rotation = self.pose.matrix()
        flat: Floats = points @ rotation[:2].T * self.scale_px + self.origin
        return flat

    def finer(self, factor: float) -> "HeadView":
        """The same view in a picture with `factor` times as many pixels across."""
        x, y = ((value + 0.5) * factor - 0.5 for value in self.origin)
        return HeadView(self.pose, self.scale_px * factor, (x, y))


@dataclass(frozen=True)
class Light:
    """One far lamp and the light from everywhere."""

    direction: tuple[float, float, float]
    """Towards the lamp, a unit vector."""
    ambient: float
    """Share of light that comes from everywhere, 0 to 1."""
    tint: tuple[float, float, float]
    """Colour of the light; 1 is neutral."""
    shine: float
    """Strength of the highlights."""

    def on(self, normals: Floats) -> NDArray[np.float32]:
        """Light (..., 4) on unit normals (..., 3): factor for red, green, blue, and highlight."""
        toward = np.array(self.direction)
        facing = normals @ toward
        diffuse = np.clip(0.8 * facing + 0.2, 0, None)
        level = self.ambient + (1 - self.ambient) * 1.25 * diffuse
        halfway = toward + (0, 0, 1)
        gloss = np.clip(normals @ (halfway / np.linalg.norm(halfway)), 0, 1) ** 22
        rgb = level[..., None] * np.array(self.tint)
        return np.concatenate([rgb, self.shine * 255 * gloss[..., None]], -1).astype(np.float32)


def render_face(
    canvas: Picture, shape: FaceShape, portrait: Portrait, view: HeadView, light: Light
) -> None:
    """Draw the face into the canvas, over what is there."""
    surface = shape.surface(_ROWS, _COLUMNS)
    lit = light.on(_normals(surface @ view.pose.matrix().T))
    seen_at, painted_at = view.project(surface), portrait.place(surface[..., :2])
    if view.pose.yaw_rad > 0:  # the right side is far: draw it first
        lit = lit[:, ::-1]
        seen_at, painted_at = seen_at[:, ::-1], painted_at[:, ::-1]
    rows, columns = int(4.6 * view.scale_px), int(5.2 * view.scale_px)
    corner = np.floor(seen_at.min(axis=(0, 1))).astype(int)
    width, height = (np.ceil(seen_at.max(axis=(0, 1))).astype(int) - corner + 1).tolist()
    samples = _refine(seen_at - corner, columns, rows)
    nearest = _splat(samples, height, width)
    sample = np.maximum(nearest, 0)

    painted = _refine(painted_at, columns, rows).reshape(-1, 2)[sample]
    missed = np.indices((height, width), dtype=np.float32)[::-1].transpose(1, 2, 0)
    missed -= samples.reshape(-1, 2)[sample]  # from the sample to the middle of the pixel
    flat = view.pose.matrix()[:2, :2] * view.scale_px / portrait.px_per_unit
    painted += missed @ np.linalg.inv(flat).T.astype(np.float32)
    column, row = (index.astype(np.float32) + 0.5 for index in np.divmod(sample, rows))
    grid_x, grid_y = column * (_COLUMNS / columns) - 0.5, row * (_ROWS / rows) - 0.5
    shade = _look_up(np.ascontiguousarray(lit), grid_x, grid_y)
    colour = _look_up(portrait.picture, painted[..., 0], painted[..., 1])
    colour *= shade[..., :3]
    colour += shade[..., 3:]
    _lay(canvas, colour, nearest >= 0, corner)


def _lay(
    canvas: Picture, patch: Picture, where: NDArray[np.bool_], corner: NDArray[np.int_]
) -> None:
    """Copy a patch (h, w, 3) into the canvas at `corner` (x, y), as far as it lies inside."""
    skip_x, skip_y = np.maximum(-corner, 0).tolist()
    left, top = np.maximum(corner, 0).tolist()
    inside = patch[skip_y:, skip_x:][: canvas.shape[0] - top, : canvas.shape[1] - left]
    height, width = inside.shape[:2]
    shown = where[skip_y : skip_y + height, skip_x : skip_x + width, None]
    np.copyto(canvas[top : top + height, left : left + width], inside, where=shown)


def _look_up(source: Picture, x: Picture, y: Picture) -> Picture:
    """The source's values at pixels (x, y), bilinear; its edge goes on for ever."""
    sampled = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return sampled.astype(np.float32, copy=False)


def _normals(surface: Floats) -> Floats:
    """Unit normals (rows, columns, 3) of a grid of points, towards the viewer."""
    down, across = np.gradient(surface, axis=0), np.gradient(surface, axis=1)
    normal = np.cross(across, down)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    unit: Floats = normal / np.maximum(length, 1e-9)
    return unit


def _refine(grid: Floats, columns: int, rows: int) -> Picture:
    """The grid of points, dense enough to leave few pixels empty; by column: (columns, rows, 2)."""
    turned = np.ascontiguousarray(grid.swapaxes(0, 1), dtype=np.float32)
    fine = cv2.resize(turned, (rows, columns), interpolation=cv2.INTER_LINEAR)
    return fine.astype(np.float32, copy=False)


def _splat(samples: Picture, height: int, width: int) -> NDArray[np.int32]:
    """Which of the samples (columns, rows, 2) each pixel shows (height, width); -1 for none.

    All samples lie inside. Later columns overwrite earlier ones. A pixel that no sample hits, but
    whose neighbours are hit, takes the sample of a neighbour.
    """
    pixels = np.rint(samples).astype(np.int32).reshape(-1, 2)
    nearest = np.full(height * width, -1, dtype=np.int32)
    nearest[pixels[:, 1] * width + pixels[:, 0]] = np.arange(len(pixels), dtype=np.int32)
    image = nearest.reshape(height, width)
    hit = (image >= 0).astype(np.uint8)
    square = np.ones((3, 3), dtype=np.uint8)
    hole = cv2.morphologyEx(hit, cv2.MORPH_CLOSE, square) > hit
    image[hole] = cv2.dilate(image.astype(np.float32), square)[hole].astype(np.int32)
    return image


@dataclass(frozen=True)
class Film:
    """What the camera does to the light that reaches it."""

    exposure: float
    """Factor on brightness."""
    contrast: float
    """Factor about mid grey."""
    saturation: float
    """0 grey, 1 as it is."""
    blur_px: float
    """Deviation of a Gaussian blur in pixels of the picture."""
    motion: tuple[float, float]
    """Movement during the exposure in pixels, right and down."""
    noise: float
    """Deviation of the sensor's noise on the 0..255 scale."""


def develop(canvas: Picture, size_px: int, film: Film, rng: np.random.Generator) -> Image:
    """The finished picture (size_px, size_px, 3): shrunk, blurred, exposed, with noise."""
    small = cv2.resize(canvas, (size_px, size_px), interpolation=cv2.INTER_AREA)
    if film.blur_px > 0.1:
        small = cv2.GaussianBlur(small, (0, 0), film.blur_px)
    if max(map(abs, film.motion)) > 0.5:
        small = cv2.filter2D(small, -1, _streak(film.motion))
    grey = small @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    small = grey[..., None] + np.float32(film.saturation) * (small - grey[..., None])
    small = (small * np.float32(film.exposure) - 128) * np.float32(film.contrast) + 128
    small += rng.standard_normal(small.shape, dtype=np.float32) * np.float32(film.noise)
    small += clouds(rng, size_px, size_px, size_px // 3, 3) * np.float32(0.5 * film.noise)
    picture: Image = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    return picture


def _streak(motion: tuple[float, float]) -> NDArray[np.float32]:
    """The kernel of a straight movement, symmetric so that landmarks keep their place."""
    reach = int(np.ceil(max(map(abs, motion)) / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    for t in np.linspace(-0.5, 0.5, 4 * reach + 1):
        kernel[round(reach + t * motion[1]), round(reach + t * motion[0])] += 1
    kernel /= kernel.sum()
    return kernel
