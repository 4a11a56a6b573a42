"""Whether faces share a person or an image with faces that they must be apart from.

The one check before a training, a calibration and a round of self-training. Not a report:
`check.py` lists all that is strange in a data set.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import sha256_file
from landmint.train.faces.face import image_digest

LEARNT = "figures on faces that a model has learnt from prove nothing"
_NAMED = 3

SameImages = Callable[[Iterable[Path], Iterable[Path]], Collection[Path]]
"""From image files and others to those of the first that show what one of the others shows."""


class Pictured(Protocol):
    """What is compared: a `Face`, or a face of which less is known."""

    @property
    def name(self) -> str:
        """For the message."""

    @property
    def person(self) -> str:
        """Who it is; empty where nobody knows."""

    @property
    def image(self) -> Path:
        """The image file."""


def refuse_leaks(
    faces: Sequence[Pictured],
    others: Sequence[Pictured],
    fact: str,
    same_images: SameImages,
    remedy: str,
    reason: str = LEARNT,
) -> None:
    """Refuse faces that share a person or an image with others.

    Args:
        faces: which are named in the message.
        others: what they must be apart from.
        fact: of the message, such as "{count} test faces share {what} with train faces".
        same_images: how images are compared.
        remedy: what the user can do.
        reason: why that is refused.

    Raises:
        LandmintError: they share one.
    """
    persons = {face.person for face in others} - {""}
    _refuse("a person", [f.name for f in faces if f.person in persons], fact, remedy, reason)
    images = same_images([face.image for face in faces], [face.image for face in others])
    _refuse("an image", [f.name for f in faces if f.image in images], fact, remedy, reason)


def _refuse(what: str, names: Sequence[str], fact: str, remedy: str, reason: str) -> None:
    if names:
        few = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        stated = fact.format(count=len(names), what=what)
        raise LandmintError(f"{stated}: {few}", reason=reason, remedy=remedy)


def same_bytes(images: Iterable[Path], others: Iterable[Path]) -> set[Path]:
    """Images whose files are equal to one of the others; only files of equal size are read."""
    ours, theirs = _by_size(images), _by_size(others)
    equal: set[Path] = set()
    for size in ours.keys() & theirs.keys():
        known = {sha256_file(path) for path in theirs[size]}
        equal |= {path for path in ours[size] if sha256_file(path) in known}
    return equal


def same_pixels(
    digests: Mapping[Path, str], hashed: Callable[[Iterable[Path]], Mapping[Path, str]]
) -> SameImages:
    """The comparison by pixels: a copy under another name or in another format is the same image.

    Args:
        digests: pixel hash of each image; one that is left out is the same as none.
        hashed: gives the pixel hashes of the others, `pixel_digests` or `readable_digests`.
    """

    def same(images: Iterable[Path], others: Iterable[Path]) -> set[Path]:
        known = set(hashed(others).values())
        return {path for path in images if digests.get(path) in known}

    return same


def pixel_digests(images: Iterable[Path]) -> dict[Path, str]:
    """Pixel hash of each file, each read once; decoding runs beside hashing.

    Raises:
        LandmintError: an image cannot be read.
    """
    return _hashed(images, image_digest)


def readable_digests(images: Iterable[Path]) -> dict[Path, str]:
    """Pixel hash of each file that can be read."""

    def digest(path: Path) -> str:
        try:
            return image_digest(path)
        except LandmintError:
            return ""

    return {path: pixels for path, pixels in _hashed(images, digest).items() if pixels}


def _hashed(images: Iterable[Path], digest: Callable[[Path], str]) -> dict[Path, str]:
    distinct = list(dict.fromkeys(images))
    with ThreadPoolExecutor() as pool:
        return dict(zip(distinct, pool.map(digest, distinct), strict=True))


def _by_size(images: Iterable[Path]) -> dict[int, set[Path]]:
    """Image files by their size in bytes."""
    sizes: dict[int, set[Path]] = {}
    for path in set(images):
        sizes.setdefault(path.stat().st_size, set()).add(path)
    return sizes
