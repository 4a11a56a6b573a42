"""What `check` says of pictures: unreadable or blank, in two splits, and turned or sized otherwise.

Each is decoded once; what the checks need of it is kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike

from landmint.runtime.crop import Floats, box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup
from landmint.runtime.progress import Progress
from landmint.train.faces.exif import STORED, orientation_of, turn_of
from landmint.train.faces.face import Face, pixel_digest, read_image
from landmint.train.faces.near import Look, alike, look_of
from landmint.train.faces.posture import posture
from landmint.train.faces.readers import Split
from landmint.train.faces.remark import Kind, Remark, SplitFaces, placed_faces

_BLANK = 3.0
"""Standard deviation of the pixels, in grey levels, below which a picture shows nothing."""
_REACH = 0.2
"""Landmarks may lie outside their box by this share of its sides."""
_UPRIGHT_DEG, _LYING_DEG = 45.0, 60.0
"""A face leans by less than the first in a picture as it was meant, by more than the second in one
that is turned by a right angle or two."""

_DARK = 64.0
"""Grey level that 99 % of the pixels of a nearly black picture do not reach. The darkest of 300
pictures of real faces has 89."""

UNREADABLE = Kind("unreadable images", True, "replace them, or remove their annotations")
BLANK = Kind("blank pictures", False, "leave them out")
DARK = Kind("nearly black pictures", False, "leave them out, or make them lighter")
PERSONS = Kind("persons in two splits", True, "keep each person in one split")
SAME = Kind("pictures in two splits", True, "keep each picture in one split")
TWICE = Kind("pictures twice in a split", False, "keep one of each, unless they are other faces")
NEAR = Kind(
    "near-duplicate pictures in two splits",
    True,
    "keep all copies of a picture, resized, recompressed or mirrored, in one split; frames of one "
    "video too, which person_pattern can tell",
)
TURNED = Kind(
    "labels of a picture that is turned otherwise",
    True,
    "set orientation under [faces], or `--orientation`: exif where labels were made on pictures as "
    "people see them, stored where they were made on the pixels as they are in the file; if some "
    "are of each kind, turn the pictures themselves, and remove the EXIF entry",
)
SIZE = Kind(
    "labels of a picture of another size",
    True,
    "take the pictures that were labelled, or scale the labels",
)
BOXES = Kind("boxes that do not fit", False, "look at them on the contact sheet")
OUTSIDE = Kind("landmarks outside the picture", False, "fine where a face is cut off")


@dataclass(frozen=True, eq=False)
class Picture:
    """What the checks need of an image."""

    digest: str
    width: int
    height: int
    """In pixels, as the labels have it."""
    contrast: float
    """Standard deviation of the pixels, in grey levels."""
    brightest: float
    """Grey level that one pixel in a hundred reaches."""
    orientation: int
    """That of its EXIF entry."""
    look: Look


Pictures = Mapping[Path, Picture | LandmintError]
"""By file: what is seen there, or why it cannot be read."""


def examine(faces: Iterable[Face], progress: Progress) -> dict[Path, Picture | LandmintError]:
    """Every image of some faces, decoded once; reading runs beside hashing."""

    def examined(path: Path) -> Picture | LandmintError:
        try:
            image = read_image(path, upright[path])
        except LandmintError as error:
            return error
        return Picture(
            digest=pixel_digest(image),
            width=image.shape[1],
            height=image.shape[0],
            contrast=float(cv2.meanStdDev(image)[1].max()),
            brightest=float(np.percentile(image[::2, ::2], 99)),
            orientation=orientation_of(path.read_bytes()),
            look=look_of(image),
        )

    upright = {face.image: face.upright for face in faces}
    ordered = sorted(upright)
    pictures: dict[Path, Picture | LandmintError] = {}
    with ThreadPoolExecutor() as pool:
        for path, picture in zip(ordered, pool.map(examined, ordered), strict=True):
            pictures[path] = picture
            progress.at(len(pictures), len(ordered))
    return pictures


def picture_remarks(
    read: Sequence[SplitFaces], pictures: Pictures, markup: Markup
) -> Iterator[Remark]:
    """All that is said of pictures, and of where labels lie in them."""
    yield from _broken(pictures)
    yield from _blank(pictures)
    yield from _leaks(read, pictures)
    yield from _near(read, pictures)
    turned = {remark.where: remark for remark in _turned(read, pictures, markup)}
    yield from turned.values()
    yield from (remark for remark in _sizes(read, pictures) if remark.where not in turned)
    yield from _boxes(read)
    yield from (remark for remark in _outside(read, pictures) if remark.where not in turned)


def _broken(pictures: Pictures) -> Iterator[Remark]:
    for picture in pictures.values():
        if isinstance(picture, LandmintError):
            yield Remark(UNREADABLE, picture.fact, picture.reason)


def _blank(pictures: Pictures) -> Iterator[Remark]:
    for path, picture in pictures.items():
        if isinstance(picture, LandmintError):
            continue
        if picture.contrast < _BLANK:
            yield Remark(BLANK, str(path), "nothing can be seen in it but one colour")
        elif picture.brightest < _DARK:
            detail = f"99 % of it are darker than {picture.brightest:.0f} of 255"
            yield Remark(DARK, str(path), detail)


def _leaks(read: Sequence[SplitFaces], pictures: Pictures) -> Iterator[Remark]:
    """Persons and pictures that stand in more than one split, and pictures twice in one."""
    persons: dict[str, dict[Split, str]] = {}
    same: dict[str, dict[Path, str]] = {}
    splits_of: dict[str, set[Split]] = {}
    for part in read:
        for face in part.faces:
            persons.setdefault(face.person, {}).setdefault(part.split, part.place(face))
            picture = pictures[face.image]
            if isinstance(picture, Picture):
                same.setdefault(picture.digest, {}).setdefault(face.image, part.place(face))
                splits_of.setdefault(picture.digest, set()).add(part.split)
    for person, places in persons.items():
        if len(places) > 1:
            first, *rest = places.values()
            yield Remark(PERSONS, first, f"person {person} also in {', '.join(rest)}")
    for digest, files in same.items():
        first, *rest = files.values()
        if len(splits_of[digest]) > 1:
            detail = f"in {', '.join(sorted(splits_of[digest]))}: {', '.join(rest) or 'one file'}"
            yield Remark(SAME, first, detail)
        elif rest:
            yield Remark(TWICE, first, f"the same pixels as {', '.join(rest)}")


def _near(read: Sequence[SplitFaces], pictures: Pictures) -> Iterator[Remark]:
    """Pictures of two splits that look alike though their pixels are not the same."""
    shown: list[list[tuple[str, Picture]]] = []
    for part in read:
        places = {face.image: part.place(face) for face in part.faces}
        seen = [(where, pictures[image]) for image, where in places.items()]
        shown.append([(w, p) for w, p in seen if isinstance(p, Picture) and p.contrast >= _BLANK])
    for some, others in combinations(shown, 2):
        pairs = alike([p.look for _, p in some], [p.look for _, p in others])
        for i, j in sorted(set(pairs)):
            (where, picture), (other, copy) = some[i], others[j]
            if picture.digest != copy.digest:
                yield Remark(NEAR, where, f"looks like {other}")


def _turned(read: Sequence[SplitFaces], pictures: Pictures, markup: Markup) -> Iterator[Remark]:
    """Faces that lie, or lie outside, in the picture that is read, and would stand in the other."""
    for where, face in placed_faces(read):
        picture = pictures[face.image]
        if isinstance(picture, LandmintError) or picture.orientation == STORED:
            continue
        turn = turn_of(picture.orientation)
        size = (picture.width, picture.height)
        rolls = [abs(_roll(points, markup)) for points in (face.points, face.points @ turn.T)]
        meant, other = rolls if face.upright else rolls[::-1]
        lies = meant > _LYING_DEG and other < _UPRIGHT_DEG
        beyond = _mostly_outside(face.points, size)
        if lies or (beyond and not _mostly_outside(face.points, np.abs(turn) @ size)):
            picture_meant = "as it is stored" if face.upright else "as people see it"
            detail = f"EXIF orientation {picture.orientation}, and labels fit it {picture_meant}"
            yield Remark(TURNED, where, detail)


def _roll(points: Floats, markup: Markup) -> float:
    return float(posture(points[None], markup).roll_deg[0])


def _mostly_outside(points: Floats, size: ArrayLike) -> bool:
    inside = ((points > -0.5) & (points < np.array(size) - 0.5)).all(axis=1)
    placed = np.count_nonzero(np.isfinite(points).all(axis=1))
    return bool(np.count_nonzero(inside) < placed / 2)


def _sizes(read: Sequence[SplitFaces], pictures: Pictures) -> Iterator[Remark]:
    """Annotations that state another size than the picture has, or lie outside it."""
    for where, face in placed_faces(read):
        picture = pictures[face.image]
        if isinstance(picture, LandmintError):
            continue
        size = (picture.width, picture.height)
        has = f"the picture has {size[0]} x {size[1]} px"
        if face.stated_size not in (None, size):
            width, height = face.stated_size or size
            yield Remark(SIZE, where, f"the annotation states {width} x {height} px, {has}")
        elif _mostly_outside(face.points, size):
            yield Remark(SIZE, where, f"most landmarks lie outside, {has}")


def _boxes(read: Sequence[SplitFaces]) -> Iterator[Remark]:
    for where, face in placed_faces(read):
        box, tight = face.box, box_of(face.points)
        margin = _REACH * np.array([box.w, box.h])
        low = np.array([box.x, box.y]) - margin
        high = np.array([box.x + box.w, box.y + box.h]) + margin
        missed = int(((face.points < low) | (face.points > high)).any(axis=1).sum())
        times = max(box.w, box.h) / max(tight.w, tight.h, 1e-9)
        if missed:
            detail = f"{missed} of {len(face.points)} landmarks are well outside the box"
            yield Remark(BOXES, where, detail)
        elif times > 3:
            detail = f"the box is {times:.1f} times as large as the landmarks' own"
            yield Remark(BOXES, where, detail)


def _outside(read: Sequence[SplitFaces], pictures: Pictures) -> Iterator[Remark]:
    for where, face in placed_faces(read):
        picture = pictures[face.image]
        if isinstance(picture, LandmintError):
            continue
        last = np.array([picture.width, picture.height]) - 0.5
        beyond = np.maximum(-0.5 - face.points, face.points - last).max(axis=1)
        if count := int((beyond > 0).sum()):
            detail = f"{count} landmarks, by up to {np.nanmax(beyond):.1f} px"
            yield Remark(OUTSIDE, where, detail)
