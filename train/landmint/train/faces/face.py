"""One labelled face, and a set of them with the fingerprint of its content.

Not a reader: it knows no annotation format. Coordinates are 0-based and pixel-centre.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Box, Floats, Image
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import sha256_file
from landmint.train.faces.header import claimed_size

ATTRIBUTES = ("pose", "expression", "illumination", "make_up", "occlusion", "blur")
"""The flags of a difficult face, in the order of the WFLW lists."""

IMAGE_TYPES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    *(".gif", ".avif", ".jp2", ".heic", ".heif"),
)
"""How the name of an image ends, in small letters."""

MOST_PIXELS = 2**28
"""Of a picture that is decoded: more than any camera has, and 0.8 GB."""
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
_DEPTHS = (10, 12, 14, 16)
"""Bits that sensors have, of those that are stored in 16."""


@dataclass(frozen=True, eq=False)
class Face:
    """One labelled example."""

    name: str
    """Unique in its data set: the path of its annotation under the root, without suffix."""
    image: Path
    """The image file; several faces may share one."""
    points: Floats
    """Landmarks (N, 2): x, y in image pixels; NaN where one is missing and shall be masked."""
    box: Box
    """The face box in image pixels."""
    person: str
    """Who it is, as far as the data set tells; else the path of the image, without suffix."""
    visible: NDArray[np.bool_]
    """(N,): False where the annotation calls the landmark hidden."""
    attributes: Mapping[str, int]
    """Flags 0 or 1 by the names in ATTRIBUTES; empty where the data set has none."""
    pseudo: bool = False
    """The landmarks are what a network said; nobody has looked at them."""
    upright: bool = False
    """Landmarks and box are of the picture turned as its EXIF entry says, as people see it; else of
    the pixels as they are stored."""
    stated_size: tuple[int, int] | None = None
    """Width and height of the picture in pixels, where the annotation states them."""

    @property
    def placed(self) -> NDArray[np.bool_]:
        """(N,): False where the landmark is missing."""
        return np.asarray(np.isfinite(self.points).all(axis=1))


@dataclass(frozen=True, eq=False)
class FaceSet:
    """The faces of one split."""

    markup: str
    """Name of the landmark scheme."""
    faces: tuple[Face, ...]
    """In the order of their names."""
    source: str
    """Kind and place, for people to read."""
    fingerprint: str
    """sha256 of annotations and image files; independent of where they lie."""
    left_out: int = 0
    """Faces that are not here, for landmarks of theirs are missing."""


def face_set(markup: str, faces: Sequence[Face], source: str) -> FaceSet:
    """The set of `faces`, with its fingerprint.

    Raises:
        LandmintError: an image cannot be read from disk.
    """
    return FaceSet(markup, tuple(faces), source, fingerprint_of(markup, faces))


def missing_lines(faces: FaceSet) -> list[str]:
    """What is to be said of missing landmarks before anything is learnt or measured."""
    lines = []
    if faces.left_out:
        lines.append(f"{faces.left_out} faces of {faces.source} left out: landmarks are missing")
    masked = [int(np.count_nonzero(~face.placed)) for face in faces.faces]
    if some := np.count_nonzero(masked):
        lines.append(
            f"{sum(masked)} landmarks of {some} faces of {faces.source} are missing: they teach "
            "nothing, and errors are means over the others"
        )
    return lines


def fingerprint_of(markup: str, faces: Iterable[Face]) -> str:
    """Hexadecimal sha256 of everything that the faces say and show, each image read once."""
    total = hashlib.sha256(markup.encode())
    image_bytes = cache(_sha256_image)
    for face in faces:
        flags = sorted(face.attributes.items())
        words = (face.name, face.person, flags, image_bytes(face.image))
        total.update(repr(words).encode())
        total.update(np.array(face.box, dtype="<f8").tobytes())
        total.update(face.points.astype("<f8").tobytes())
        total.update(face.visible.tobytes())
        total.update(b"upright" if face.upright else b"")
    return total.hexdigest()


def _sha256_image(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


def read_image(path: Path, upright: bool = False) -> Image:
    """The image as (H, W, 3) uint8 RGB; deeper pixels become 8 bits, of as many as they use.

    Args:
        path: the file.
        upright: turn the picture as its EXIF entry says, as people see it.

    Raises:
        LandmintError: the file is missing or is no readable image.
    """
    try:
        file = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    width, height = claimed_size(file) or (0, 0)
    if width * height > MOST_PIXELS:
        reason = f"it claims {width} x {height} px, more than {MOST_PIXELS / 1e6:.0f} million"
        raise _unreadable(path, reason)
    content = np.frombuffer(file, dtype=np.uint8)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    flags |= 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_SILENT
    )  # what OpenCV says of a broken file on its own is said here
    try:
        image = cv2.imdecode(content, flags) if content.size else None
    except cv2.error:  # OpenCV reads up to 2^30 pixels, and as many as the memory holds
        raise _unreadable(path, "it is too large, or its header claims a size it has not") from None
    if image is None:
        raise _unreadable(path, _why_not(file[:16]))
    rgb: Image = cv2.cvtColor(_eight_bits(image), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return rgb


def read_face(face: Face) -> Image:
    """The image of a face, (H, W, 3) uint8 RGB, as its landmarks have it.

    Raises:
        LandmintError: as `read_image`.
    """
    return read_image(face.image, face.upright)


def _why_not(start: bytes) -> str:
    """Why OpenCV could not read a file with these first bytes."""
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return "it is HEIC, which is not read here; save it as JPEG or PNG"
    return "it is truncated, or of an unknown format"


def _eight_bits(image: NDArray[Any]) -> Image:
    """Pixels of 16 bits, or of floats from 0 to 1, as bytes.

    Cameras and scanners keep 10, 12 or 14 bits in 16: the fewest that hold the brightest pixel are
    taken for white.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        unit = np.nan_to_num(image.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
        return np.asarray(np.rint(255 * unit.clip(0, 1)), dtype=np.uint8)
    brightest = int(image.max(initial=0))
    white = next(2**bits - 1 for bits in _DEPTHS if brightest < 2**bits)
    return np.asarray(np.rint(image * (255 / white)), dtype=np.uint8)


def image_digest(path: Path) -> str:
    """Hexadecimal sha256 of the image's size and pixels: the same picture, whatever its file.

    Raises:
        LandmintError: the file is missing or is no readable image.
    """
    return pixel_digest(read_image(path))


def pixel_digest(image: Image) -> str:
    """The same of an image (H, W, 3) that is already read."""
    shape = "x".join(map(str, image.shape))
    return hashlib.sha256(shape.encode() + image.tobytes()).hexdigest()


def _unreadable(path: Path, reason: str) -> LandmintError:
    return LandmintError(
        f"cannot read the image {path}",
        reason=reason,
        remedy="check the path; replace or remove the face",
    )
