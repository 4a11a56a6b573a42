"""QuantizeLinear and DequantizeLinear put into a float ONNX graph, one pair per tensor.

Where the pairs belong is known by the file of each target; what the levels are, by its `Levels`.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from landmint.export.graphs import Wiring, output_axis
from landmint.quantize.decide.ranges import Range, weight_levels, zero_point

_TOP = 127


@dataclass(frozen=True)
class Levels:
    """Which scales and types a target takes."""

    symmetric: bool
    """Activations: int8 about zero, else uint8 with a zero point."""
    least_scale: float = 0.0
    """A smaller scale is raised to this one."""
    half: bool = False
    """Whether every scale must be one that float16 holds exactly."""

    def scale_of(self, span: Range) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        """Scale and zero point of an activation."""
        low, high = span
        if self.symmetric:
            return self.fit(np.array(max(-low, high) / _TOP)), np.array(0, np.int8)
        scale = self.fit(np.array((high - low) / 255))
        return scale, np.array(zero_point(span), np.uint8)

    def fit(self, scale: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scales that the target can hold."""
        raised = np.maximum(scale, self.least_scale)
        return (raised.astype(np.float16) if self.half else raised).astype(np.float32)


class Pairs:
    """The Q/DQ pairs of one graph: at most one per tensor, whoever reads it."""

    def __init__(self, graph: onnx.GraphProto, ranges: Mapping[str, Range], levels: Levels) -> None:
        """Look at a graph, whose constants are added to as pairs are asked for.

        Args:
            graph: float32.
            ranges: by name of each tensor that pairs will be asked for.
            levels: of the target.
        """
        self._graph = graph
        self._ranges = ranges
        self._levels = levels
        self._constants = Wiring(graph)
        self._behind: dict[str, list[NodeProto]] = {}
        self._read_first: list[NodeProto] = []
        self._names: dict[str, str] = {}

    def activation(self, tensor: str) -> str:
        """The dequantised twin of a tensor, with one scale."""
        if tensor not in self._names:
            constants = self._add_scale(tensor, *self._levels.scale_of(self._ranges[tensor]))
            levels, twin = f"{tensor}_levels", f"{tensor}_dequantised"
            self._behind[tensor] = [
                helper.make_node("QuantizeLinear", [tensor, *constants], [levels], levels),
                helper.make_node("DequantizeLinear", [levels, *constants], [twin], twin),
            ]
            self._names[tensor] = twin
        return self._names[tensor]

    def weight(self, node: NodeProto) -> str:
        """The weight as INT8 constant with one scale per output channel."""
        name = node.input[1]
        if name not in self._names:
            values = self._constants.array(name)
            assert values is not None
            axis = output_axis(node)
            levels, scale = weight_levels(values, axis, fit=self._levels.fit)
            self._graph.initializer.append(numpy_helper.from_array(levels, f"{name}_levels"))
            zeros = np.zeros(scale.shape, dtype=np.int8)
            inputs = [f"{name}_levels", *self._add_scale(name, scale, zeros)]
            twin = f"{name}_dequantised"
            self._read_first.append(
                helper.make_node("DequantizeLinear", inputs, [twin], twin, axis=axis)
            )
            self._names[name] = twin
        return self._names[name]

    def layers(self, nodes: Iterable[NodeProto]) -> None:
        """Let weighted nodes read their activation and their weight from levels."""
        for node in nodes:
            node.input[0] = self.activation(node.input[0])
            node.input[1] = self.weight(node)

    def residual(self, add: NodeProto, wiring: Wiring, layers: Container[str]) -> None:
        """Let an Add read one quantised layer as it is, into which it fuses, and levels else.

        Args:
            add: of two computed tensors; with a constant it is left alone.
            wiring: of the graph before there were pairs.
            layers: outputs of the quantised layers.
        """
        if any(name in wiring.constants for name in add.input):
            return
        fused = next((i for i, name in enumerate(add.input) if name in layers), None)
        if fused is None:
            return
        for i, name in enumerate(add.input):
            if i != fused:
                add.input[i] = self.activation(name)

    def _add_scale(
        self, tensor: str, scale: NDArray[np.float32], zero: NDArray[np.generic]
    ) -> tuple[str, str]:
        names = f"{tensor}_scale", f"{tensor}_zero_point"
        self._graph.initializer.append(numpy_helper.from_array(scale, names[0]))
        self._graph.initializer.append(numpy_helper.from_array(zero, names[1]))
        return names

    def in_order(self) -> list[NodeProto]:
        """The graph's nodes with each pair right behind what it quantises."""
        nodes = list(self._read_first)
        for value in self._graph.input:
            nodes += self._behind.get(value.name, [])
        for node in self._graph.node:
            nodes.append(node)
            for name in node.output:
                nodes += self._behind.get(name, [])
        return nodes
