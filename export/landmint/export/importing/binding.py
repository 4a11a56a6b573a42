"""How a foreign network's own tensors become the contract's.

Said once, as a few steps for each output. numpy takes them behind the file as it came; converters
write them into the graph.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.contract import Contract, Layout, Output, Shape
from landmint.runtime.errors import LandmintError

Order = Literal["interleaved", "planar"]
"""How coordinates lie: x, y, x, y; or all x, then all y. A third number, such as a depth, may go
with each: it is dropped."""
Unit = Literal["share", "pixels", "centred"]
"""What coordinates count: shares of the crop's side from its left and upper edge; pixels of the
crop, 0 in the middle of the first; or -1 to 1 from edge to edge."""


@dataclass(frozen=True)
class Tap:
    """One output of the contract, and where it comes from."""

    tensor: str
    """Name of the output in the file."""
    layout: Layout = "NCHW"
    """Axis order of maps."""
    order: Order = "interleaved"
    """How coordinates lie."""
    unit: Unit = "share"
    """What coordinates count."""


@dataclass(frozen=True)
class Binding:
    """What connects a file's input and outputs with a contract's."""

    input: str
    """Name of the input in the file."""
    layout: Layout
    """Axis order of the input."""
    taps: Mapping[str, Tap]
    """By the canonical name of the output, in the contract's order."""


@dataclass(frozen=True)
class Step:
    """One operation on an output of the file, batch axis included."""

    kind: Literal["reshape", "transpose", "first", "affine"]
    """`first` keeps the first numbers of the last axis."""
    numbers: tuple[float, ...]
    """A shape; a permutation; how many; factor and summand."""

    @property
    def whole(self) -> tuple[int, ...]:
        """The numbers of a shape, a permutation or a count."""
        return tuple(int(number) for number in self.numbers)


def steps_of(tap: Tap, shape: Shape, output: Output, contract: Contract) -> tuple[Step, ...]:
    """From an output of the file to the contract's.

    Args:
        tap: what is said of it.
        shape: its own shape, batch axis included.
        output: the contract's.
        contract: of the model, in NCHW.
    """
    wanted = (1, *output.shape)
    if output.name == "coordinates":
        return _coordinate_steps(tap, shape, wanted, contract)
    if tap.layout == "NHWC" and len(shape) == 4:
        return (Step("transpose", (0, 3, 1, 2)),)
    return () if shape == wanted else (Step("reshape", wanted),)


def _coordinate_steps(
    tap: Tap, shape: Shape, wanted: Shape, contract: Contract
) -> tuple[Step, ...]:
    points = contract.landmarks.points
    numbers = math.prod(shape) // points
    factor, summand = _UNITS[tap.unit](contract.input_size)
    steps = []
    if tap.order == "planar":
        steps += [Step("reshape", (1, numbers, points)), Step("transpose", (0, 2, 1))]
    elif numbers > 2:
        steps.append(Step("reshape", (1, points, numbers)))
    if numbers > 2:
        steps.append(Step("first", (2,)))
    if steps or shape != wanted:
        steps.append(Step("reshape", wanted))
    return (*steps, *([Step("affine", (factor, summand))] if tap.unit != "share" else []))


_UNITS: Mapping[Unit, Callable[[int], tuple[float, float]]] = MappingProxyType(
    {
        "share": lambda size: (1.0, 0.0),
        "pixels": lambda size: (1 / size, 0.5 / size),
        "centred": lambda size: (0.5, 0.5),
    }
)
"""Factor and summand to shares, by the side of the crop in pixels."""


def take(steps: tuple[Step, ...], tensor: NDArray[Any]) -> NDArray[np.float32]:
    """Take the steps with numpy."""
    taken = tensor.astype(np.float32)
    for step in steps:
        taken = _STEPS[step.kind](taken, step)
    return np.ascontiguousarray(taken, dtype=np.float32)


_STEPS: Mapping[str, Callable[[NDArray[np.float32], Step], NDArray[np.float32]]] = MappingProxyType(
    {
        "reshape": lambda tensor, step: tensor.reshape(step.whole),
        "transpose": lambda tensor, step: tensor.transpose(step.whole),
        "first": lambda tensor, step: tensor[..., : step.whole[0]],
        "affine": lambda tensor, step: (
            tensor * np.float32(step.numbers[0]) + np.float32(step.numbers[1])
        ),
    }
)


def expected_size(shape: Shape, points: int, tensor: str) -> None:
    """Refuse an output that cannot hold two numbers or more for each landmark.

    Raises:
        LandmintError: it cannot.
    """
    size = math.prod(shape)
    if size % points or size < 2 * points:
        raise LandmintError(
            f"output '{tensor}' has shape {list(shape)}: {size} numbers",
            reason=f"coordinates of {points} landmarks are {2 * points} numbers, or "
            f"{3 * points} with a depth",
            remedy="correct the markup, or name another output",
        )
