"""Whether the splits of a data set are apart, from its annotations and the sizes of its images.

Asked before a training. Not `check`: that decodes every image and lists all that is strange. Here
annotations are read, files of equal size are compared, and the first fault is refused.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import Face
from landmint.train.faces.leaks import LEARNT, SameImages, refuse_leaks, same_bytes
from landmint.train.faces.readers import FacesConfig, Split, person_of, read_faces
from landmint.train.faces.unlabelled import KnownBoxes, known_boxes


def read_apart(
    config: FacesConfig, splits: Sequence[Split], base: Path
) -> dict[Split, Sequence[Face]]:
    """The faces of some splits that share no folder, image or person; no image is decoded.

    Validation faces may be training faces where the configuration names the same folder or list
    for both, as WFLW asks for: then nothing is chosen on them that a figure depends on.

    Args:
        config: the data set.
        splits: at least two, in the order of the work.
        base: where a relative root starts.

    Raises:
        LandmintError: two splits share something, or the data set is missing or malformed.
    """
    for first, other in combinations(splits, 2):
        common = [name for name in config.names_of(first) if name in config.names_of(other)]
        if common and "test" in (first, other):
            raise LandmintError(
                f"{first} and {other} faces are the same: both are in '{common[0]}'",
                reason=LEARNT,
                remedy=f"give faces.{first} and faces.{other} folders or lists of their own",
            )
    faces = {split: read_faces(config, split, base) for split in splits}
    for first, other in combinations(splits, 2):
        if not set(config.names_of(first)) & set(config.names_of(other)):
            refuse_leaks(
                faces[other],
                faces[first],
                f"{{count}} {other} faces share {{what}} with {first} faces",
                same_bytes,
                "split the data by person (faces.person_pattern tells who is who); "
                "`landmint data check` lists all that is shared",
            )
    return faces


class UnlabelledFace(NamedTuple):
    """One image of which only the boxes are known, as `refuse_leaks` compares it."""

    name: str
    """Its path under the folder of images."""
    person: str
    """Who it is; empty where no pattern tells."""
    image: Path
    """The image file."""


def read_unlabelled(config: FacesConfig) -> tuple[Path, KnownBoxes, Sequence[UnlabelledFace]]:
    """The folder of a data set's images, the boxes that are known there, and the images.

    Raises:
        LandmintError: the data set is missing or malformed.
    """
    place = config.root / config.images
    folder = place if place.is_dir() else config.root
    known = known_boxes(config, "train", folder)
    pattern = config.person_pattern
    faces = []
    for name in known.boxes:
        image = folder / name
        person = person_of(pattern, image, folder) if pattern else ""
        faces.append(UnlabelledFace(name, person, image))
    return folder, known, faces


def refuse_judges(
    unlabelled: Sequence[UnlabelledFace],
    judges: Sequence[Face],
    same_images: SameImages = same_bytes,
) -> None:
    """Refuse unlabelled faces that share a person or an image with faces that judge.

    Raises:
        LandmintError: they share one.
    """
    refuse_leaks(
        unlabelled,
        judges,
        "{count} unlabelled images share {what} with validation or test faces",
        same_images,
        "take them out of self_training.faces",
    )
