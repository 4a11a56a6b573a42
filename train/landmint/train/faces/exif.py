"""How a picture is stored and how people see it: the orientation of its EXIF entry.

Only that entry is read. What turns the pixels is OpenCV, see `face.read_image`.
"""

import struct
from collections.abc import Mapping

import numpy as np

from landmint.runtime.crop import Floats

STORED = 1
"""The orientation of a picture that is seen as it is stored."""
_TAG = 0x0112
_MARKS: Mapping[bytes, tuple[bytes, int]] = {
    b"\xff\xd8": (b"Exif\0\0", 6),
    b"\x89P": (b"eXIf", 4),
    b"RI": (b"EXIF", 8),
}
"""By the first bytes of a JPEG, PNG or WebP: the entry's mark, and its distance from the entry."""
_MOST_ENTRIES = 200
# Rows of the matrix from stored to seen coordinates, about the picture's middle: x, then y.
_TURNS: Mapping[int, tuple[tuple[int, int], tuple[int, int]]] = {
    1: ((1, 0), (0, 1)),
    2: ((-1, 0), (0, 1)),
    3: ((-1, 0), (0, -1)),
    4: ((1, 0), (0, -1)),
    5: ((0, 1), (1, 0)),
    6: ((0, -1), (1, 0)),
    7: ((0, -1), (-1, 0)),
    8: ((0, 1), (-1, 0)),
}


def orientation_of(content: bytes) -> int:
    """The EXIF orientation, 1 to 8, of a picture's file; 1 where it has none.

    JEITA CP-3451, section 4.6.4: tag 274 of the first directory.
    """
    mark, ahead = _MARKS.get(content[:2], (b"", 0))
    start = content.find(mark) if mark else -1
    if start < 0:
        return STORED
    entry = content[start + ahead :]
    entry = entry.removeprefix(b"Exif\0\0")  # which some writers of WebP repeat
    order = {b"II": "<", b"MM": ">"}.get(entry[:2])
    try:
        return _orientation(entry, order) if order else STORED
    except struct.error:  # cut off
        return STORED


def _orientation(entry: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(f"{order}I", entry, 4)
    (count,) = struct.unpack_from(f"{order}H", entry, directory)
    for number in range(min(count, _MOST_ENTRIES)):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", entry, directory + 2 + 12 * number)
        if tag == _TAG:
            return int(value) if value in _TURNS else STORED
    return STORED


def turn_of(orientation: int) -> Floats:
    """The matrix (2, 2) from stored to seen directions, x right, y down; it may mirror."""
    return np.array(_TURNS[orientation], dtype=np.float64)


def seen_points(points: Floats, orientation: int, width: int, height: int) -> Floats:
    """Where points (N, 2) of a stored picture lie in the picture that people see.

    Args:
        points: in pixels of the stored picture.
        orientation: of it.
        width: of the stored picture, in pixels.
        height: likewise.
    """
    turn, middle = turn_of(orientation), (np.array([width, height]) - 1) / 2
    seen_middle = np.abs(turn) @ middle
    return np.asarray((points - middle) @ turn.T + seen_middle)
