"""Copies of the float graph in which only chosen layers are quantised.

Quantising one layer alone, or all layers but one, shows how much this layer costs. Scales, zero
points and rounded weights are not computed here, but read from the INT8 graph: its "twin".
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
    """A float graph and its INT8 twin; makes copies of the first, quantised in part."""

    def __init__(self, model: onnx.ModelProto, twin: onnx.ModelProto) -> None:
        """Read levels and rounded weights from the twin.

        Args:
            model: the float32 graph, as `landmint.export.forms.onnx` writes it.
            twin: the INT8 graph that `landmint.quantize.forms.onnx` made from `model`.

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
        """Whether the layer is quantised in the twin."""
        return layer.name in self._weights

    def activation(self, layer: NodeProto) -> str:
        """Name of a layer's output; of its activation function's output, where it has one."""
        tensor: str = layer.output[0]
        return self._gated.get(tensor) or self._fused(tensor) or tensor

    def dequantised(self, tensor: str) -> str:
        """Name in the twin of a tensor of the float graph; if quantised, behind its Q/DQ pair."""
        return self._pairs[tensor].output[0] if tensor in self._pairs else tensor

    def whole(self) -> onnx.ModelProto:
        """The float graph with all layers quantised that the twin quantises."""
        return self._quantise(self._weights, self._pairs)

    def only(self, layer: NodeProto) -> onnx.ModelProto:
        """The float graph with one layer quantised: its input, its weights and its output."""
        made = layer.output[0]
        ends = {layer.input[0], made if made in self._pairs else self._fused(made)}
        return self._quantise({layer.name}, ends & self._pairs.keys())

    def all_but(self, layer: NodeProto) -> onnx.ModelProto:
        """The float graph with all layers quantised but one, as `QuantizeConfig.float_layers` does.

        Of the layer's input and output, those that another node reads or makes stay quantised.
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
        """Output of the Relu or Clip that alone reads a tensor; "" when there is none."""
        readers = self._wiring.readers(tensor)
        if len(readers) == 1 and readers[0].op_type in _FUSED:
            return str(readers[0].output[0])
        return ""

    def _quantised_tensors(self, graph: onnx.GraphProto) -> Iterator[tuple[str, NodeProto]]:
        """Each tensor of the float graph that the twin quantises, and its DequantizeLinear node."""
        known = {*self._wiring.maker, *(value.name for value in self.plain.graph.input)}
        for quantise in graph.node:
            if quantise.op_type != "QuantizeLinear":
                continue
            for dequantise in self._twin.readers(quantise.output[0]):
                if dequantise.input[1] != quantise.input[1]:
                    continue  # another scale than when quantised: a gate, read as a sixth of it
                # A pair behind an output takes over the output's name; any other tensor keeps its.
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
        """The nodes of a Q/DQ pair from `source` to `result`, with the levels of a tensor."""
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
    """Rounded weight and bias of a layer, by input number; empty for a float layer."""
    arrays: dict[int, NDArray[np.float32]] = {}
    for place, name in enumerate(node.input):
        maker = twin.maker.get(name)
        if maker is not None and maker.op_type == "DequantizeLinear":
            levels = twin.array(maker.input[0])
            if levels is not None:
                arrays[place] = _real(maker, levels, twin)
    return arrays


def _real(dequantise: NodeProto, levels: NDArray[Any], twin: Wiring) -> NDArray[np.float32]:
    """Constant levels as real numbers."""
    scale = twin.array(dequantise.input[1])
    zero = twin.array(dequantise.input[2]) if len(dequantise.input) > 2 else None
    assert scale is not None
    shape = [1] * levels.ndim
    if scale.size > 1:
        shape[attribute(dequantise, "axis", 1)] = scale.size
    centred = levels.astype(np.float64) - (0 if zero is None else zero.reshape(-1)[0])
    real: NDArray[np.float32] = (centred * scale.reshape(shape)).astype(np.float32)
    return real
