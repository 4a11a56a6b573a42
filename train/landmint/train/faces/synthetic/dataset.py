"""The embedded default data set: synthetic faces with exact landmarks, as many as asked.

`generate` is pure: equal arguments draw equal faces. `write_synthetic` puts them on disk in the
300W layout, so that they are read like any other data set. Not photographs: a model trained on
them alone learns faces as these are drawn.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from landmint.runtime.crop import Floats, Image
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, read_json, write_json
from landmint.runtime.markup import Markup
from landmint.train.faces.face import ATTRIBUTES
from landmint.train.faces.pts300w import ATTRIBUTES_FILE, read_attributes, write_pts
from landmint.train.faces.pts300w import read_rows as read_pts_rows
from landmint.train.faces.readers import SPLITS, FacesConfig, Split
from landmint.train.faces.row import Row
from landmint.train.faces.synthetic.camera import Film, Light, Pose, View, develop, render_face
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

PERSON_PATTERN = r"^(p\d{6})_"
"""Finds the person in the name of a synthetic face."""

_FIRST_PERSON: Mapping[str, int] = {"train": 0, "val": 800_000, "test": 900_000}
_LAST_PERSON: Mapping[str, int] = {"train": 799_999, "val": 899_999, "test": 999_999}
_OVERSAMPLING = 1.5
_ABOUT_FILE = "synthetic.json"


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
    sitting = _arrange(seed, index, markup, size_px)
    return SyntheticFace(sitting.draw(), sitting.points, sitting.attributes())


def moving_face(
    seed: int, index: int, markup: Markup, size_px: int, frames: int
) -> Iterator[SyntheticFace]:
    """A video of face number `index`: it drifts through the picture, its landmarks still on it.

    Shape, expression, pose and light stay; the place goes once around an ellipse of a twentieth of
    the picture, the distance changes by three per cent, and every frame has its own noise.

    Args:
        seed: of the data set, not negative.
        index: of the face in it, not negative.
        markup: the landmarks to give.
        size_px: width and height of the picture.
        frames: how many.
    """
    sitting = _arrange(seed, index, markup, size_px)
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
class _Sitting:
    """All that decides a picture, before anything is drawn."""

    shape: FaceShape
    looks: Looks
    relief: Floats
    view: View
    light: Light
    film: Film
    occluder: Occluder | None
    size_px: int
    draw_seed: Sequence[int]
    frame: int = 0
    """Of a video: the noise of the film differs from frame to frame."""

    @cached_property
    def points(self) -> Floats:
        return self.view.project(self.relief)

    def draw(self) -> Image:
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
        found = {
            "pose": abs(pose.yaw_rad) > 0.52 or abs(pose.pitch_rad) > 0.35,
            "expression": closed or expression.mouth_open > 0.3 or expression.smile > 0.75,
            "illumination": light.ambient < 0.4 and abs(light.direction[0]) > 0.45,
            "make_up": False,
            "occlusion": self.looks.glasses == "dark"
            or (self.occluder is not None and bool(self.occluder.hides(self.points).any())),
            "blur": self.film.blur_px > 0.9 * unit or max(map(abs, self.film.motion)) > 2.5 * unit,
        }
        return {name: int(found[name]) for name in ATTRIBUTES}


def _arrange(seed: int, index: int, markup: Markup, size_px: int) -> _Sitting:
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
    return _Sitting(shape, looks, relief, view, light, film, occluder, size_px, draw_seed)


def _sample_pose(rng: np.random.Generator) -> Pose:
    """Mostly near the front; at most 49 degrees of yaw, 23 of pitch and 34 of roll."""
    yaw, pitch, roll = np.clip(rng.normal((0, 0.03, 0), (0.42, 0.16, 0.14)), *_TURNS).tolist()
    return Pose(yaw, pitch, roll)


_TURNS = (-0.85, -0.4, -0.6), (0.85, 0.4, 0.6)  # least and most yaw, pitch, roll in radians


def _place(outline: Floats, pose: Pose, size_px: int, rng: np.random.Generator) -> View:
    """The view in which the face takes about half the picture, near its middle."""
    flat = View(pose, 1.0, (0.0, 0.0)).project(outline)
    low, high = flat.min(axis=0), flat.max(axis=0)
    scale = size_px * rng.uniform(0.44, 0.6) / float((high - low).max())
    x, y = (
        (size_px - 1) / 2 - scale * (low + high) / 2 + rng.normal(0, 0.02 * size_px, 2)
    ).tolist()
    return View(pose, scale, (x, y + 0.06 * size_px))


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


def write_synthetic(
    root: Path,
    counts: Mapping[Split, int],
    markup: Markup,
    size_px: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the faces of each split as `root/SPLIT/p000123_0.png` and `.pts`, and their flags.

    No person is in two splits. Each file is written whole or not at all, and whole faces are kept,
    so an interrupted call goes on where it was. Faces of another seed, size, markup or version,
    and faces beyond the counts, are removed.

    Args:
        root: folder of the data set.
        counts: number of faces by split.
        markup: the landmarks to write.
        size_px: width and height of each picture.
        seed: equal seeds draw equal faces.
        progress: called with the number of faces done and in all, after each.

    Raises:
        LandmintError: more faces than a split has persons for.
    """
    names = {split: _names(split, count) for split, count in counts.items()}
    about = {"version": VERSION, "markup": markup.name, "size_px": size_px, "seed": seed}
    about_file = root / _ABOUT_FILE
    fresh = not about_file.is_file() or read_json(about_file) != about
    for split in SPLITS:
        _remove_others(root / split, set() if fresh else set(names.get(split, ())))
    write_json(about_file, about)

    total, done = sum(map(len, names.values())), 0
    for split, indices in names.items():
        known = read_attributes(root / split / ATTRIBUTES_FILE)
        flags: dict[str, Mapping[str, int]] = {}
        for name, index in indices.items():
            sitting = _arrange(seed, index, markup, size_px)
            _write_face(root / split / name, sitting)
            flags[name] = known.get(name) or sitting.attributes()
            done += 1
            if progress is not None:
                progress(done, total)
        _write_flags(root / split / ATTRIBUTES_FILE, flags)


def _names(split: Split, count: int) -> dict[str, int]:
    """The index of each face of a split by its name."""
    most = (_LAST_PERSON[split] - _FIRST_PERSON[split] + 1) * IMAGES_PER_PERSON
    if not 0 <= count <= most:
        raise LandmintError(
            f"cannot draw {count} synthetic {split} faces", remedy=f"ask for 0 to {most}"
        )
    first = _FIRST_PERSON[split] * IMAGES_PER_PERSON
    return {
        f"p{index // IMAGES_PER_PERSON:06d}_{index % IMAGES_PER_PERSON}": index
        for index in range(first, first + count)
    }


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove synthetic faces whose names are not kept; nothing that has another kind of name."""
    stale = {path.name for path in folder.glob("p??????_?.p*") if path.stem not in kept}
    for name in sorted(stale, reverse=True):  # the .pts, which says that a face is whole, first
        if re.fullmatch(r"p\d{6}_\d\.(png|pts)", name):
            (folder / name).unlink()
    if stale:
        (folder / ATTRIBUTES_FILE).unlink(missing_ok=True)


def _write_face(path: Path, sitting: _Sitting) -> None:
    """Write `path`.png and, last, `path`.pts; nothing if both are there."""
    picture, annotation = path.with_suffix(".png"), path.with_suffix(".pts")
    if picture.is_file() and annotation.is_file():
        return
    image = cv2.cvtColor(sitting.draw(), cv2.COLOR_RGB2BGR)
    with atomic_path(picture) as fresh:
        fresh.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    with atomic_path(annotation) as fresh:
        write_pts(fresh, sitting.points)


def _write_flags(path: Path, flags: Mapping[str, Mapping[str, int]]) -> None:
    with atomic_path(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("name", *ATTRIBUTES), lineterminator="\n")
        writer.writeheader()
        writer.writerows({"name": name, **values} for name, values in flags.items())


def read_rows(config: FacesConfig, split: Split, root: Path) -> Iterator[Row]:
    """All faces of a split, as written by `write_synthetic`; the name tells the person.

    Raises:
        LandmintError: a folder is missing or empty.
    """
    named = config.model_copy(update={"person_pattern": PERSON_PATTERN})
    return read_pts_rows(named, split, root)
