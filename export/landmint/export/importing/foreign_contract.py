"""What a person says of a foreign network, as TOML, and the contract that follows from it.

The file says what nothing in a model's file tells: how a face is cropped and normalised, which
outputs are used and what they mean. Shapes are the model's own.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from landmint.export.importing.binding import Binding, Tap, expected_size
from landmint.runtime.contract import (
    Color,
    Contract,
    CropRule,
    Head,
    Layout,
    Output,
    Shape,
)
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.runtime.markup_file import read_markup
from landmint.runtime.typed_json import MismatchError, read_as


@dataclass(frozen=True)
class Signature:
    """A file's input and outputs, as the file tells them, for one face."""

    inputs: Mapping[str, Shape]
    """Shape by name; 0 for an axis that is open."""
    outputs: Mapping[str, Shape]
    """Shape by name."""


@dataclass(frozen=True)
class InputSpec:
    """What the network takes."""

    size: int
    """Side of the square crop, in pixels."""
    color: Color
    """Order of the channels."""
    mean: tuple[float, float, float]
    """Subtracted from red, green and blue, on the 0..255 scale."""
    std: tuple[float, float, float]
    """Divides red, green and blue, on the 0..255 scale."""
    tensor: str = ""
    """Name in the file; not needed where there is one input."""
    layout: Layout = "NCHW"
    """Axis order in the file."""


@dataclass(frozen=True)
class CropSpec:
    """How a face box becomes the crop."""

    scale: tuple[float, float]
    """Width and height of the crop over those of the box. One number in the file means both."""
    square: bool = True
    """Whether the crop is a square of the box's longer side, or the box stretched to one."""
    shift: tuple[float, float] = (0.0, 0.0)
    """How far right and down the crop lies, as shares of the box."""


@dataclass(frozen=True)
class ForeignContract:
    """All that a person says of a network."""

    markup: str
    """Name of the landmark scheme; in the file it may be that of a TOML file beside it."""
    input: InputSpec
    """What it takes."""
    crop: CropSpec
    """How a face is cut out for it."""
    head: Head
    """How its outputs become landmarks."""
    outputs: Mapping[str, Tap] = field(default_factory=dict)
    """Which outputs are used, by the canonical name."""

    def bind(self, signature: Signature) -> tuple[Contract, Binding]:
        """The contract in NCHW, and how the file's tensors become the contract's.

        Args:
            signature: of the file.

        Raises:
            LandmintError: the file's tensors do not fit what is said of them.
        """
        entrance = _entrance(self.input, signature.inputs)
        points = get_markup(self.markup).points
        outputs, taps = [], {}
        for name, tap in self.outputs.items():
            shape = _shape_of(tap, signature.outputs)
            outputs.append(Output(name, _canonical(name, tap, shape, points)))
            taps[name] = tap
        contract = Contract(
            markup=self.markup,
            input_size=self.input.size,
            crop=CropRule(self.crop.scale, self.crop.square, self.crop.shift),
            mean=self.input.mean,
            std=self.input.std,
            head=self.head,
            outputs=tuple(outputs),
            color=self.input.color,
            input_name=entrance,
        )
        return contract, Binding(entrance, self.input.layout, taps)


def read_foreign_contract(path: Path) -> ForeignContract:
    """Read a contract's TOML.

    Raises:
        LandmintError: the file is missing, no TOML, or a field is missing, unknown or of the wrong
            type.
    """
    remedy = "correct it; `landmint import MODEL --draft FILE` explains each field"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        crop = content.get("crop")
        if isinstance(crop, dict) and isinstance(crop.get("scale"), int | float):
            crop["scale"] = [crop["scale"]] * 2
        if str(content.get("markup")).endswith(".toml"):
            content["markup"] = read_markup(path.parent / content["markup"]).name
        return read_as(ForeignContract, content, path.name)
    except FileNotFoundError:
        raise LandmintError(
            f"{path} does not exist",
            remedy=f"write one with `landmint import MODEL --draft {path}`, and correct it",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, MismatchError) as error:
        raise LandmintError(
            f"{path} cannot be read as a contract", reason=str(error), remedy=remedy
        ) from None
    except LandmintError as error:
        raise corrected(error, path) from None


def corrected(error: LandmintError, path: Path) -> LandmintError:
    """The same error with the remedy that fits here: a contract of ours says "export again"."""
    return LandmintError(
        error.fact, reason=error.reason, remedy=f"correct {path}", choices=error.choices
    )


def _entrance(spec: InputSpec, inputs: Mapping[str, Shape]) -> str:
    """Name of the input, whose shape must be what the contract says."""
    name = spec.tensor or next(iter(inputs), "")
    if name not in inputs or (not spec.tensor and len(inputs) > 1):
        raise LandmintError(
            f"the model has no input '{name}'" if spec.tensor else "which input is the picture?",
            remedy="name it in the contract, as input.tensor",
            choices=inputs,
        )
    if len(inputs) > 1:
        raise LandmintError(
            f"the model takes {len(inputs)} inputs: {', '.join(inputs)}",
            reason="landmint feeds one picture",
            remedy="export the model with the others as constants",
        )
    size = spec.size
    wanted = (1, 3, size, size) if spec.layout == "NCHW" else (1, size, size, 3)
    shape = inputs[name]
    if len(shape) != 4 or any(axis not in (0, n) for axis, n in zip(shape, wanted, strict=True)):
        raise LandmintError(
            f"input '{name}' has shape {list(shape)}",
            reason=f"the contract says {list(wanted)}, {spec.layout}",
            remedy="correct input.size or input.layout in the contract; a model of another batch "
            "or of other channels must be exported again with batch 1 and three channels",
        )
    return name


def _shape_of(tap: Tap, outputs: Mapping[str, Shape]) -> Shape:
    if tap.tensor not in outputs:
        raise LandmintError(
            f"the model has no output '{tap.tensor}'",
            remedy="name another one in the contract",
            choices=outputs,
        )
    return outputs[tap.tensor]


def _canonical(name: str, tap: Tap, shape: Shape, points: int) -> Shape:
    """Shape of the contract's output, without the batch axis, channels first."""
    if name == "coordinates":
        expected_size(shape, points, tap.tensor)
        return (2 * points,)
    if name == "confidence":
        return tuple(n for n in shape[1:] if n != 1)
    if len(shape) == 4 and tap.layout == "NHWC":
        return (shape[3], *shape[1:3])
    return shape[1:]
