"""dlib's shape predictor, read from its .dat and run by numpy: no dlib is needed.

A cascade of regression trees (Kazemi and Sullivan, "One millisecond face alignment with an ensemble
of regression trees", CVPR 2014). The file is dlib's `serialize` of version 1: a stream of numbers,
each a byte with its sign and length, then its bytes, low ones first. A float is two of them,
mantissa and power of two. Not a script: benchmarks/foreign.py runs it.
"""

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError

Whole = NDArray[np.int64]
Single = NDArray[np.float32]
_LENGTH, _NEGATIVE, _LONGEST = 0x0F, 0x80, 8
_AT_ONCE = 1 << 20
"""Numbers that are decoded at once: the usual 68 points have 33 million."""
_NOT_FINITE = 32000
"""Powers from here on mean infinity or no number."""


@dataclass(frozen=True, eq=False)
class Stage:
    """The trees of one level of the cascade, and the pixels that they compare."""

    anchors: Whole
    """(F,) landmark beside which each pixel lies."""
    deltas: Single
    """(F, 2) how far from it, in the initial shape."""
    pairs: Whole
    """(2, T, S) the two pixels that each split of each tree compares."""
    thresholds: Single
    """(T, S) above which difference it goes left."""
    leaves: Single
    """(T, S + 1, 2 L) what each leaf adds to the shape."""

    def moved(self, pixels: Single, shape: Single) -> Single:
        """The shape (2 L,) after all trees.

        Args:
            pixels: (F,) grey values.
            shape: (2 L,) before.
        """
        trees, splits = self.thresholds.shape
        each, place = np.arange(trees), np.zeros(trees, np.int64)
        differences = pixels[self.pairs[0]] - pixels[self.pairs[1]]
        for _ in range((splits + 1).bit_length() - 1):
            left = differences[each, place] > self.thresholds[each, place]
            place = 2 * place + np.where(left, 1, 2)
        steps = self.leaves[each, place - splits]
        # One tree after the other, as dlib adds them: another order rounds to other pixels.
        return np.asarray(np.add.reduce(np.vstack([shape, steps]), axis=0))


@dataclass(frozen=True, eq=False)
class Forest:
    """A shape predictor."""

    initial: Single
    """(2 L,) the shape that it starts from: x, y of each landmark, as shares of the box."""
    stages: tuple[Stage, ...]
    """In the order in which they run."""

    def predict(self, grey: NDArray[np.uint8], corners: tuple[int, int, int, int]) -> Floats:
        """Landmarks (L, 2) in pixels. dlib rounds them to whole ones.

        Args:
            grey: (H, W).
            corners: left, top, right and bottom of the box, as of `dlib.rectangle`.
        """
        left, top, right, bottom = corners
        to_picture = np.array([[right - left, 0.0, left], [0.0, bottom - top, top]])
        shape = self.initial
        for stage in self.stages:
            turn = similarity(self.initial, shape)[:, :2].astype(np.float32)
            places = stage.deltas @ turn.T + shape.reshape(-1, 2)[stage.anchors]
            shape = stage.moved(_looked_up(grey, _apply(to_picture, places)), shape)
        return _apply(to_picture, shape.reshape(-1, 2))


def similarity(start: NDArray[Any], end: NDArray[Any]) -> Floats:
    """The turn, scale and shift (2, 3) that brings points nearest to others (Umeyama, 1991).

    Args:
        start: (2 N,) x, y of each point.
        end: (2 N,) where they should go.
    """
    here, there = (np.asarray(p, np.float64).reshape(-1, 2) @ [1, 1j] for p in (start, end))
    if len(here) == 1:
        return np.eye(2, 3)
    off = here - here.mean()
    turn = np.vdot(off, there - there.mean()) / np.vdot(off, off).real
    shift = there.mean() - turn * here.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _apply(matrix: Floats, points: NDArray[Any]) -> Floats:
    return np.asarray(points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2])


def _looked_up(grey: NDArray[np.uint8], places: Floats) -> Single:
    """The nearest pixels (F,); 0 outside of the picture."""
    x, y = np.floor(places + 0.5).astype(np.int64).T
    inside = (x >= 0) & (y >= 0) & (x < grey.shape[1]) & (y < grey.shape[0])
    return np.where(inside, grey[y * inside, x * inside], 0).astype(np.float32)


def read_forest(path: Path) -> Forest:
    """Read a .dat of a shape predictor.

    Raises:
        LandmintError: it is missing, or is no whole shape predictor.
    """
    try:
        stream = _Stream(_numbers(path.read_bytes()))
        forest = _forest(stream)
    except (OSError, ValueError, IndexError) as error:
        raise LandmintError(
            f"{path} is no shape predictor of dlib's",
            reason=str(error),
            remedy="give the .dat that dlib.train_shape_predictor wrote, or download it again",
        ) from None
    return forest


def _numbers(content: bytes) -> Whole:
    """All whole numbers of a stream, (N,)."""
    starts, place, end = array("Q"), 0, len(content)
    while place < end:
        starts.append(place)
        place += 1 + (content[place] & _LENGTH)
    padded = np.frombuffer(content + bytes(_LONGEST), np.uint8)
    places = np.frombuffer(starts, np.uint64).astype(np.int64)
    heads = padded[places]
    if place != end or (heads & ~np.uint8(_LENGTH | _NEGATIVE)).any():
        raise ValueError("it is cut short, or was not written by dlib's serialize")
    if ((heads & _LENGTH) > _LONGEST).any():
        raise ValueError("it holds numbers of more than 64 bits")
    chunks = [
        _decoded(padded, places[begin : begin + _AT_ONCE])
        for begin in range(0, len(places), _AT_ONCE)
    ]
    return np.concatenate([np.zeros(0, np.int64), *chunks])


def _decoded(padded: NDArray[np.uint8], places: Whole) -> Whole:
    heads = padded[places]
    lengths, values = heads & _LENGTH, np.zeros(len(places), np.int64)
    for byte in range(int(lengths.max(initial=0))):
        part = padded[places + 1 + byte].astype(np.int64) << (8 * byte)
        values |= np.where(byte < lengths, part, 0)
    return np.where(heads & _NEGATIVE, -values, values)


class _Stream:
    """Numbers that are taken one after the other."""

    def __init__(self, numbers: Whole) -> None:
        self._numbers, self._place = numbers, 0

    def take(self, count: int) -> Whole:
        """The next numbers."""
        if not 0 <= count <= len(self._numbers) - self._place:
            raise ValueError("it is cut short")
        self._place += count
        return self._numbers[self._place - count : self._place]

    def whole(self) -> int:
        """The next number."""
        return int(self.take(1)[0])

    def singles(self, count: int) -> Single:
        """The next float32."""
        return _singles(self.take(2 * count))

    def ahead(self, count: int) -> Whole:
        """The next numbers, which stay."""
        return self._numbers[self._place : self._place + count]

    @property
    def is_over(self) -> bool:
        """Whether all were taken."""
        return self._place == len(self._numbers)


def _singles(pairs: Whole) -> Single:
    """float32 of mantissas and powers of two, which take turns on the last axis."""
    mantissas, powers = pairs[..., 0::2], pairs[..., 1::2]
    if (np.abs(powers) >= _NOT_FINITE).any():
        raise ValueError("it holds numbers that are not finite")
    return np.ldexp(mantissas.astype(np.float64), powers.astype(np.int32)).astype(np.float32)


def _forest(stream: _Stream) -> Forest:
    if stream.whole() != 1:
        raise ValueError("it is of another version than 1, or holds something else")
    initial = _column(stream)
    trees = [_trees(stream, len(initial)) for _ in range(stream.whole())]
    anchors = [stream.take(stream.whole()) for _ in range(stream.whole())]
    deltas = [stream.singles(2 * stream.whole()).reshape(-1, 2) for _ in range(stream.whole())]
    if not stream.is_over or not len(trees) == len(anchors) == len(deltas):
        raise ValueError("its parts do not fit each other")
    stages = [
        Stage(anchor, delta, *rest)
        for anchor, delta, rest in zip(anchors, deltas, trees, strict=True)
    ]
    for stage in stages:
        _require(stage, len(initial) // 2)
    return Forest(initial, tuple(stages))


def _column(stream: _Stream) -> Single:
    """A matrix of one column; newer files have its sizes as negative numbers."""
    rows, columns = (abs(stream.whole()) for _ in range(2))
    if columns != 1 or rows < 2 or rows % 2:
        raise ValueError("its shape is no list of landmarks")
    return stream.singles(rows)


def _trees(stream: _Stream, numbers: int) -> tuple[Whole, Single, Single]:
    """All trees of a stage, which are of one depth; what `Stage` has of them."""
    trees, splits = stream.whole(), int(stream.ahead(1)[0])
    of_leaf = 2 + 2 * numbers
    rows = stream.take(trees * (2 + 4 * splits + (splits + 1) * of_leaf)).reshape(trees, -1)
    nodes = rows[:, 1 : 1 + 4 * splits].reshape(trees, splits, 4)
    leaves = rows[:, 2 + 4 * splits :].reshape(trees, splits + 1, of_leaf)
    counts = rows[:, 0], rows[:, 1 + 4 * splits] - 1
    sizes = np.abs(leaves[:, :, :2]) - [numbers, 1]
    if any((count != splits).any() for count in counts) or sizes.any() or splits & (splits + 1):
        raise ValueError("its trees are not all of one depth")
    pairs = np.moveaxis(nodes[:, :, :2], 2, 0)
    return pairs, _singles(nodes[:, :, 2:])[..., 0], _singles(leaves[:, :, 2:])


def _require(stage: Stage, landmarks: int) -> None:
    pixels = len(stage.anchors)
    if len(stage.deltas) != pixels or not pixels:
        raise ValueError("its parts do not fit each other")
    for indices, count in ((stage.anchors, landmarks), (stage.pairs, pixels)):
        if indices.min() < 0 or indices.max() >= count:
            raise ValueError("it refers to pixels or landmarks that it has not")
