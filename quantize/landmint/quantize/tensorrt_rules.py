"""TensorRT's ten rules of explicit quantisation, checked on a finished graph.

From NvInfer.h, onnx-tensorrt's importers, Model Optimizer's placement and the notes on strong
typing (TensorRT 10 and 11). Breaking one costs a failed build, or a fusion and so the speed.

 1. symmetric: the zero point is absent or constant zeros; INT8, never UINT8
 2. scales are constant and positive
 3. one scale for an activation; one per channel for constant weights only
 4. a weight's channel axis is written: 0 for Conv, 1 for ConvTranspose
 5. the bias stays in float
 6. all inputs of a quantised layer are quantised, and no pair parts it from its activation
 7. a residual Add reads one convolution as it is and everything else quantised
 8. no other operator reads a pair, unless all of its inputs and outputs are quantised
 9. convolutions too small for INT8 kernels stay in float
10. what is not quantised is float16
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto

from landmint.quantize.graphs import Wiring, attribute
from landmint.runtime.errors import LandmintError

LAYERS = ("Conv", "ConvTranspose", "Gemm")
_FUSED = ("Relu", "BatchNormalization", "LeakyRelu", "Clip")
_PAIR = ("QuantizeLinear", "DequantizeLinear")
_LEAST_CHANNELS, _CHANNEL_STEP, _LEAST_GROUPED_KERNEL = 16, 8, 3


def check_rules(model: onnx.ModelProto) -> None:
    """Refuse a graph that breaks a rule.

    Raises:
        LandmintError: it does; the message names the first few places.
    """
    broken = broken_rules(model)
    if broken:
        raise LandmintError(
            f"the TensorRT graph breaks {len(broken)} rules of explicit quantisation",
            reason="; ".join(broken[:3]),
            remedy="report the network; leave tensorrt out of quantize.formats to go on without it",
        )


def broken_rules(model: onnx.ModelProto) -> list[str]:
    """Each breach as "rule N: what and where"; empty when there is none.

    Args:
        model: typed in float16, with its shapes inferred.
    """
    wiring = Wiring(model.graph)
    return [
        f"rule {number}: {breach}"
        for number, rule in _RULES.items()
        for breach in rule(model.graph, wiring)
    ]


def output_axis(node: NodeProto) -> int:
    """The axis of a layer's weight that counts its output channels."""
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1 if node.op_type == "ConvTranspose" else 0


def is_too_small(node: NodeProto, shape: Sequence[int]) -> bool:
    """Whether a convolution with a weight of this shape has no good INT8 kernel (rule 9)."""
    if node.op_type == "Gemm":
        return False
    group = attribute(node, "group", 1)
    assert isinstance(group, int)
    axis = output_axis(node)
    if group > 1:
        outputs = shape[axis] * (group if axis == 1 else 1)
        return outputs % _CHANNEL_STEP != 0 or min(shape[2:]) < _LEAST_GROUPED_KERNEL
    channels = shape[:2]
    few = min(channels) < _LEAST_CHANNELS
    return few and any(count % _CHANNEL_STEP for count in channels)


def reads_levels(layer: NodeProto, wiring: Wiring) -> bool:
    """Whether a layer's weight is quantised."""
    return _dequantise(wiring, layer.input[1]) is not None


def _pairs(graph: onnx.GraphProto) -> Iterator[NodeProto]:
    return (node for node in graph.node if node.op_type in _PAIR)


def _symmetric(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in _pairs(graph):
        if len(node.input) < 3:
            if node.op_type == "QuantizeLinear":
                yield f"{node.name} has no zero point, which makes it UINT8"
            continue
        zero = wiring.array(node.input[2])
        if zero is None:
            yield f"{node.name} computes its zero point"
        elif zero.dtype != np.int8:
            yield f"{node.name} is of type {zero.dtype}"
        elif zero.any():
            yield f"{node.name} has a zero point that is not zero"


def _positive(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in _pairs(graph):
        scale = wiring.array(node.input[1])
        if scale is None:
            yield f"{node.name} computes its scale"
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            yield f"{node.name} has a scale that is not positive"


def _per_tensor(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in _pairs(graph):
        scale = wiring.array(node.input[1])
        if scale is not None and scale.size > 1 and node.input[0] not in wiring.constants:
            yield f"{node.name} has {scale.size} scales for an activation"


def _written_axis(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in graph.node:
        dequantise = _dequantise(wiring, node.input[1]) if _is_layer(node) else None
        scale = None if dequantise is None else wiring.array(dequantise.input[1])
        if dequantise is None or scale is None or scale.ndim == 0:
            continue
        axis = attribute(dequantise, "axis", None)
        if axis != output_axis(node):
            yield f"{dequantise.name} has axis {axis}, {node.op_type} wants {output_axis(node)}"


def _float_bias(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in graph.node:
        if _is_layer(node) and len(node.input) > 2 and _dequantise(wiring, node.input[2]):
            yield f"{node.name} has a quantised bias"


def _whole_layers(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in graph.node:
        if not _is_layer(node):
            continue
        quantised = [_dequantise(wiring, name) is not None for name in node.input[:2]]
        if any(quantised) and not all(quantised):
            yield f"{node.name} has only one of activation and weight quantised"
        for quantise in wiring.readers(node.output[0]):
            for after in _readers_behind(quantise, wiring):
                if after.op_type in _FUSED:
                    yield f"{quantise.name} stands between {node.name} and {after.name}"


def _residuals(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in graph.node:
        if node.op_type != "Add" or any(name in wiring.constants for name in node.input):
            continue
        plain = [name for name in node.input if not _dequantise(wiring, name)]
        if not plain:
            yield f"{node.name} has no input left to fuse with"
        elif len(plain) > 1 and any(_is_from_levels(wiring, name) for name in plain):
            yield f"{node.name} reads {len(plain)} inputs that are not quantised"


def _no_strangers(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in graph.node:
        pairs = [found for name in node.input if (found := _dequantise(wiring, name))]
        if not pairs or node.op_type in (*LAYERS, "Add", *_PAIR):
            continue
        computed = [name for name in node.input if name not in wiring.constants]
        quantised_out = all(
            reader.op_type == "QuantizeLinear"
            for name in node.output
            for reader in wiring.readers(name)
        )
        if len(pairs) < len(computed) or not quantised_out:
            yield f"{node.name} ({node.op_type}) reads {pairs[0].name}"
        elif node.op_type == "Concat" and _scales_differ(pairs, wiring):
            yield f"{node.name} joins inputs of different scales"


def _large_enough(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    for node in graph.node:
        dequantise = _dequantise(wiring, node.input[1]) if _is_layer(node) else None
        weight = None if dequantise is None else wiring.array(dequantise.input[0])
        if weight is not None and is_too_small(node, weight.shape):
            yield f"{node.name} is quantised with a weight of {weight.shape}"


def _half_elsewhere(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[str]:
    borders = {value.name for value in (*graph.input, *graph.output)}
    for value in graph.value_info:
        if value.name not in borders and value.type.tensor_type.elem_type == TensorProto.FLOAT:
            yield f"tensor {value.name} is float32"
    for node in graph.node:
        exempt = 3 if node.op_type == "Resize" else 0  # its roi and scales are float32 by law
        for name in node.input[exempt:]:
            constant = wiring.constants.get(name)
            if constant is not None and constant.data_type == TensorProto.FLOAT:
                yield f"constant {name} is float32"


def _is_layer(node: NodeProto) -> bool:
    return node.op_type in LAYERS


def _dequantise(wiring: Wiring, tensor: str) -> NodeProto | None:
    """The DequantizeLinear that makes a tensor, if one does."""
    maker = wiring.maker.get(tensor)
    return maker if maker is not None and maker.op_type == "DequantizeLinear" else None


def _is_from_levels(wiring: Wiring, tensor: str) -> bool:
    """Whether a quantised layer makes a tensor."""
    maker = wiring.maker.get(tensor)
    return maker is not None and _is_layer(maker) and reads_levels(maker, wiring)


def _readers_behind(quantise: NodeProto, wiring: Wiring) -> list[NodeProto]:
    """Who reads the dequantised twin; nobody when the node quantises nothing."""
    if quantise.op_type != "QuantizeLinear":
        return []
    twins = wiring.readers(quantise.output[0])
    return [reader for twin in twins for reader in wiring.readers(twin.output[0])]


def _scales_differ(pairs: Sequence[NodeProto], wiring: Wiring) -> bool:
    scales = [wiring.array(pair.input[1]) for pair in pairs]
    return any(not np.array_equal(scales[0], scale) for scale in scales[1:])  # type: ignore[arg-type]


_Rule = Callable[[onnx.GraphProto, Wiring], Iterator[str]]
_RULES: dict[int, _Rule] = {
    1: _symmetric,
    2: _positive,
    3: _per_tensor,
    4: _written_axis,
    5: _float_bias,
    6: _whole_layers,
    7: _residuals,
    8: _no_strangers,
    9: _large_enough,
    10: _half_elsewhere,
}
