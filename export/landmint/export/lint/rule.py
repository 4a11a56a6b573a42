"""What a lint rule is, and what it is given. The rules are in the files beside this one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import onnx

from landmint.export.finding import Severity, Target
from landmint.export.graphs import DECODE, Wiring
from landmint.runtime.contract import Contract

Stage = Literal["float", "paired", "any"]
OpenShape = tuple[int | None, ...]
"""A shape with None for each axis that is not static."""

PAIR = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, eq=False)
class Subject:
    """One ONNX graph to lint, with what rules ask of it."""

    model: onnx.ModelProto
    """The model, with its shapes inferred."""
    contract: Contract | None = None
    """What the model takes and returns; None where the file does not say."""

    @property
    def graph(self) -> onnx.GraphProto:
        """The graph of the model."""
        return self.model.graph

    @cached_property
    def wiring(self) -> Wiring:
        """Which node makes each tensor, and which nodes read it."""
        return Wiring(self.graph)

    @cached_property
    def shapes(self) -> dict[str, OpenShape]:
        """Shape by tensor, None for an axis that is not static."""
        graph = self.graph
        values = (*graph.input, *graph.value_info, *graph.output)
        constants = {name: tuple(constant.dims) for name, constant in self.wiring.constants.items()}
        return {value.name: shape_of(value) for value in values} | constants

    @cached_property
    def network(self) -> list[onnx.NodeProto]:
        """The nodes that may become INT8: all but those of a decode in the graph."""
        return [node for node in self.graph.node if not node.name.startswith(DECODE)]

    @property
    def is_paired(self) -> bool:
        """Whether the graph has Q/DQ pairs."""
        return any(node.op_type in PAIR for node in self.graph.node)


Breach = tuple[str, str]
"""Name of a node, tensor or output ("" for the graph as a whole), and what is wrong with it."""
Check = Callable[[Subject], Iterator[Breach]]


@dataclass(frozen=True)
class Rule:
    """One thing that a format cannot do, or does badly."""

    target: Target
    """The format, or `EVERY`."""
    severity: Severity
    """Error: it will not build, or computes something else. Warning: slow or inaccurate."""
    stage: Stage
    """Which graphs it is for: before quantisation, with Q/DQ pairs, or both."""
    check: Check
    """Finds the places that break it."""
    reason: str
    """Why it cannot work, or what it costs."""
    remedy: str
    """What to do about it."""


def shape_of(value: onnx.ValueInfoProto) -> OpenShape:
    """Shape of a tensor; None for an axis that is not static."""
    dims: Any = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
