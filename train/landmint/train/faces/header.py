"""The size that a picture's file claims ahead of its pixels.

So that one that would fill the memory is refused before it is decoded. Not a decoder: OpenCV has
the last word on what a file holds. Other formats than these are left to its own limit.
"""

import struct
from collections.abc import Callable, Mapping

_NO_SIZES = (0xC4, 0xC8, 0xCC)
"""Markers of JPEG among those of frames that begin none."""


def claimed_size(content: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG, JPEG, GIF, BMP or WebP claims; None of another file."""
    for start, read in _READERS.items():
        if content.startswith(start):
            try:
                return read(content)
            except struct.error:  # cut off
                return None
    return None


def _png(content: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _gif(content: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from("<HH", content, 6)
    return width, height


def _bmp(content: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from("<ii", content, 18)
    return abs(width), abs(height)  # a negative height counts rows from above


def _webp(content: bytes) -> tuple[int, int] | None:
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[i : i + 3], "little") + 1 for i in (24, 27))
    elif kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", content, 21)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", content, 26))
    return width, height


def _jpeg(content: bytes) -> tuple[int, int] | None:
    place = 2
    while True:
        fill, marker, length = struct.unpack_from(">BBH", content, place)
        if fill != 0xFF:
            return None
        if marker == 0xFF:  # filling ahead of a marker
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_SIZES:
            height, width = struct.unpack_from(">HH", content, place + 5)
            return width, height
        else:
            place += 2 + length


_READERS: Mapping[bytes, Callable[[bytes], tuple[int, int] | None]] = {
    b"\x89PNG": _png,
    b"\xff\xd8": _jpeg,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"RIFF": _webp,
}
"""By how a file begins."""
