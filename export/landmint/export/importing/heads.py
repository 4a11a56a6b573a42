"""What the outputs of a foreign network look like, told from their shapes alone."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from landmint.export.importing.binding import Tap
from landmint.runtime.contract import SIMCC_OUTPUTS, Head, Layout, Shape
from landmint.runtime.markup import MARKUPS

_PIP = ("cls", "x", "y", "nb_x", "nb_y")
_USUAL = (5, 12, 19, 20, 21, 24, 29, 39, 68, 76, 98, 106, 194, 203, 468, 478)
"""Numbers of points that published markups have; with others a vector's length says nothing."""
_LEAST_GRID, _LEAST_POINTS = 4, 4


@dataclass(frozen=True)
class Looks:
    """One reading of a network's outputs."""

    kind: str
    """Family of the head."""
    points: int
    """Number of landmarks."""
    taps: Mapping[str, Tap]
    """Which output is which, by canonical name."""
    because: str
    """What in the shapes says so."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further lines of the head in TOML: value, by key."""
    doubts: tuple[str, ...] = ()
    """What the shapes do not tell."""

    @property
    def markup(self) -> str:
        """The known markup of so many points; empty where there is none."""
        return next((m.name for m in MARKUPS.values() if m.points == self.points), "")

    @property
    def head(self) -> Head | None:
        """The head, where landmarks can be decoded without more; else None."""
        if self.kind == "heatmap":
            return Head("heatmap", "quarter")
        return None if self.kind == "pip" else Head(self.kind)  # type: ignore[arg-type]


def readings(outputs: Mapping[str, Shape]) -> list[Looks]:
    """What the outputs may be, the likeliest first; empty where nothing fits.

    Args:
        outputs: shape by name, batch axis included.
    """
    of_several = [*_pip(outputs), *_simcc(outputs)]
    return of_several or [*_heatmaps(outputs), *_coordinates(outputs)]


def _pip(outputs: Mapping[str, Shape]) -> Iterator[Looks]:
    """Five maps on one grid: L, L, L, K L and K L channels."""
    maps = {name: _channels_first(shape) for name, shape in outputs.items() if len(shape) == 4}
    if len(maps) != len(_PIP) or len({axes[1:3] for axes in maps.values()}) > 1:
        return
    channels = [count for count, *_ in maps.values()]
    points = min(channels)
    if channels[:3] != [points] * 3 or channels[3] != channels[4] or channels[3] % points:
        return
    count = channels[3] // points
    taps = {
        name: Tap(tensor, layout=maps[tensor][3]) for name, tensor in zip(_PIP, maps, strict=True)
    }
    yield Looks(
        "pip",
        points,
        taps,
        f"five maps on one grid, of {points}, {points}, {points} and twice {count} x {points} "
        "channels, as PIPNet has",
        settings={"neighbours": "[]"},
        doubts=(f"neighbours: the {count} nearest of each landmark in PIPNet's meanface.txt",),
    )


def _simcc(outputs: Mapping[str, Shape]) -> Iterator[Looks]:
    """Two outputs (1, L, bins)."""
    vectors = {n: s for n, s in outputs.items() if len(s) == 3 and min(s[1:]) > 3}
    counts = {shape[1] for shape in vectors.values()}
    if len(vectors) == 2 and len(counts) == 1:
        (points,) = counts
        taps = {n: Tap(t) for n, t in zip(SIMCC_OUTPUTS, vectors, strict=True)}
        because = f"two outputs of {points} vectors, as SimCC has"
        doubts = ("which of the two is along x: the first is taken",)
        yield Looks("simcc", points, taps, because, {"sigma": "6.0"}, doubts)


def _heatmaps(outputs: Mapping[str, Shape]) -> Iterator[Looks]:
    """A map for each landmark; of several stacks the last."""
    maps: list[tuple[str, int, Layout]] = []
    for name, shape in outputs.items():
        if len(shape) == 4:
            points, rows, columns, layout = _channels_first(shape)
            if min(rows, columns) >= _LEAST_GRID and points >= _LEAST_POINTS:
                maps.append((name, points, layout))
    for name, points, layout in reversed(maps):
        because = f"output '{name}' has a map for each of {points} landmarks"
        doubts = ["head.decode: how this network's peaks are refined"]
        if len(maps) > 1:
            doubts.append(f"which output counts: the last of {len(maps)} is taken")
        yield Looks(
            "heatmap",
            points,
            {"heatmaps": Tap(name, layout=layout)},
            because,
            {"decode": '"quarter"'},
            tuple(doubts),
        )


def _channels_first(shape: Shape) -> tuple[int, int, int, Layout]:
    """Channels, rows and columns of a map, and its layout: a map is a square."""
    first = shape[2] == shape[3] or shape[1] != shape[2]
    return (*shape[1:], "NCHW") if first else (shape[3], *shape[1:3], "NHWC")  # type: ignore[return-value]


def _coordinates(outputs: Mapping[str, Shape]) -> Iterator[Looks]:
    """A vector of two or three numbers a landmark; the longest comes first."""
    for name, shape in sorted(outputs.items(), key=lambda item: -math.prod(item[1])):
        for points, numbers, order in _vectors(shape):
            taps = {"coordinates": Tap(name, order=order)}  # type: ignore[arg-type]
            others = {n: tuple(a for a in s[1:] if a != 1) for n, s in outputs.items() if n != name}
            sure = [n for n, axes in others.items() if axes == (points,)]
            if sure:
                taps["confidence"] = Tap(sure[0])
            because = f"output '{name}' has {numbers} numbers for each of {points} landmarks"
            doubts = () if shape[-1] in (2, 3) else ("order: x, y, x, y or all x first",)
            yield Looks("coordinates", points, taps, because, doubts=doubts)


def _vectors(shape: Shape) -> Iterator[tuple[int, int, str]]:
    """Points, numbers for each, and order, by which a shape may hold coordinates."""
    axes = tuple(axis for axis in shape[1:] if axis != 1)
    if len(axes) == 2 and axes[1] in (2, 3) and axes[0] >= _LEAST_POINTS:
        yield axes[0], axes[1], "interleaved"
    elif len(axes) == 2 and axes[0] in (2, 3) and axes[1] >= _LEAST_POINTS:
        yield axes[1], axes[0], "planar"
    elif len(axes) == 1:
        for numbers in (2, 3):
            if axes[0] % numbers == 0 and axes[0] // numbers in _USUAL:
                yield axes[0] // numbers, numbers, "interleaved"
