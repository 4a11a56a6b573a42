"""A float graph in which chosen layers compute with the levels of its INT8 twin.

What each layer costs can be told by quantising it alone, or all but it. Not a quantiser: scales,
zero points and rounded weights are read from the ONNX Runtime variant as it was built.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from landmint.export.graphs import WEIGHTED, Wiring, attribute, replace_nodes
from landmint.quantize.integer_friendly import make_friendly
from landmint.runtime.errors import LandmintError

_FUSED = ("Relu", "Clip")  # a quantised tensor needs none of them: its levels end there


class Simulation:
    """The float graph, and the levels that its INT8 twin gives to tensors and weights."""

    def __init__(self, model: onnx.ModelProto, twin: onnx.ModelProto) -> None:
        """Read both.

        Args:
            model: float32, as `landmint.export.forms.onnx` wrote it.
            twin: of `landmint.quantize.forms.onnx`, made from `model`.

        Raises:
            LandmintError: no layer of the twin is quantised.
        """
        self.plain, gates = make_friendly(model)
        self._gated = {
            gate.source: gate.gate.removesuffix("_gate") if gate.swish else gate.gate
            for gate in gates
        }
        self._wiring = Wiring(self.plain.graph)
        self._twin = Wiring(twin.graph)
        self._pairs = dict(self._quantised_tensors(twin.graph))
        self._weights = {
            node.name: arrays
            for node in twin.graph.node
            if node.op_type in WEIGHTED and (arrays := _rounded(node, self._twin))
        }
        if not self._weights:
            raise LandmintError(
                "no layer of the INT8 graph is quantised",
                reason="there is nothing to explain",
                remedy="quantise the bundle again, with fewer quantize.float_layers",
            )

    @property
    def layers(self) -> list[NodeProto]:
        """The weighted nodes of the float graph, in order of execution."""
        return [node for node in self.plain.graph.node if node.op_type in WEIGHTED]

    def is_quantised(self, layer: NodeProto) -> bool:
        """Whether the twin computes the layer with rounded weights."""
        return layer.name in self._weights

    def activation(self, layer: NodeProto) -> str:
        """The tensor that leaves a layer: behind its activation function, where it has one."""
        tensor: str = layer.output[0]
        return self._gated.get(tensor) or self._fused(tensor) or tensor

    def dequantised(self, tensor: str) -> str:
        """Where the twin holds a tensor of the float graph, as its readers see it."""
        return self._pairs[tensor].output[0] if tensor in self._pairs else tensor

    def whole(self) -> onnx.ModelProto:
        """The graph with everything quantised that the twin quantises."""
        return self._quantise(self._weights, self._pairs)

    def only(self, layer: NodeProto) -> onnx.ModelProto:
        """The graph with one layer quantised: what it reads, its weights, and what it makes."""
        made = layer.output[0]
        ends = {layer.input[0], made if made in self._pairs else self._fused(made)}
        return self._quantise({layer.name}, ends & self._pairs.keys())

    def all_but(self, layer: NodeProto) -> onnx.ModelProto:
        """The graph with one layer in float, as `QuantizeConfig.float_layers` would have it.

        What its neighbours read and make stays quantised.
        """
        own = {
            tensor
            for tensor in (layer.input[0], layer.output[0])
            if all(node.name == layer.name for node in self._touching(tensor))
        }
        return self._quantise(self._weights.keys() - {layer.name}, self._pairs.keys() - own)

    def _touching(self, tensor: str) -> list[NodeProto]:
        maker = self._wiring.maker.get(tensor)
        return [*self._wiring.readers(tensor), *([maker] if maker is not None else [])]

    def _fused(self, tensor: str) -> str:
        """What the clip makes that alone reads a tensor; empty when there is none."""
        readers = self._wiring.readers(tensor)
        if len(readers) == 1 and readers[0].op_type in _FUSED:
            return str(readers[0].output[0])
        return ""

    def _quantised_tensors(self, graph: onnx.GraphProto) -> Iterator[tuple[str, NodeProto]]:
        """Each tensor of the float graph that the twin gives levels, and what dequantises it."""
        known = {*self._wiring.maker, *(value.name for value in self.plain.graph.input)}
        for quantise in graph.node:
            if quantise.op_type != "QuantizeLinear":
                continue
            for dequantise in self._twin.readers(quantise.output[0]):
                if dequantise.input[1] != quantise.input[1]:
                    continue  # a sixth of the scale: a gate, not the tensor itself
                # An output of the graph keeps its name behind the pair, any other before it.
                for name in known.intersection((quantise.input[0], dequantise.output[0])):
                    yield name, dequantise

    def _quantise(self, layers: Collection[str], tensors: Collection[str]) -> onnx.ModelProto:
        made = onnx.ModelProto()
        made.CopyFrom(self.plain)
        graph = made.graph
        nodes: list[NodeProto] = []
        entrance = graph.input[0].name
        seen = f"{entrance}_seen" if entrance in tensors else entrance
        if entrance in tensors:
            nodes += self._pair(graph, entrance, entrance, seen)
        for node in graph.node:
            node.input[:] = [seen if name == entrance else name for name in node.input]
            for place, array in self._weights[node.name].items() if node.name in layers else ():
                node.input[place] = f"{node.input[place]}_rounded"
                graph.initializer.append(numpy_helper.from_array(array, node.input[place]))
            nodes.append(node)
            for place, name in enumerate(node.output):
                if name in tensors:
                    node.output[place] = f"{name}_exact"
                    nodes += self._pair(graph, name, f"{name}_exact", name)
        replace_nodes(graph, nodes)
        return made

    def _pair(
        self, graph: onnx.GraphProto, tensor: str, source: str, result: str
    ) -> list[NodeProto]:
        """Quantise and dequantise with the levels of a tensor."""
        levels = [f"{tensor}_levels_scale", f"{tensor}_levels_zero"]
        for name, constant in zip(levels, self._pairs[tensor].input[1:], strict=True):
            values = self._twin.array(constant)
            assert values is not None
            graph.initializer.append(numpy_helper.from_array(values, name))
        between = f"{tensor}_levels"
        return [
            helper.make_node("QuantizeLinear", [source, *levels], [between], f"{between}_quantise"),
            helper.make_node("DequantizeLinear", [between, *levels], [result], f"{between}_real"),
        ]


def _rounded(node: NodeProto, twin: Wiring) -> dict[int, NDArray[np.float32]]:
    """Weight and bias of a layer as its levels say, by their place; empty for a float layer."""
    arrays: dict[int, NDArray[np.float32]] = {}
    for place, name in enumerate(node.input):
        maker = twin.maker.get(name)
        if maker is not None and maker.op_type == "DequantizeLinear":
            levels = twin.array(maker.input[0])
            if levels is not None:
                arrays[place] = _real(maker, levels, twin)
    return arrays


def _real(dequantise: NodeProto, levels: NDArray[Any], twin: Wiring) -> NDArray[np.float32]:
    """The numbers that constant levels stand for."""
    scale = twin.array(dequantise.input[1])
    zero = twin.array(dequantise.input[2]) if len(dequantise.input) > 2 else None
    assert scale is not None
    shape = [1] * levels.ndim
    if scale.size > 1:
        shape[attribute(dequantise, "axis", 1)] = scale.size
    centred = levels.astype(np.float64) - (0 if zero is None else zero.reshape(-1)[0])
    real: NDArray[np.float32] = (centred * scale.reshape(shape)).astype(np.float32)
    return real
