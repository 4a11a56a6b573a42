"""Whether a data set is sound: broken rows, leaks between splits, annotations worth a look.

It reads what the readers read, changes nothing and decides nothing about training. A finding is a
fault where no training should start from it, else something for a person to look at.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from landmint.runtime.crop import box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup, get_markup
from landmint.runtime.progress import SILENT, Progress
from landmint.train.faces.face import Face, pixel_digest, read_image
from landmint.train.faces.readers import FacesConfig, Split, find_rows, named_twice
from landmint.train.faces.row import MissingPoints
from landmint.train.faces.typical import FEWEST_FACES, strangeness, swapped_sides

STRANGE = 3.0
"""A landmark so many times as far off as the worst of half of the faces is worth a look."""
_BLANK = 3.0
"""Standard deviation of the pixels, in grey levels, below which a picture shows nothing."""
_REACH = 0.2
"""Landmarks may lie outside their box by this share of its sides."""


@dataclass(frozen=True)
class Remark:
    """One thing that is wrong or strange."""

    title: str
    """What kind of thing, the same for all of its kind."""
    where: str
    """File and line, or split and face."""
    detail: str
    """What is seen there."""
    fault: bool
    """No training should start from it."""


@dataclass(frozen=True, eq=False)
class SplitFaces:
    """What could be read of one split."""

    split: Split
    """Which."""
    faces: tuple[Face, ...]
    """The faces that are whole, in the order of their names."""
    broken: tuple[LandmintError, ...]
    """What the other rows said."""
    left_out: tuple[LandmintError, ...] = ()
    """What those said that training leaves out, as the data set's settings ask for."""


@dataclass(frozen=True, eq=False)
class DataCheck:
    """A data set, examined."""

    markup: str
    """Name of the landmark scheme."""
    splits: tuple[SplitFaces, ...]
    """What was read."""
    findings: tuple[Remark, ...]
    """Faults first, each kind together, the worst of a kind first."""
    strangest: tuple[Face, ...]
    """All faces, the strangest shape first; none where they are too few to compare."""
    readable: frozenset[Path]
    """The images that can be read."""

    @property
    def sound(self) -> bool:
        """There is no fault."""
        return not any(finding.fault for finding in self.findings)


def check_data(
    config: FacesConfig,
    splits: Sequence[Split],
    base: Path,
    progress: Progress = SILENT,
) -> DataCheck:
    """Read all rows and images of some splits and tell what is wrong or strange.

    Args:
        config: which data set; its limits do not hold here.
        splits: what to read.
        base: where a relative root starts.
        progress: called after every image.
    """
    read = tuple(read_split(config, split, base) for split in splits)
    pictures = _examine({face.image for part in read for face in part.faces}, progress)
    markup = get_markup(config.markup)
    ordered = _by_strangeness(read, markup)
    findings = [
        *_broken_rows(read),
        *_broken_images(pictures),
        *_blank_images(pictures),
        *_leaks(read, pictures),
        *_shapes(ordered),
        *_boxes(read),
        *_outside(read, pictures),
        *_too_few(read),
    ]
    return DataCheck(
        markup=config.markup,
        splits=read,
        findings=tuple(sorted(findings, key=lambda finding: not finding.fault)),
        strangest=tuple(shape.face for shape in ordered),
        readable=frozenset(path for path in pictures if isinstance(pictures[path], _Picture)),
    )


def read_split(config: FacesConfig, split: Split, base: Path) -> SplitFaces:
    """All rows of a split: the faces, and what the broken ones say. Raises nothing."""
    faces: dict[str, Face] = {}
    broken: list[LandmintError] = []
    left_out: list[LandmintError] = []
    try:
        for row in find_rows(config, split, base):
            try:
                face = row()
            except LandmintError as error:
                leaves_out = isinstance(error, MissingPoints) and config.missing != "refuse"
                (left_out if leaves_out else broken).append(error)
                continue
            if face.name in faces:
                broken.append(named_twice(face))
            faces[face.name] = face
    except LandmintError as error:  # a folder or list is missing: no rows to go on with
        broken.append(error)
    whole = tuple(faces[name] for name in sorted(faces))
    return SplitFaces(split, whole, tuple(broken), tuple(left_out))


@dataclass(frozen=True, eq=False)
class _Shape:
    """How a face's landmarks compare with those of all."""

    face: Face
    where: str
    distance: float
    landmark: int
    swapped: bool


@dataclass(frozen=True)
class _Picture:
    """What the checks need of an image."""

    digest: str
    width: int
    height: int
    contrast: float


def _examine(images: Iterable[Path], progress: Progress) -> dict[Path, _Picture | LandmintError]:
    """Digest and size of each image, or why it cannot be read; reading runs beside hashing."""

    def examine(path: Path) -> _Picture | LandmintError:
        try:
            image = read_image(path)
        except LandmintError as error:
            return error
        contrast = float(cv2.meanStdDev(image)[1].max())
        return _Picture(pixel_digest(image), image.shape[1], image.shape[0], contrast)

    ordered = sorted(images)
    pictures: dict[Path, _Picture | LandmintError] = {}
    with ThreadPoolExecutor() as pool:
        for path, picture in zip(ordered, pool.map(examine, ordered), strict=True):
            pictures[path] = picture
            progress.at(len(pictures), len(ordered))
    return pictures


def _broken_rows(read: Sequence[SplitFaces]) -> Iterator[Remark]:
    for part in read:
        for error in part.broken:
            yield Remark("broken rows", f"{part.split}: {error.fact}", error.reason, fault=True)
        for error in part.left_out:
            yield Remark("faces left out", f"{part.split}: {error.fact}", error.reason, fault=False)


def _broken_images(pictures: dict[Path, _Picture | LandmintError]) -> Iterator[Remark]:
    for picture in pictures.values():
        if isinstance(picture, LandmintError):
            yield Remark("unreadable images", picture.fact, picture.reason, fault=True)


def _blank_images(pictures: dict[Path, _Picture | LandmintError]) -> Iterator[Remark]:
    for path, picture in pictures.items():
        if isinstance(picture, _Picture) and picture.contrast < _BLANK:
            detail = "nothing can be seen in it: one colour, or nearly black; leave it out"
            yield Remark("blank pictures", str(path), detail, fault=False)


def _leaks(
    read: Sequence[SplitFaces], pictures: dict[Path, _Picture | LandmintError]
) -> Iterator[Remark]:
    """Persons and pictures that stand in more than one split, and pictures twice in one."""
    persons: dict[str, dict[Split, str]] = {}
    same: dict[str, dict[Path, str]] = {}
    splits_of: dict[str, set[Split]] = {}
    for part in read:
        for face in part.faces:
            place = f"{part.split}: {face.name}"
            persons.setdefault(face.person, {}).setdefault(part.split, place)
            picture = pictures[face.image]
            if isinstance(picture, _Picture):
                same.setdefault(picture.digest, {}).setdefault(face.image, place)
                splits_of.setdefault(picture.digest, set()).add(part.split)
    for person, places in persons.items():
        if len(places) > 1:
            first, *rest = places.values()
            detail = f"person {person} also in {', '.join(rest)}"
            yield Remark("persons in two splits", first, detail, fault=True)
    for digest, files in same.items():
        first, *rest = files.values()
        if len(splits_of[digest]) > 1:
            detail = f"in {', '.join(sorted(splits_of[digest]))}: {', '.join(rest) or 'one file'}"
            yield Remark("pictures in two splits", first, detail, fault=True)
        elif rest:
            detail = f"the same pixels as {', '.join(rest)}"
            yield Remark("pictures twice in a split", first, detail, fault=False)


def _by_strangeness(read: Sequence[SplitFaces], markup: Markup) -> list[_Shape]:
    """All faces, the strangest first; none where they are too few to compare."""
    named = [(part.split, face) for part in read for face in part.faces]
    if len(named) < FEWEST_FACES:
        return []
    points = np.stack([face.points for _, face in named])
    far, swapped = strangeness(points), swapped_sides(points, markup)
    distance = far.max(axis=1)
    return [
        _Shape(
            named[i][1],
            f"{named[i][0]}: {named[i][1].name}",
            float(distance[i]),
            int(far[i].argmax()),
            bool(swapped[i]),
        )
        for i in np.argsort(-distance, kind="stable").tolist()
    ]


def _shapes(ordered: Sequence[_Shape]) -> Iterator[Remark]:
    for shape in ordered:
        if shape.swapped:
            detail = "the landmarks fit a face with its sides exchanged"
            yield Remark("left and right swapped", shape.where, detail, fault=True)
    for shape in ordered:
        if shape.distance > STRANGE and not shape.swapped:
            detail = (
                f"landmark {shape.landmark} is {shape.distance:.1f} times as far off as is usual"
            )
            yield Remark("strange shapes", shape.where, detail, fault=False)


def _boxes(read: Sequence[SplitFaces]) -> Iterator[Remark]:
    for part in read:
        for face in part.faces:
            box, tight = face.box, box_of(face.points)
            margin = _REACH * np.array([box.w, box.h])
            low = np.array([box.x, box.y]) - margin
            high = np.array([box.x + box.w, box.y + box.h]) + margin
            missed = int(((face.points < low) | (face.points > high)).any(axis=1).sum())
            times = max(box.w, box.h) / max(tight.w, tight.h, 1e-9)
            where = f"{part.split}: {face.name}"
            if missed:
                detail = f"{missed} of {len(face.points)} landmarks are well outside the box"
                yield Remark("boxes that do not fit", where, detail, fault=False)
            elif times > 3:
                detail = f"the box is {times:.1f} times as large as the landmarks' own"
                yield Remark("boxes that do not fit", where, detail, fault=False)


def _outside(
    read: Sequence[SplitFaces], pictures: dict[Path, _Picture | LandmintError]
) -> Iterator[Remark]:
    for part in read:
        for face in part.faces:
            picture = pictures[face.image]
            if isinstance(picture, LandmintError):
                continue
            last = np.array([picture.width, picture.height]) - 0.5
            beyond = np.maximum(-0.5 - face.points, face.points - last).max(axis=1)
            count = int((beyond > 0).sum())
            if count:
                detail = f"{count} landmarks, by up to {beyond.max():.1f} px"
                yield Remark(
                    "landmarks outside the picture",
                    f"{part.split}: {face.name}",
                    detail,
                    fault=False,
                )


def _too_few(read: Sequence[SplitFaces]) -> Iterator[Remark]:
    counts = Counter({part.split: len(part.faces) for part in read})
    if counts.total() < FEWEST_FACES:
        detail = f"{counts.total()} faces, and shapes are compared from {FEWEST_FACES} on"
        yield Remark("not compared", "shapes", detail, fault=False)
