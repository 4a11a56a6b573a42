"""Pictures that show the same thing though their pixels differ: resized, recompressed, mirrored.

Two steps: fingerprints of 256 bits that differ in few propose pairs, small grey copies that
correlate confirm them. A picture that was moved or turned by more than a little is not found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Floats, Image

_SIDE = 16
_MOST_BITS = 40
"""Of 256 that may differ: JPEG of quality 30 at half the size changes up to 25, and other pictures
differ in about 128."""
_THUMB = 24
_ALIKE = 0.985
"""Least correlation of small grey copies."""
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Look:
    """What a picture looks like."""

    bits: NDArray[np.uint64]
    """(4,) the fingerprint."""
    grey: Floats
    """(24 * 24,) a small grey copy of mean 0 and length 1."""


def look_of(image: Image) -> Look:
    """The look of an image (H, W, 3)."""
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    thumb = cv2.resize(grey, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.float64)
    centred = (thumb - thumb.mean()).ravel()
    length = np.linalg.norm(centred)
    return Look(difference_hash(grey), centred / length if length else centred)


def mirrored(look: Look) -> Look:
    """The look of the mirrored picture."""
    rows = np.unpackbits(look.bits.view(np.uint8)).reshape(_SIDE, _SIDE)
    bits = np.packbits(1 - rows[:, ::-1]).view(np.uint64)
    grey = look.grey.reshape(_THUMB, _THUMB)[:, ::-1].ravel()
    return Look(bits, grey)


def difference_hash(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Whether each of 16 x 16 places is darker than that to its right, as bits (4,).

    dHash, as Krawetz describes it in "Kind of like that", 2013, at four times its size.
    """
    small = cv2.resize(grey, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, :-1] < small[:, 1:]).view(np.uint64)


def alike(looks: Sequence[Look], others: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Places of those of two lists that look alike, the same way round or mirrored."""
    if not looks or not others:
        return
    theirs = np.stack([look.bits for look in others])
    for turn in (_as_it_is, mirrored):
        turned = [turn(look) for look in looks]
        for start in range(0, len(turned), _CHUNK):
            ours = np.stack([look.bits for look in turned[start : start + _CHUNK]])
            apart = np.bitwise_count(ours[:, None] ^ theirs[None]).sum(axis=2)
            for i, j in np.argwhere(apart <= _MOST_BITS).tolist():
                if float(turned[start + i].grey @ others[j].grey) >= _ALIKE:
                    yield start + i, j


def _as_it_is(look: Look) -> Look:
    return look
