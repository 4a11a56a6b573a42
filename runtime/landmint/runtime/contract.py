"""What a deployed model eats and returns. It travels inside every artefact: nothing is guessed.

Not a model: it holds no weights and names no file.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import Markup, get_markup

SCHEMA = 1
HeadKind = Literal["coordinates", "heatmap", "pip"]
Decode = Literal["", "argmax", "quarter", "dark", "local_soft_argmax"]
Layout = Literal["NCHW", "NHWC"]


@dataclass(frozen=True)
class CropRule:
    """How a face box becomes the model's square input; outside the image the crop is black."""

    scale: float
    """Side of the crop over the side of the box."""
    square: bool
    """True: a square of scale * max(w, h); False: scale * w by scale * h, stretched to a square."""


@dataclass(frozen=True)
class Output:
    """One output tensor of the model."""

    name: str
    """Canonical name, such as "heatmaps" or "nb_x"."""
    shape: tuple[int, ...]
    """Shape without the batch axis, channels first whatever the layout."""


@dataclass(frozen=True)
class Head:
    """How outputs become landmarks."""

    kind: HeadKind
    """Family of the head; it fixes the outputs. Coordinates may come with a confidence."""
    decode: Decode = ""
    """Heatmap decoding; empty for the other heads."""
    sigma: float = 0.0
    """Standard deviation of the heatmap's Gaussian, in heatmap cells."""
    neighbours: tuple[tuple[int, ...], ...] = ()
    """For each landmark of a PIP head, the landmarks that it also predicts."""


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
    """Subtracted per channel, on the 0..255 scale."""
    std: tuple[float, float, float]
    """Divided by per channel, on the 0..255 scale."""
    head: Head
    """From outputs to landmarks."""
    outputs: tuple[Output, ...]
    """The outputs in graph order."""
    layout: Layout = "NCHW"
    """Axis order of the input and of every output of rank 4 in this artefact."""
    color: Literal["RGB"] = "RGB"
    """Channel order of the input."""
    input_name: str = "image"
    """Name of the input tensor."""

    def __post_init__(self) -> None:
        """Refuse a contract that no device could keep.

        Raises:
            LandmintError: the markup is unknown, or a size, scale or std is not positive.
        """
        get_markup(self.markup)
        if self.head.kind not in get_args(HeadKind):
            raise LandmintError(f"unknown head '{self.head.kind}'", choices=get_args(HeadKind))
        if self.head.decode not in get_args(Decode):
            raise LandmintError(f"unknown decode '{self.head.decode}'", choices=get_args(Decode))
        if self.layout not in get_args(Layout):
            raise LandmintError(f"unknown layout '{self.layout}'", choices=get_args(Layout))
        if min(self.input_size, self.crop.scale, *self.std) <= 0:
            raise LandmintError("a contract needs a positive input_size, crop.scale and std")

    @property
    def landmarks(self) -> Markup:
        """The markup itself."""
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
        """Plain dictionaries and lists, with the schema version."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Contract":
        """The contract that `to_json` wrote.

        Raises:
            LandmintError: a key is missing, of the wrong type, or the schema is unknown.
        """
        if content.get("schema") != SCHEMA:
            raise LandmintError(
                f"contract of schema {content.get('schema')!r}",
                reason=f"this landmint reads schema {SCHEMA}",
                remedy="export the model again",
            )
        try:
            head = content["head"]
            return Contract(
                markup=str(content["markup"]),
                input_size=int(content["input_size"]),
                crop=CropRule(float(content["crop"]["scale"]), bool(content["crop"]["square"])),
                mean=_three(content["mean"]),
                std=_three(content["std"]),
                head=Head(
                    kind=head["kind"],
                    decode=head["decode"],
                    sigma=float(head["sigma"]),
                    neighbours=tuple(tuple(int(i) for i in row) for row in head["neighbours"]),
                ),
                outputs=tuple(
                    Output(str(o["name"]), tuple(int(n) for n in o["shape"]))
                    for o in content["outputs"]
                ),
                layout=content["layout"],
                color=content["color"],
                input_name=str(content["input_name"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LandmintError(
                "the contract is incomplete",
                reason=f"{type(error).__name__}: {error}",
                remedy="export the model again",
            ) from None


def _three(values: Any) -> tuple[float, float, float]:
    numbers = tuple(float(v) for v in values)
    if len(numbers) != 3:
        raise ValueError(f"three numbers expected, {len(numbers)} found")
    return numbers
