"""One drawn face: its picture, its landmarks, and what is hard about it.

`generate` is pure: equal arguments draw equal faces. Nothing is written here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from landmint.runtime.crop import Floats, Image
from landmint.runtime.markup import Markup
from landmint.train.faces.face import ATTRIBUTES
from landmint.train.faces.synthetic.camera import Film, HeadView, Light, Pose, develop, render_face
from landmint.train.faces.synthetic.looks import Looks, sample_looks
from landmint.train.faces.synthetic.markup import landmarks
from landmint.train.faces.synthetic.occluder import Occluder, sample_occluder
from landmint.train.faces.synthetic.portrait import Portrait
from landmint.train.faces.synthetic.scene import Scene, paint_background
from landmint.train.faces.synthetic.shape import FaceShape, sample_expression, sample_identity

IMAGES_PER_PERSON = 4
"""Pictures of one person: equal shape and looks, another pose, expression, light and place."""

VERSION = 1
"""Raised whenever equal arguments come to draw another picture."""

_OVERSAMPLING = 1.5


class SyntheticFace(NamedTuple):
    """A drawn face."""

    image: Image
    """(S, S, 3) uint8 RGB."""
    points: Floats
    """Landmarks (L, 2) in image pixels."""
    attributes: dict[str, int]
    """Flags 0 or 1 by the names in ATTRIBUTES."""


def generate(seed: int, index: int, markup: Markup, size_px: int) -> SyntheticFace:
    """Draw face number `index`; IMAGES_PER_PERSON faces in a row are of one person.

    Args:
        seed: of the data set, not negative.
        index: of the face in it, not negative.
        markup: the landmarks to give.
        size_px: width and height of the picture; the face takes about half of it.
    """
    sitting = arrange(seed, index, markup, size_px)
    return SyntheticFace(sitting.draw(), sitting.points, sitting.attributes())


def moving_face(
    seed: int, index: int, markup: Markup, size_px: int, frames: int
) -> Iterator[SyntheticFace]:
    """A video of face number `index`: it moves through the picture, its landmarks still on it.

    Shape, expression, pose and light stay; the place goes once around an ellipse of a twentieth of
    the picture, the distance changes by three per cent, and every frame has its own noise.

    Args:
        seed: of the data set, not negative.
        index: of the face in it, not negative.
        markup: the landmarks to give.
        size_px: width and height of the picture.
        frames: how many.
    """
    sitting = arrange(seed, index, markup, size_px)
    view, attributes = sitting.view, sitting.attributes()
    for frame in range(frames):
        turn = 2 * np.pi * frame / frames
        x, y = (float(v) * size_px / 20 for v in (np.cos(turn), np.sin(2 * turn) / 2))
        place = (view.origin[0] + x, view.origin[1] + y)
        moved = replace(view, scale_px=view.scale_px * (1 + 0.03 * np.sin(turn)), origin=place)
        film = replace(sitting.film, motion=(0.0, 0.0))
        shot = replace(sitting, view=moved, film=film, frame=frame)
        yield SyntheticFace(shot.draw(), shot.points, attributes)


@dataclass(frozen=True)
class Sitting:
    """All that decides a picture, before anything is drawn."""

    shape: FaceShape
    """The face in 3D."""
    looks: Looks
    """Colours, hair, glasses."""
    relief: Floats
    """Landmarks (L, 3) on the face in 3D."""
    view: HeadView
    """Where the face is in the picture, and how it is turned."""
    light: Light
    """The lamp."""
    film: Film
    """Exposure, blur and noise."""
    occluder: Occluder | None
    """What is held before the face."""
    size_px: int
    """Width and height of the picture."""
    draw_seed: Sequence[int]
    """Seed of the background and the noise."""
    frame: int = 0
    """Of a video: the noise of the film differs from frame to frame."""

    @cached_property
    def points(self) -> Floats:
        """Landmarks (L, 2) in pixels of the picture."""
        return self.view.project(self.relief)

    def draw(self) -> Image:
        """The picture (S, S, 3), uint8 RGB."""
        rng = np.random.default_rng(self.draw_seed)
        noise = np.random.default_rng((*self.draw_seed, self.frame)) if self.frame else rng
        side = round(_OVERSAMPLING * self.size_px)
        factor = side / self.size_px
        canvas, view = np.empty((side, side, 3), dtype=np.float32), self.view.finer(factor)
        paint_background(canvas, rng)
        scene = Scene(canvas, self.shape, self.looks, view, self.light)
        scene.paint_behind()
        portrait = Portrait(self.shape, self.looks, view.scale_px)
        render_face(canvas, self.shape, portrait, view, self.light)
        scene.paint_before()
        if self.occluder is not None:
            self.occluder.finer(factor).paint(canvas)
        return develop(canvas, self.size_px, self.film, noise)

    def attributes(self) -> dict[str, int]:
        """Which of the difficulties that WFLW names this face has; nobody wears make-up."""
        pose, expression, light, unit = (
            self.view.pose, self.shape.expression, self.light, self.size_px / 160
        )  # fmt: skip
        closed = min(expression.eye_close) > 0.6
        difficult = {
            "pose": abs(pose.yaw_rad) > 0.52 or abs(pose.pitch_rad) > 0.35,
            "expression": closed or expression.mouth_open > 0.3 or expression.smile > 0.75,
            "illumination": light.ambient < 0.4 and abs(light.direction[0]) > 0.45,
            "make_up": False,
            "occlusion": self.looks.glasses == "dark"
            or (self.occluder is not None and bool(self.occluder.hides(self.points).any())),
            "blur": self.film.blur_px > 0.9 * unit or max(map(abs, self.film.motion)) > 2.5 * unit,
        }
        return {name: int(difficult[name]) for name in ATTRIBUTES}


def arrange(seed: int, index: int, markup: Markup, size_px: int) -> Sitting:
    """Decide all of face number `index`; the arguments are those of `generate`."""
    person, shot = divmod(index, IMAGES_PER_PERSON)
    rng = np.random.default_rng([seed, person])
    identity, looks = sample_identity(rng), sample_looks(rng)
    rng = np.random.default_rng([seed, person, 1 + shot])
    shape, pose = FaceShape(identity, sample_expression(rng)), _sample_pose(rng)
    relief = landmarks(shape, markup, pose.yaw_rad)
    outline = shape.jaw_line(33, pose.yaw_rad)  # the place may not depend on the markup
    view = _place(outline, pose, size_px, rng)
    light, film = _sample_light(rng), _sample_film(rng, size_px)
    occluder = None
    if rng.random() < 0.14:
        middle = view.project(outline.mean(axis=0))
        occluder = sample_occluder(rng, middle, 2 * view.scale_px, looks.skin)
    draw_seed = (seed, person, 1 + shot, 1)
    return Sitting(shape, looks, relief, view, light, film, occluder, size_px, draw_seed)


def _sample_pose(rng: np.random.Generator) -> Pose:
    """Mostly near the front; at most 49 degrees of yaw, 23 of pitch and 34 of roll."""
    yaw, pitch, roll = np.clip(rng.normal((0, 0.03, 0), (0.42, 0.16, 0.14)), *_TURNS).tolist()
    return Pose(yaw, pitch, roll)


_TURNS = (-0.85, -0.4, -0.6), (0.85, 0.4, 0.6)  # least and most yaw, pitch, roll in radians


def _place(outline: Floats, pose: Pose, size_px: int, rng: np.random.Generator) -> HeadView:
    """The view in which the face takes about half the picture, near its middle."""
    flat = HeadView(pose, 1.0, (0.0, 0.0)).project(outline)
    low, high = flat.min(axis=0), flat.max(axis=0)
    scale = size_px * rng.uniform(0.44, 0.6) / float((high - low).max())
    x, y = (
        (size_px - 1) / 2 - scale * (low + high) / 2 + rng.normal(0, 0.02 * size_px, 2)
    ).tolist()
    return HeadView(pose, scale, (x, y + 0.06 * size_px))


def _sample_light(rng: np.random.Generator) -> Light:
    """A lamp above, often to a side; hard light is rarer than soft."""
    toward = rng.normal(0, 1, 3) * (0.65, 0.35, 0) + (0, -0.35, 1)
    x, y, z = (toward / np.linalg.norm(toward)).tolist()
    r, g, b = rng.normal(1, (0.03, 0.015, 0.035)).tolist()
    return Light((x, y, z), float(rng.uniform(0.25, 0.7)), (r, g, b), float(rng.uniform(0, 0.14)))


def _sample_film(rng: np.random.Generator, size_px: int) -> Film:
    """Mostly sharp and well exposed; blur grows with the picture."""
    unit = size_px / 160
    motion = rng.normal(0, 3, 2) * unit * (rng.random() < 0.08)
    blurs = (0.0, 0.4, rng.uniform(0.6, 1.5))
    return Film(
        exposure=float(rng.uniform(0.8, 1.2)),
        contrast=float(rng.uniform(0.85, 1.15)),
        saturation=0.0 if rng.random() < 0.05 else float(rng.uniform(0.75, 1.1)),
        blur_px=float(rng.choice(blurs, p=(0.5, 0.35, 0.15))) * unit,
        motion=(float(motion[0]), float(motion[1])),
        noise=float(rng.uniform(1, 7)),
    )
