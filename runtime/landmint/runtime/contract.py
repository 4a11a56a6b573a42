"""The contract: what a deployed model takes and returns, and how to crop and decode.

It is stored inside every artefact, so that a device has to guess nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup, get_markup, keep_markup, own_markup
from landmint.runtime.typed_json import MismatchError, read_as

SCHEMA = 4
HeadKind = Literal["coordinates", "heatmap", "pip", "simcc", "offset", "nested"]
Decode = Literal["", "argmax", "quarter", "dark", "local_soft_argmax", "centroid"]
SIMCC_OUTPUTS = ("simcc_x", "simcc_y")
"""A SimCC head's outputs: for each landmark a vector of bins along x, and one along y."""
OFFSETS = ("offset_x", "offset_y")
"""An offset head's outputs beside its scores: from each cell to a landmark, in cells. There is
a map for each landmark, or one for all."""
Layout = Literal["NCHW", "NHWC"]
Color = Literal["RGB", "BGR"]
Shape = tuple[int, ...]

_LARGEST_SIDE = 4096  # of an input or a map: a device must not be made to fill its memory
_REMEDY = "export the model again"


@dataclass(frozen=True)
class CropRule:
    """How a face box becomes the model's square input; outside the image the crop is black."""

    scale: tuple[float, float]
    """Width and height of the crop over those of the box."""
    square: bool
    """True: a square of scale * max(w, h), with one scale for both; False: scale[0] * w by
    scale[1] * h, stretched to a square."""
    shift: tuple[float, float] = (0.0, 0.0)
    """How far right and down the crop's centre lies of the box's, as shares of w and h."""

    def __post_init__(self) -> None:
        """Refuse a crop that shows no face.

        Raises:
            LandmintError: a scale or a shift is out of bounds, or a square has two scales.
        """
        for scale in self.scale:
            _check_bounds("crop.scale", scale, 0.01, 100)
        if self.square and self.scale[0] != self.scale[1]:
            raise LandmintError(
                f"a square crop of two scales, {self.scale[0]:g} and {self.scale[1]:g}",
                reason="only a crop that is stretched to a square has one for each axis",
                remedy=_REMEDY,
            )
        for share in self.shift:
            _check_bounds("crop.shift", share, -1, 1)


@dataclass(frozen=True)
class Output:
    """One output tensor of the model."""

    name: str
    """Canonical name, such as "heatmaps" or "nb_x"."""
    shape: Shape
    """Shape without the batch axis, channels first whatever the layout."""


@dataclass(frozen=True)
class Head:
    """How outputs become landmarks."""

    kind: HeadKind
    """Family of the head; it fixes the outputs. Coordinates and heatmaps may come with a
    confidence."""
    decode: Decode = ""
    """Heatmap decoding; empty for the other heads."""
    sigma: float = 0.0
    """Standard deviation of the target's Gaussian, in heatmap cells or in bins; of an offset head
    how far from a landmark, in cells, offsets were taught."""
    neighbours: tuple[tuple[int, ...], ...] = ()
    """For each landmark of a PIP head, the landmarks that it also predicts."""
    tau: float = 10.0
    """Local soft-argmax: what heatmaps and SimCC's vectors are multiplied by before the softmax."""
    radius: int = 2
    """Local soft-argmax, centroid and offsets: cells or bins on each side of the peak that count.
    0 is for offsets alone: those of the peak's cell."""

    def __post_init__(self) -> None:
        """Refuse a head that landmarks cannot be decoded from.

        Raises:
            LandmintError: the kind or the decode is unknown or they do not fit, or a number is
                out of bounds.
        """
        _check_choice("head", self.kind, HeadKind)
        _check_choice("decode", self.decode, Decode)
        if bool(self.decode) != (self.kind == "heatmap"):
            raise LandmintError(
                f"a {self.kind} head with the decode '{self.decode}'",
                reason="heatmaps need a decode, and no other head has one",
                remedy=_REMEDY,
            )
        _check_bounds("head.sigma", self.sigma, 1e-3 if self.decode == "dark" else 0, 100)
        _check_bounds("head.tau", self.tau, 1e-3, 1e4)
        _check_bounds("head.radius", self.radius, 0 if self.kind == "offset" else 1, 64)


@dataclass(frozen=True)
class Contract:
    """Everything a device must know to run a model and read its outputs."""

    markup: str
    """Name of the landmark scheme."""
    input_size: int
    """Side of the square input, in pixels."""
    crop: CropRule
    """From face box to input."""
    mean: tuple[float, float, float]
    """Subtracted from red, green and blue, on the 0..255 scale, whatever `color` is."""
    std: tuple[float, float, float]
    """Divides red, green and blue, on the 0..255 scale, whatever `color` is."""
    head: Head
    """From outputs to landmarks."""
    outputs: tuple[Output, ...]
    """The outputs in graph order."""
    layout: Layout = "NCHW"
    """Axis order of the input and of every output of rank 4 in this artefact."""
    color: Color = "RGB"
    """Order of the input's channels."""
    input_name: str = "image"
    """Name of the input tensor."""

    def __post_init__(self) -> None:
        """Refuse a contract that makes no sense.

        Raises:
            LandmintError: the markup is unknown, a number is not finite or out of bounds, or the
                outputs do not fit head and markup.
        """
        points = get_markup(self.markup).points
        _check_choice("layout", self.layout, Layout)
        _check_choice("color", self.color, Color)
        _check_bounds("input_size", self.input_size, 1, _LARGEST_SIDE)
        for mean, std in zip(self.mean, self.std, strict=True):
            _check_bounds("mean", mean, -1e4, 1e4)
            _check_bounds("std", std, 1e-4, 1e4)
        if not 0 < len(self.input_name) <= 200:
            raise LandmintError("a contract needs the input's name", remedy=_REMEDY)
        if self.head.kind == "pip":
            _check_neighbours(self.head.neighbours, points)
        shapes = {output.name: output.shape for output in self.outputs}
        problem = _OUTPUTS[self.head.kind](shapes, points, self.head)
        if problem or len(shapes) != len(self.outputs):
            raise LandmintError(
                f"outputs that do not fit a {self.head.kind} head of {points} landmarks",
                reason=problem or "two of them have the same name",
                remedy=_REMEDY,
            )

    @property
    def landmarks(self) -> Markup:
        """The markup that `markup` names."""
        return get_markup(self.markup)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input tensor for one face, in this artefact's layout."""
        size = self.input_size
        return (1, 3, size, size) if self.layout == "NCHW" else (1, size, size, 3)

    def with_layout(self, layout: Layout) -> "Contract":
        """The same contract for an artefact of another axis order."""
        return dataclasses.replace(self, layout=layout)

    def decoded(self) -> "Contract":
        """The contract of the same network with its decode in the graph."""
        points = self.landmarks.points
        outputs = (Output("coordinates", (2 * points,)), Output("confidence", (points,)))
        return dataclasses.replace(self, head=Head("coordinates"), outputs=outputs)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists, in the oldest schema that can hold this contract.

        So a device with an earlier runtime reads every contract that it supports.
        """
        content = dataclasses.asdict(self)
        width, height = self.crop.scale
        scheme = own_markup(self.markup)
        if scheme is not None:
            return {"schema": 4, **content, "scheme": dataclasses.asdict(scheme)}
        if width != height:
            return {"schema": 3, **content}
        return {"schema": 2, **content, "crop": {**content["crop"], "scale": width}}

    @staticmethod
    def from_json(content: Any) -> "Contract":
        """The contract that `to_json` wrote, now or by an older schema.

        Raises:
            LandmintError: a field is missing, unknown or of the wrong type, the values do not fit
                each other, or the schema is unknown.
        """
        schema = content.get("schema") if isinstance(content, Mapping) else None
        if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
            raise LandmintError(
                f"contract of schema {schema!r}"[:200],
                reason=f"this landmint reads schemas 1 to {SCHEMA}",
                remedy=_REMEDY,
            )
        try:
            fields = {name: value for name, value in content.items() if name != "schema"}
            for step in range(schema, SCHEMA):
                fields = _UPDATES[step](fields)
            if scheme := fields.pop("scheme", None):
                keep_markup(read_as(Markup, scheme, "contract.scheme"))
            return read_as(Contract, fields, "contract")
        except MismatchError as error:
            raise LandmintError(
                "the contract cannot be read", reason=str(error), remedy=_REMEDY
            ) from None


def _to_schema_2(content: Mapping[str, Any]) -> dict[str, Any]:
    """Schema 1 had no shift of the crop; tau and radius of the soft-argmax were constants."""
    crop, head = content.get("crop"), content.get("head")
    if not isinstance(crop, Mapping) or not isinstance(head, Mapping):
        raise MismatchError("contract has no field 'crop' or 'head' that is an object")
    if "shift" in crop or "tau" in head or "radius" in head:
        raise MismatchError("contract says schema 1, but has fields of schema 2")
    return {
        **content,
        "crop": {**crop, "shift": [0.0, 0.0]},
        "head": {**head, "tau": 10.0, "radius": 2},
    }


def _to_schema_3(content: Mapping[str, Any]) -> dict[str, Any]:
    """Schema 2 had one scale of the crop for both axes."""
    crop = content.get("crop")
    if not isinstance(crop, Mapping):
        raise MismatchError("contract has no field 'crop' that is an object")
    if isinstance(crop.get("scale"), list):
        raise MismatchError("contract says schema 2, but has a scale for each axis")
    scales = {name: [value, value] for name, value in crop.items() if name == "scale"}
    return {**content, "crop": {**crop, **scales}}


def _to_schema_4(content: Mapping[str, Any]) -> dict[str, Any]:
    """Schema 3 knew only the markups that come along."""
    if "scheme" in content:
        raise MismatchError("contract says schema 3, but has a markup of its own")
    return dict(content)


_UPDATES: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = MappingProxyType(
    {1: _to_schema_2, 2: _to_schema_3, 3: _to_schema_4}
)
"""From each older schema to the next."""


def _check_choice(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise LandmintError(f"unknown {name} '{value}'", choices=get_args(choices))


def _check_bounds(name: str, value: float, least: float, most: float) -> None:
    """Refuse what is not between the two; NaN is not."""
    if not least <= value <= most:
        raise LandmintError(
            f"{name} is {value:.6g} in a contract",
            reason=f"it must lie between {least:g} and {most:g}",
            remedy=_REMEDY,
        )


def _check_neighbours(neighbours: tuple[tuple[int, ...], ...], points: int) -> None:
    """Refuse lists that the votes of a PIP head cannot be read by."""
    lengths = {len(row) for row in neighbours}
    if len(neighbours) != points or len(lengths) != 1 or not all(lengths):
        raise LandmintError(
            f"neighbours of {len(neighbours)} landmarks, in lists of {sorted(lengths)[:9]}",
            reason=f"a PIP head of {points} landmarks needs a list for each, of one length",
            remedy=_REMEDY,
        )
    for i, row in enumerate(neighbours):
        if not all(0 <= j < points for j in row) or len(set(row)) != len(row):
            raise LandmintError(
                f"the neighbours of landmark {i} are {list(row)[:points]}",
                reason=f"they must be of the {points} landmarks, each once",
                remedy=_REMEDY,
            )


def _coordinate_problem(shapes: Mapping[str, Shape], points: int, head: Head) -> str:
    """What is wrong with a coordinate head's outputs; empty when nothing is."""
    expected = {"coordinates": (2 * points,)}
    if "confidence" in shapes:
        expected["confidence"] = (points,)
    return _difference(shapes, expected)


def _heatmap_problem(shapes: Mapping[str, Shape], points: int, head: Head) -> str:
    """What is wrong with a heatmap head's outputs; empty when nothing is."""
    expected: dict[str, Shape] = {"heatmaps": (points, *_grid(shapes.get("heatmaps", ())))}
    if "confidence" in shapes:
        expected["confidence"] = (points,)
    return _difference(shapes, expected)


def _pip_problem(shapes: Mapping[str, Shape], points: int, head: Head) -> str:
    """What is wrong with a PIP head's outputs; empty when nothing is."""
    grid, votes = _grid(shapes.get("cls", ())), points * len(head.neighbours[0])
    channels = {"cls": points, "x": points, "y": points, "nb_x": votes, "nb_y": votes}
    return _difference(shapes, {name: (count, *grid) for name, count in channels.items()})


def _simcc_problem(shapes: Mapping[str, Shape], points: int, head: Head) -> str:
    """What is wrong with a SimCC head's outputs; empty when nothing is."""
    return _difference(
        shapes, {name: (points, _grid(shapes.get(name, ()))[0]) for name in SIMCC_OUTPUTS}
    )


def _offset_problem(shapes: Mapping[str, Shape], points: int, head: Head) -> str:
    """What is wrong with an offset head's outputs; empty when nothing is."""
    grid = _grid(shapes.get("scores", ()))
    maps = 1 if shapes.get(OFFSETS[0], ())[:1] == (1,) else points
    return _difference(
        shapes, {"scores": (points, *grid)} | {name: (maps, *grid) for name in OFFSETS}
    )


def _nested_problem(shapes: Mapping[str, Shape], points: int, head: Head) -> str:
    """What is wrong with a nested head's outputs; empty when nothing is."""
    names = "heatmaps", "inner"
    return _difference(shapes, {name: (points, *_grid(shapes.get(name, ()))) for name in names})


def _grid(shape: Shape) -> Shape:
    """Rows and columns of a map; 1 for what none can have."""
    return tuple(n if 1 <= n <= _LARGEST_SIDE else 1 for n in (*shape[1:], 1, 1)[:2])


def _difference(shapes: Mapping[str, Shape], expected: Mapping[str, Shape]) -> str:
    if dict(shapes) == dict(expected):
        return ""
    return f"they are {_listed(shapes)}; {_listed(expected)} would fit"


def _listed(shapes: Mapping[str, Shape]) -> str:
    named = (f"{name[:40]} {list(shape[:4])}" for name, shape in list(shapes.items())[:6])
    return ", ".join(named) or "none"


_OUTPUTS: Mapping[HeadKind, Callable[[Mapping[str, Shape], int, Head], str]] = MappingProxyType(
    {
        "coordinates": _coordinate_problem,
        "heatmap": _heatmap_problem,
        "pip": _pip_problem,
        "simcc": _simcc_problem,
        "offset": _offset_problem,
        "nested": _nested_problem,
    }
)
