"""Whether a data set is sound: broken rows, leaks between splits, annotations worth a look.

It reads what the readers read, changes nothing and decides nothing about training. A finding is a
fault where no training should start from it, else something for a person to look at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.runtime.progress import SILENT, Progress
from landmint.train.faces.check_pictures import (
    SIZE,
    TURNED,
    Picture,
    examine,
    picture_remarks,
)
from landmint.train.faces.check_shapes import (
    FROM_BELOW,
    MIRRORED,
    NO_FACE,
    ORDER,
    SWAPPED,
    by_strangeness,
    shape_remarks,
)
from landmint.train.faces.face import Face
from landmint.train.faces.readers import FacesConfig, Split, find_rows, named_twice
from landmint.train.faces.remark import Kind, Remark, SplitFaces, placed_faces
from landmint.train.faces.row import MissingPoints

BROKEN_ROWS = Kind("broken rows", True, "correct these annotations, or remove them")
LEFT_OUT = Kind("faces left out", False)
MISLABELLED = (SWAPPED, FROM_BELOW, NO_FACE, ORDER, TURNED, SIZE, MIRRORED)
"""Faults by which landmarks do not lie where they should."""


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
    """All whole faces, the strangest shape first; none where they are too few to compare."""
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
    pictures = examine([face for _, face in placed_faces(read)], progress)
    markup = get_markup(config.markup)
    ordered = by_strangeness(read)
    findings = [
        *_broken_rows(read),
        *picture_remarks(read, pictures, markup),
        *shape_remarks(read, ordered, markup),
    ]
    return DataCheck(
        markup=config.markup,
        splits=read,
        findings=tuple(sorted(findings, key=lambda finding: not finding.fault)),
        strangest=tuple(shape.face for shape in ordered),
        readable=frozenset(path for path in pictures if isinstance(pictures[path], Picture)),
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


def _broken_rows(read: Sequence[SplitFaces]) -> Iterator[Remark]:
    for part in read:
        for error in part.broken:
            yield Remark(BROKEN_ROWS, f"{part.split}: {error.fact}", error.reason)
        for error in part.left_out:
            yield Remark(LEFT_OUT, f"{part.split}: {error.fact}", error.reason)
