"""Which reader reads which data set, and the settings that choose it.

A reader is a function (config, split, root) -> rows, each of which gives one face; `READERS` names
them. Not a downloader: data sets are folders that the user has.
"""

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, field_validator

from landmint.runtime.accuracy import size_landmarks
from landmint.runtime.crop import Box, box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup, get_markup
from landmint.runtime.registry import Registry
from landmint.train.faces.face import Face, FaceSet, face_set
from landmint.train.faces.row import MissingPoints, Row, Treatment

READERS = Registry(
    {
        "synthetic": "landmint.train.faces.synthetic:read_rows",
        "300w": "landmint.train.faces.pts300w:read_rows",
        "wflw": "landmint.train.faces.wflw:read_rows",
        "cofw": "landmint.train.faces.cofw:read_rows",
        "cofw68": "landmint.train.faces.cofw:read_rows_68",
        "aflw": "landmint.train.faces.aflw:read_rows",
        "imglab": "landmint.train.faces.imglab:read_rows",
        "coco": "landmint.train.faces.coco:read_rows",
        "hrnet": "landmint.train.faces.hrnet:read_rows",
        "lapa": "landmint.train.faces.lapa:read_rows",
    },
    kind="kind of faces",
    group="landmint.readers",
)

_Item = TypeVar("_Item")
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def _as_tuple(value: Any) -> Any:
    """A single name stands for a list of one; a tuple passes in pydantic's strict mode too."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class SyntheticConfig(BaseModel):
    """How many synthetic faces to draw, and which."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    train: int = Field(default=2000, ge=0)
    """Number of training faces."""
    val: int = Field(default=200, ge=0)
    """Number of faces for choosing among checkpoints."""
    test: int = Field(default=400, ge=0)
    """Number of faces to report on."""
    size_px: int = Field(default=160, ge=48, le=1024)
    """Width and height of each image in pixels."""
    seed: int = Field(default=0, ge=0)
    """Seed of the drawing: equal seeds draw equal faces."""

    @property
    def counts(self) -> dict[Split, int]:
        """Number of faces by split."""
        return {"train": self.train, "val": self.val, "test": self.test}


Pixels = tuple[Annotated[float, Field(gt=-100, lt=100)], Annotated[float, Field(gt=-100, lt=100)]]
Shares = tuple[Annotated[float, Field(gt=-1, lt=1)], Annotated[float, Field(gt=-1, lt=1)]]


class LabelOffset(BaseModel):
    """How far the labels of a data set lie right of and below the parts of the face they mark.

    It is taken off every landmark when a face is read, for training and for judging alike. A face
    box that is exactly the landmarks' own box, as in 300W, moves with them: it would have been
    drawn about the right places too. Any other box was drawn apart from the landmarks and stays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pixels: Pixels = (0.0, 0.0)
    """Right and down, in pixels of the image: the same for faces of every size."""
    share: Shares = (0.0, 0.0)
    """Right and down as shares of the longer side of the face box: it grows with the face."""


class FacesConfig(BaseModel):
    """A data set on disk and how it is split."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: str = "synthetic"
    """The reader: synthetic, 300w, wflw, cofw, cofw68, aflw, imglab, coco, hrnet, lapa, or one that
    a package adds."""
    root: Path = Path("faces")
    """Folder of the data set; a relative path starts at the recipe."""
    markup: str = "68"
    """Landmark scheme of the annotations: 68, 98, 29, 19 or 106."""
    train: Names = ("train",)
    """What holds the training faces, under the root: folders (300w, cofw68, lapa), files (wflw and
    hrnet lists, cofw .mat, imglab XML, coco JSON), or parts of AFLW."""
    val: Names = ("val",)
    """What holds the validation faces: those that choose among checkpoints. It may name what
    `train` names, where a data set has none."""
    test: Names = ("test",)
    """What holds the test faces: those that are reported on. None of their images and persons may
    be in the other splits."""
    images: str = ""
    """Folder under the root to which the image paths of wflw, aflw, imglab, coco and hrnet refer;
    of a path on another machine the last parts are looked for in it. For cofw68 the .mat file with
    the pictures. Empty: WFLW_images for wflw, COFW_test_color.mat for cofw68, else the root
    itself."""
    person_pattern: str = ""
    """Regular expression that finds the person in an image's name without its suffix: the first
    group, or the whole match where there is no group. Empty: every image is a person of its own."""
    limits: dict[Split, PositiveInt] = {}
    """At most so many faces of a split, such as { train = 500 }, spread evenly over their names."""
    missing: Treatment = Field("refuse", exclude_if=lambda v: v == "refuse")
    """What is done about a face some of whose landmarks are missing: absent, v = 0, or at exactly
    -1 -1 or 0 0. `refuse` stops at the first; `leave_out` goes on without such faces; `mask` keeps
    them: a missing landmark teaches nothing and is not counted in a face's error, which is the mean
    over the others. Left out all the same are faces with fewer than two landmarks, and validation
    and test faces without those by which errors are divided, the outer eye corners for most
    markups."""
    orientation: Literal["stored", "exif"] = Field("stored", exclude_if=lambda v: v == "stored")
    """What labels refer to where a picture's EXIF entry says how to turn it, as phones write it:
    `stored`, the pixels as they are in the file, or `exif`, the picture as people see it, which is
    then what is trained on. `landmint data check` tells when it is the other."""
    label_offset: LabelOffset = LabelOffset()
    """A known lean of the labels, which is taken off. `landmint data check --model` measures it."""
    synthetic: SyntheticConfig = SyntheticConfig()
    """What to draw when the kind is synthetic."""

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        return READERS.check(kind)

    @field_validator("markup")
    @classmethod
    def _known_markup(cls, markup: str) -> str:
        try:
            return get_markup(markup).name
        except LandmintError as error:
            raise ValueError(f"{error.fact}; choices: {', '.join(error.choices)}") from None

    @field_validator("person_pattern")
    @classmethod
    def _valid_pattern(cls, pattern: str) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # such as of a set that may mean another in future
                re.compile(pattern)
        except (re.error, Warning, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    def names_of(self, split: Split) -> tuple[str, ...]:
        """Folders or list files of a split."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


class Reader(Protocol):
    """Finds the annotations of one split."""

    def __call__(self, config: FacesConfig, split: Split, root: Path) -> Iterable[Row]:
        """A row for each face of the split under `root`, in any order.

        Raises:
            LandmintError: where the rows should be, nothing is, or something else.
        """
        ...


def find_reader(kind: str) -> Reader:
    """The reader for a kind of data set.

    Raises:
        LandmintError: there is none, or the package that adds it is broken.
    """
    reader: Reader = READERS.load(kind)
    return reader


def find_rows(config: FacesConfig, split: Split, base: Path) -> Iterable[Row]:
    """The annotations of one split, none of them parsed; a relative `config.root` starts at `base`.

    The faces that the rows give are free of `config.label_offset`.

    Raises:
        LandmintError: the data set is missing.
    """
    root = base / config.root
    if not root.is_dir():
        raise missing_folder(root, f"the {config.kind} data set is expected there")
    rows = find_reader(config.kind)(config, split, root)
    if config.orientation == "exif":
        rows = (partial(_upright, row) for row in rows)
    if config.label_offset != LabelOffset():
        rows = (partial(_without_lean, row, config.label_offset) for row in rows)
    if config.missing == "mask" and split != "train":
        rows = (partial(_with_a_size, row, get_markup(config.markup)) for row in rows)
    return rows


def _without_lean(row: Row, offset: LabelOffset) -> Face:
    """The face of a row, its landmarks moved to where they should lie."""
    face = row()
    box = face.box
    lean = np.array(offset.pixels) + max(box.w, box.h) * np.array(offset.share)
    if np.allclose(box, box_of(face.points), rtol=0, atol=1e-6):
        box = Box(box.x - float(lean[0]), box.y - float(lean[1]), box.w, box.h)
    return replace(face, points=face.points - lean, box=box)


def _upright(row: Row) -> Face:
    """The face of a row, whose labels are of the picture as people see it."""
    return replace(row(), upright=True)


def _with_a_size(row: Row, markup: Markup) -> Face:
    """The face of a row, if its errors can be divided by something.

    Raises:
        MissingPoints: landmarks are missing that its size is told by.
    """
    face = row()
    lacking = [i for i in size_landmarks(markup) if not face.placed[i]]
    if lacking:
        raise MissingPoints(
            f"{face.name}: not judged",
            reason=f"landmark {lacking[0]} is missing, by which errors are divided",
            remedy="label it, or leave the face out of the validation and test faces",
        )
    return face


def load_faces(config: FacesConfig, split: Split, base: Path) -> FaceSet:
    """Read one split; a relative `config.root` starts at `base`.

    Raises:
        LandmintError: the data set is missing, malformed or names a face twice; with the file
            and line.
    """
    faces, left_out = _read(config, split, base)
    source = f"{config.kind}:{config.root.as_posix()}/{split}"
    return replace(face_set(config.markup, faces, source), left_out=left_out)


def read_faces(config: FacesConfig, split: Split, base: Path) -> Sequence[Face]:
    """The faces of one split in the order of their names, their images unread.

    Raises:
        LandmintError: as `load_faces`.
    """
    return _read(config, split, base)[0]


def _read(config: FacesConfig, split: Split, base: Path) -> tuple[Sequence[Face], int]:
    """The faces of one split, and how many were left out."""
    faces, left_out = [], 0
    for row in find_rows(config, split, base):
        try:
            faces.append(row())
        except MissingPoints:
            if config.missing == "refuse":
                raise
            left_out += 1
    faces.sort(key=lambda face: face.name)
    for face, other in pairwise(faces):
        if face.name == other.name:
            raise named_twice(face)
    return spread(faces, config.limits.get(split)), left_out


def spread(items: Sequence[_Item], limit: int | None) -> Sequence[_Item]:
    """At most `limit` of the items, evenly over their order; None takes all."""
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def named_twice(face: Face) -> LandmintError:
    """The error for a second face of the same name."""
    return LandmintError(
        f"two faces are called '{face.name}'",
        reason="a face's name is unique in its data set",
        remedy="remove one, or name each folder or list of the split only once",
    )


def person_of(pattern: str, image: Path, root: Path) -> str:
    """The person in an image, as far as its name tells.

    Args:
        pattern: what finds the person in the name without its suffix. Empty: every image is a
            person of its own, called by its path under the root, without suffix.
        image: path of the image, or of what lies beside it under the same name.
        root: the folder that the data set's image paths start at. A name alone would not do:
            many sets number their images anew in each folder.

    Raises:
        LandmintError: the pattern does not occur in the name; to guess a person there could let
            the same one into two splits.
    """
    if not pattern:
        return Path(os.path.relpath(image, root)).with_suffix("").as_posix()
    match = re.search(pattern, image.stem)
    if match is None:
        raise LandmintError(
            f"{image}: no person in the name '{image.stem}'",
            reason=f"person_pattern {pattern!r} does not occur in it",
            remedy="correct person_pattern; an empty one makes every image a person of its own",
        )
    return match.group(1) if match.re.groups else match.group()


def missing_folder(folder: Path, reason: str) -> LandmintError:
    """The error for a folder that is not there."""
    return LandmintError(
        f"folder {folder} does not exist",
        reason=reason,
        remedy="correct the folder's name in the recipe, or put the data set there",
    )
