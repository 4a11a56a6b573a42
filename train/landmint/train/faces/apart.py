"""Whether the splits of a data set are apart, from its annotations and the sizes of its images.

Asked before a training. Not `check`: that decodes every image and lists all that is strange. Here
annotations are read, files of equal size are compared, and the first fault is refused.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import sha256_file
from landmint.train.faces.face import Face
from landmint.train.faces.readers import FacesConfig, Split, read_faces

_NAMED = 3


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
    for one, other in combinations(splits, 2):
        common = [name for name in config.names_of(one) if name in config.names_of(other)]
        if common and "test" in (one, other):
            raise LandmintError(
                f"{one} and {other} faces are the same: both are in '{common[0]}'",
                reason=_REASON,
                remedy=f"give faces.{one} and faces.{other} folders or lists of their own",
            )
    faces = {split: read_faces(config, split, base) for split in splits}
    for one, other in combinations(splits, 2):
        if not set(config.names_of(one)) & set(config.names_of(other)):
            _refuse_shared(one, other, faces)
    return faces


_REASON = "figures on faces that a model has learnt from prove nothing"


def _refuse_shared(one: Split, other: Split, faces: Mapping[Split, Sequence[Face]]) -> None:
    persons = {face.person for face in faces[one]}
    images = set(_same_files(faces[one], faces[other]))
    for what, shared in (
        ("a person", [face.name for face in faces[other] if face.person in persons]),
        ("an image", [face.name for face in faces[other] if face.image in images]),
    ):
        if shared:
            few = ", ".join(shared[:_NAMED]) + (", ..." if len(shared) > _NAMED else "")
            raise LandmintError(
                f"{len(shared)} {other} faces share {what} with {one} faces: {few}",
                reason=_REASON,
                remedy="split the data by person (faces.person_pattern tells who is who); "
                "`landmint data check` lists all that is shared",
            )


def _same_files(faces: Iterable[Face], others: Iterable[Face]) -> Iterator[Path]:
    """Images of `others` whose bytes are those of an image of `faces`.

    Only files of equal size are read.
    """
    ours, theirs = _by_size(faces), _by_size(others)
    for size in ours.keys() & theirs.keys():
        known = {sha256_file(path) for path in ours[size]}
        yield from (path for path in theirs[size] if sha256_file(path) in known)


def _by_size(faces: Iterable[Face]) -> dict[int, set[Path]]:
    """Image files by their size in bytes."""
    sizes: dict[int, set[Path]] = {}
    for path in {face.image for face in faces}:
        sizes.setdefault(path.stat().st_size, set()).add(path)
    return sizes
