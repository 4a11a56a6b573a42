"""Questions about an ONNX graph: which node makes a tensor, which read it, which layers are last.

Linter and quantisers use them. Tensors and nodes are given by their names.
"""

import difflib
from collections.abc import Iterable
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from landmint.runtime.errors import LandmintError

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
DECODE = "decode/"
"""Prefix of the names of all nodes of a decode in the graph; it stays in float in every form."""
SHAPERS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
_GATE_PARTS = ("Conv", "Gemm", "Relu", "HardSwish", "HardSigmoid", "Sigmoid", "Clip")
_POOLS = ("GlobalAveragePool", "ReduceMean")
_NEAR = 3
_ALL_OF_THE_MAP = [2, 3]


class Wiring:
    """A graph's nodes by the tensors that they make and read."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        """Index a graph; later changes to it are not seen."""
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.maker = {name: node for node in graph.node for name in node.output if name}
        self.outputs = [value.name for value in graph.output]
        self._readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def readers(self, tensor: str) -> list[NodeProto]:
        """The nodes that read a tensor."""
        return self._readers.get(tensor, [])

    def array(self, tensor: str) -> NDArray[Any] | None:
        """A constant's values, or None when the tensor is computed."""
        constant = self.constants.get(tensor)
        return None if constant is None else numpy_helper.to_array(constant)


def last_layers(graph: onnx.GraphProto, outputs: Iterable[str]) -> frozenset[str]:
    """Names of the weighted nodes that make these outputs, directly or through reshapes."""
    wiring = Wiring(graph)
    return frozenset(
        node.name for output in outputs if (node := _weighted_maker(wiring, output)) is not None
    )


def _weighted_maker(wiring: Wiring, tensor: str) -> NodeProto | None:
    node = wiring.maker.get(tensor)
    while node is not None and node.op_type in SHAPERS:
        node = wiring.maker.get(node.input[0])
    return node if node is not None and node.op_type in WEIGHTED else None


def gates(graph: onnx.GraphProto) -> frozenset[str]:
    """Names of the weighted nodes of squeeze-and-excitation: between global pool and sigmoid."""
    wiring = Wiring(graph)
    return frozenset(
        node.name
        for sigmoid in graph.node
        if sigmoid.op_type in ("Sigmoid", "HardSigmoid")
        for node in _back_to_pool(wiring, sigmoid)
    )


def _back_to_pool(wiring: Wiring, sigmoid: NodeProto) -> list[NodeProto]:
    """The weighted nodes between a sigmoid and the pool before it; empty when there is no pool."""
    passed = []
    node: NodeProto | None = sigmoid
    while node is not None and node.op_type in _GATE_PARTS:
        passed.append(node)
        node = wiring.maker.get(node.input[0])
    if node is None or node.op_type not in _POOLS:
        return []
    return [node for node in passed if node.op_type in WEIGHTED]


def is_global_pool(node: NodeProto, wiring: Wiring) -> bool:
    """Whether a ReduceMean averages over rows and columns, and keeps both as axes of length 1."""
    axes = wiring.array(node.input[1]) if len(node.input) > 1 else attribute(node, "axes", ())
    if axes is None or attribute(node, "keepdims", 1) != 1:
        return False
    return sorted(axis % 4 for axis in axes) == _ALL_OF_THE_MAP


def output_axis(node: NodeProto) -> int:
    """The axis of a layer's weight that counts its output channels."""
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1 if node.op_type == "ConvTranspose" else 0


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """An attribute's value, or the default when it is not set."""
    for candidate in node.attribute:
        if candidate.name == name:
            return onnx.helper.get_attribute_value(candidate)
    return default


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Give the graph these nodes, in this order, and drop constants that nobody reads."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def alive(graph: onnx.GraphProto) -> list[NodeProto]:
    """The nodes that an output depends on, in order."""
    wanted = {value.name for value in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def chosen_layers(graph: onnx.GraphProto, names: Iterable[str]) -> frozenset[str]:
    """The names as a set; each must be that of a weighted node.

    Raises:
        LandmintError: one is not; the message offers the closest.
    """
    layers = [node.name for node in graph.node if node.op_type in WEIGHTED]
    chosen = frozenset(names)
    for name in sorted(chosen.difference(layers)):
        near = difflib.get_close_matches(name, layers, n=_NEAR, cutoff=0)
        raise LandmintError(
            f"quantize.float_layers: the graph has no weighted layer '{name}'",
            reason=f"its {len(layers)} weighted layers are its nodes of type {', '.join(WEIGHTED)}",
            remedy="take the names from onnx/float32.onnx",
            choices=near,
        )
    return chosen


def ending_at(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """A copy of a graph with these tensors for outputs, in this order, cut to what they need."""
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    del cut.graph.output[:]
    cut.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    replace_nodes(cut.graph, alive(cut.graph))
    return cut
