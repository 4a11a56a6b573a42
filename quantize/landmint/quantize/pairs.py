"""Puts pairs of QuantizeLinear and DequantizeLinear into a float ONNX graph, one per tensor.

The caller says which tensors get a pair: that differs by target. A `ScaleRule` says which scales
and types the target takes.
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
class ScaleRule:
    """Which scales and types a target takes."""

    symmetric: bool
    """Type of activations: True for int8 with the zero point 0, False for uint8 with any."""
    least_scale: float = 0.0
    """Smaller scales are raised to this."""
    half: bool = False
    """Whether scales are rounded to numbers that float16 can hold."""

    def scale_of(self, span: Range) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        """Scale and zero point for an activation with this range."""
        low, high = span
        if self.symmetric:
            return self.fit(np.array(max(-low, high) / _TOP)), np.array(0, np.int8)
        scale = self.fit(np.array((high - low) / 255))
        return scale, np.array(zero_point(span), np.uint8)

    def fit(self, scale: NDArray[np.float64]) -> NDArray[np.float32]:
        """Round scales to ones that the target can hold."""
        raised = np.maximum(scale, self.least_scale)
        return (raised.astype(np.float16) if self.half else raised).astype(np.float32)


class Pairs:
    """The Q/DQ pairs of one graph: at most one per tensor, however many nodes read it.

    Ask for pairs with the methods, then take the nodes of the whole graph from `in_order`.
    """

    def __init__(
        self, graph: onnx.GraphProto, ranges: Mapping[str, Range], rule: ScaleRule
    ) -> None:
        """Start without pairs.

        Args:
            graph: float32; constants are added to it as pairs are asked for.
            ranges: of all activations that will get pairs, by the name of the tensor.
            rule: scales and types of the target.
        """
        self._graph = graph
        self._ranges = ranges
        self._rule = rule
        self._constants = Wiring(graph)
        self._behind: dict[str, list[NodeProto]] = {}
        self._read_first: list[NodeProto] = []
        self._names: dict[str, str] = {}

    def activation(self, tensor: str) -> str:
        """Put a pair behind an activation; returns the name of the dequantised tensor."""
        if tensor not in self._names:
            constants = self._add_scale(tensor, *self._rule.scale_of(self._ranges[tensor]))
            levels, twin = f"{tensor}_levels", f"{tensor}_dequantised"
            self._behind[tensor] = [
                helper.make_node("QuantizeLinear", [tensor, *constants], [levels], levels),
                helper.make_node("DequantizeLinear", [levels, *constants], [twin], twin),
            ]
            self._names[tensor] = twin
        return self._names[tensor]

    def weight(self, node: NodeProto) -> str:
        """Store a layer's weight as INT8, one scale per output channel.

        Returns:
            the name of the dequantised weight.
        """
        name = node.input[1]
        if name not in self._names:
            values = self._constants.array(name)
            assert values is not None
            axis = output_axis(node)
            levels, scale = weight_levels(values, axis, fit=self._rule.fit)
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
        """Let weighted nodes read quantised activations and quantised weights."""
        for node in nodes:
            node.input[0] = self.activation(node.input[0])
            node.input[1] = self.weight(node)

    def residual(self, add: NodeProto, wiring: Wiring, layers: Container[str]) -> None:
        """Quantise the inputs of an Add, but for one that a quantised layer makes.

        The engine fuses the Add into that layer, so no pair may stand between the two. An Add
        that reads no quantised layer, or a constant, is left alone.

        Args:
            add: the node.
            wiring: of the graph before it had pairs.
            layers: names of the tensors that quantised layers make.
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
        """All nodes of the graph, each pair right behind the node whose result it quantises."""
        nodes = list(self._read_first)
        for value in self._graph.input:
            nodes += self._behind.get(value.name, [])
        for node in self._graph.node:
            nodes.append(node)
            for name in node.output:
                nodes += self._behind.get(name, [])
        return nodes
