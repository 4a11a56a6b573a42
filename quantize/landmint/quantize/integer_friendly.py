"""Hard-swish, hard-sigmoid and global pools rewritten as operators with integer kernels.

In float the network computes the same. In INT8, ONNX Runtime would run hard-swish and hard-sigmoid
in float, between two conversions. Written as Add, Clip and Mul they stay integer. The Clip costs
nothing, since the levels of the quantised tensor end at 0 and 6. The division by six costs nothing
either: the levels of [0, 6] are read with a sixth of their scale. The +3 of a hard-sigmoid moves
into the bias of the layer before it, as TFLite's converter does: so both formats round once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from landmint.export.graphs import (
    Wiring,
    alive,
    attribute,
    is_global_pool,
    output_axis,
    replace_nodes,
)
from landmint.quantize.decide.ranges import Range

_CONSTANTS = {"landmint_zero": 0.0, "landmint_three": 3.0, "landmint_six": 6.0}
_SIXTH = "landmint_sixth"
_BIASED = ("Conv", "Gemm")


@dataclass(frozen=True)
class HardGate:
    """The tensors of one clip(x + 3, 0, 6) / 6: a hard-sigmoid, or the one inside a hard-swish."""

    source: str
    """Name of the tensor x; of x + 3, where the layer before adds the 3 in its bias."""
    clipped: str
    """Name of the tensor clip(x + 3, 0, 6)."""
    gate: str
    """Name of the tensor clip(x + 3, 0, 6) / 6."""
    swish: bool
    """True for a hard-swish, which multiplies x by the gate."""


def make_friendly(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[HardGate]]:
    """Rewrite hard-swish, hard-sigmoid and global ReduceMean in a copy of a float graph.

    Returns:
        the copy, and the gates that were rewritten.
    """
    friendly = onnx.ModelProto()
    friendly.CopyFrom(model)
    graph = friendly.graph
    wiring = Wiring(graph)
    gates: list[HardGate] = []
    nodes: list[NodeProto] = []
    for node in graph.node:
        if _is_hard_gate(node):
            gate = _gate_of(node)
            maker = None if gate.swish else _sole_layer(gate.source, wiring)
            if maker is not None:
                gate = replace(gate, source=_shifted(gate))
                _add_three(graph, wiring, maker, gate.source)
            gates.append(gate)
            nodes += _plain(node, gate)
        elif node.op_type == "ReduceMean" and is_global_pool(node, wiring):
            pool = [node.input[0]], list(node.output)
            nodes.append(helper.make_node("GlobalAveragePool", *pool, name=node.name))
        else:
            nodes.append(node)
    for name, value in {**_CONSTANTS, _SIXTH: 1 / 6}.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    replace_nodes(graph, nodes)
    return onnx.shape_inference.infer_shapes(friendly), gates


def _is_usual_hard_sigmoid(node: NodeProto) -> bool:
    slope, offset = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    return node.op_type == "HardSigmoid" and np.allclose([slope, offset], [1 / 6, 0.5])


def _gate_of(node: NodeProto) -> HardGate:
    output = node.output[0]
    swish = node.op_type == "HardSwish"
    return HardGate(
        node.input[0], f"{output}_clipped", f"{output}_gate" if swish else output, swish
    )


def _shifted(gate: HardGate) -> str:
    return f"{gate.clipped}_shifted"


def _sole_layer(tensor: str, wiring: Wiring) -> NodeProto | None:
    """The layer that makes a tensor, if its bias may change: one reader, and constant weights."""
    maker = wiring.maker.get(tensor)
    if maker is None or maker.op_type not in _BIASED:
        return None
    alone = len(wiring.readers(tensor)) == 1 and tensor not in wiring.outputs
    return maker if alone and wiring.constants.keys() >= {*maker.input[1:]} else None


def _add_three(graph: onnx.GraphProto, wiring: Wiring, layer: NodeProto, output: str) -> None:
    """Let a layer compute x + 3, by its bias, into a tensor of another name; in place."""
    source, weight, *given = layer.input
    channels = wiring.constants[weight].dims[output_axis(layer)]
    bias = wiring.array(given[0]) if given else np.zeros(channels, dtype=np.float32)
    assert bias is not None
    layer.input[:], layer.output[0] = [source, weight, f"{output}_bias"], output
    graph.initializer.append(numpy_helper.from_array(bias + np.float32(3), f"{output}_bias"))


def _plain(node: NodeProto, gate: HardGate) -> list[NodeProto]:
    shifted = _shifted(gate)
    zero, three, six = _CONSTANTS
    add = helper.make_node("Add", [gate.source, three], [shifted], shifted)
    nodes = [
        *([] if gate.source == shifted else [add]),
        helper.make_node("Clip", [shifted, zero, six], [gate.clipped], gate.clipped),
        helper.make_node("Mul", [gate.clipped, _SIXTH], [gate.gate], gate.gate),
    ]
    if gate.swish:
        product = [gate.source, gate.gate]
        nodes.append(helper.make_node("Mul", product, list(node.output), node.output[0]))
    return nodes


def bounded(ranges: Mapping[str, Range], graph: onnx.GraphProto) -> dict[str, Range]:
    """Ranges cut to what hard-swish and hard-sigmoid can tell apart.

    Both are zero below -3, and hard-sigmoid is one above 3: levels for other inputs would be
    wasted. The result of a hard-sigmoid has the range [0, 1].

    Args:
        ranges: by the name of the tensor.
        graph: float, as the exporter wrote it.
    """
    wiring = Wiring(graph)
    tight = dict(ranges)
    for node in graph.node:
        if not _is_hard_gate(node):
            continue
        if node.op_type == "HardSigmoid":
            tight[node.output[0]] = 0.0, 1.0
        if len(wiring.readers(node.input[0])) > 1:
            continue
        low, high = tight[node.input[0]]
        low = max(low, -3.0)
        high = high if node.op_type == "HardSwish" else min(high, 3.0)
        tight[node.input[0]] = low, high
    return tight


def gate_ranges(gates: Iterable[HardGate]) -> dict[str, Range]:
    """Ranges of the tensors that `make_friendly` adds; they are the same for all faces."""
    clipped = {gate.clipped: (0.0, 6.0) for gate in gates}
    return clipped | {gate.gate: (0.0, 1.0) for gate in gates}


def _is_hard_gate(node: NodeProto) -> bool:
    return node.op_type == "HardSwish" or _is_usual_hard_sigmoid(node)


def fold_sixths(model: onnx.ModelProto, gates: list[HardGate]) -> None:
    """Replace each multiplication by 1/6 by a DequantizeLinear with a sixth of the scale, in place.

    Args:
        model: quantised, with the multiplications left in float.
        gates: of `make_friendly`.
    """
    graph = model.graph
    wiring = Wiring(graph)
    sixths = [node for gate in gates if (node := wiring.maker[gate.gate]).op_type == "Mul"]
    for node in sixths:
        levels = wiring.maker[node.input[0]]
        if levels.op_type != "DequantizeLinear":
            continue  # this gate was left in float
        scale = wiring.array(levels.input[1])
        assert scale is not None
        name = f"{node.output[0]}_sixth_of_scale"
        graph.initializer.append(numpy_helper.from_array((scale / 6).astype(np.float32), name))
        node.op_type = "DequantizeLinear"
        node.input[:] = [levels.input[0], name, levels.input[2]]
        _skip_requantising(wiring, node.output[0])
    replace_nodes(graph, alive(graph))


def _skip_requantising(wiring: Wiring, tensor: str) -> None:
    """Let nodes that read a tensor behind a Q/DQ pair read the tensor itself."""
    for quantise in wiring.readers(tensor):
        if quantise.op_type != "QuantizeLinear":
            continue
        for dequantise in wiring.readers(quantise.output[0]):
            for reader in wiring.readers(dequantise.output[0]):
                same = dequantise.output[0]
                reader.input[:] = [tensor if name == same else name for name in reader.input]
