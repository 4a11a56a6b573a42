"""Lint rules for TensorRT: the ten rules of explicit quantisation, and layers without INT8 kernels.

The ten are from NvInfer.h, onnx-tensorrt's importers, Model Optimizer's placement and the notes on
strong typing (TensorRT 10 and 11). Breaking one costs a failed build, or a fusion and so the speed.
What NVIDIA's parser refuses of such graphs, and what it takes, is tried with TensorRT-RTX 1.7.

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

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from onnx import NodeProto, TensorProto

from landmint.export.graphs import Wiring, attribute, gates, output_axis
from landmint.export.lint.rule import PAIR, Breach, Rule, Subject

LAYERS = ("Conv", "ConvTranspose", "Gemm")
_FUSED = ("Relu", "BatchNormalization", "LeakyRelu", "Clip")
_LEAST_CHANNELS, _CHANNEL_STEP, _LEAST_GROUPED_KERNEL = 16, 8, 3
# Layers that TensorRT's support matrix lists without INT8.
_FLOAT_ONLY = (
    *("Softmax", "LogSoftmax", "TopK", "ArgMax", "ArgMin", "Einsum", "GridSample"),
    *("InstanceNormalization", "LayerNormalization", "GroupNormalization"),
)


def float_only(subject: Subject) -> Iterator[Breach]:
    """Find operators that have no INT8 kernel."""
    for node in subject.graph.node:
        if node.op_type in _FLOAT_ONLY:
            yield node.name, f"{node.op_type} has no INT8 form"


def small_layers(subject: Subject) -> Iterator[Breach]:
    """Find layers that rule 9 will keep in float16, in a float graph."""
    for node in subject.graph.node:
        weight = subject.wiring.constants.get(node.input[1]) if _is_layer(node) else None
        if weight is not None and is_too_small(node, weight.dims):
            yield node.name, "too small for an INT8 kernel, or grouped in odd numbers"


def float_gates(subject: Subject) -> Iterator[Breach]:
    """Find layers of squeeze-and-excitation: the Mul behind them does not fuse (rule 8)."""
    for name in sorted(gates(subject.graph)):
        yield name, "within a squeeze-and-excitation gate"


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


def _pairs(subject: Subject) -> Iterator[NodeProto]:
    return (node for node in subject.graph.node if node.op_type in PAIR)


def symmetric(subject: Subject) -> Iterator[Breach]:
    """Rule 1."""
    wiring = subject.wiring
    for node in _pairs(subject):
        if len(node.input) < 3:
            if node.op_type == "QuantizeLinear":
                yield node.name, "has no zero point, which makes it UINT8"
            continue
        zero = wiring.array(node.input[2])
        if zero is None:
            yield node.name, "computes its zero point"
        elif zero.dtype != np.int8:
            yield node.name, f"is of type {zero.dtype}"
        elif zero.any():
            yield node.name, "has a zero point that is not zero"


def positive(subject: Subject) -> Iterator[Breach]:
    """Rule 2."""
    wiring = subject.wiring
    for node in _pairs(subject):
        scale = wiring.array(node.input[1])
        if scale is None:
            yield node.name, "computes its scale"
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            yield node.name, "has a scale that is not positive"


def per_tensor(subject: Subject) -> Iterator[Breach]:
    """Rule 3."""
    wiring = subject.wiring
    for node in _pairs(subject):
        scale = wiring.array(node.input[1])
        if scale is not None and scale.size > 1 and node.input[0] not in wiring.constants:
            yield node.name, f"has {scale.size} scales for an activation"


def written_axis(subject: Subject) -> Iterator[Breach]:
    """Rule 4."""
    wiring = subject.wiring
    for node in subject.graph.node:
        dequantise = _dequantise(wiring, node.input[1]) if _is_layer(node) else None
        scale = None if dequantise is None else wiring.array(dequantise.input[1])
        if dequantise is None or scale is None or scale.ndim == 0:
            continue
        axis = attribute(dequantise, "axis", None)
        if axis != output_axis(node):
            yield dequantise.name, f"has axis {axis}, {node.op_type} wants {output_axis(node)}"


def float_bias(subject: Subject) -> Iterator[Breach]:
    """Rule 5."""
    wiring = subject.wiring
    for node in subject.graph.node:
        if _is_layer(node) and len(node.input) > 2 and _dequantise(wiring, node.input[2]):
            yield node.name, "has a quantised bias"


def whole_layers(subject: Subject) -> Iterator[Breach]:
    """Rule 6."""
    wiring = subject.wiring
    for node in subject.graph.node:
        if not _is_layer(node):
            continue
        quantised = [_dequantise(wiring, name) is not None for name in node.input[:2]]
        if any(quantised) and not all(quantised):
            yield node.name, "has only one of activation and weight quantised"
        for quantise in wiring.readers(node.output[0]):
            for after in _readers_behind(quantise, wiring):
                if after.op_type in _FUSED:
                    yield quantise.name, f"stands between {node.name} and {after.name}"


def residuals(subject: Subject) -> Iterator[Breach]:
    """Rule 7."""
    wiring = subject.wiring
    for node in subject.graph.node:
        if node.op_type != "Add" or any(name in wiring.constants for name in node.input):
            continue
        plain = [name for name in node.input if not _dequantise(wiring, name)]
        if not plain:
            yield node.name, "has no input left to fuse with"
        elif len(plain) > 1 and any(_is_from_levels(wiring, name) for name in plain):
            yield node.name, f"reads {len(plain)} inputs that are not quantised"


def no_strangers(subject: Subject) -> Iterator[Breach]:
    """Rule 8."""
    wiring = subject.wiring
    for node in subject.graph.node:
        pairs = [pair for name in node.input if (pair := _dequantise(wiring, name))]
        if not pairs or node.op_type in (*LAYERS, "Add", *PAIR):
            continue
        computed = [name for name in node.input if name not in wiring.constants]
        quantised_out = all(
            reader.op_type == "QuantizeLinear"
            for name in node.output
            for reader in wiring.readers(name)
        )
        if len(pairs) < len(computed) or not quantised_out:
            yield node.name, f"({node.op_type}) reads {pairs[0].name}"
        elif node.op_type == "Concat" and _scales_differ(pairs, wiring):
            yield node.name, "joins inputs of different scales"


def large_enough(subject: Subject) -> Iterator[Breach]:
    """Rule 9."""
    wiring = subject.wiring
    for node in subject.graph.node:
        dequantise = _dequantise(wiring, node.input[1]) if _is_layer(node) else None
        weight = None if dequantise is None else wiring.array(dequantise.input[0])
        if weight is not None and is_too_small(node, weight.shape):
            yield node.name, f"is quantised with a weight of {weight.shape}"


def half_elsewhere(subject: Subject) -> Iterator[Breach]:
    """Rule 10."""
    wiring = subject.wiring
    borders = {value.name for value in (*subject.graph.input, *subject.graph.output)}
    for value in subject.graph.value_info:
        if value.name not in borders and value.type.tensor_type.elem_type == TensorProto.FLOAT:
            yield value.name, "the tensor is float32"
    for node in subject.graph.node:
        exempt = 3 if node.op_type == "Resize" else 0  # its roi and scales are float32 by law
        for name in node.input[exempt:]:
            constant = wiring.constants.get(name)
            if constant is not None and constant.data_type == TensorProto.FLOAT:
                yield name, "the constant is float32"


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
    """The nodes that read a QuantizeLinear's tensor dequantised; none for any other node."""
    if quantise.op_type != "QuantizeLinear":
        return []
    twins = wiring.readers(quantise.output[0])
    return [reader for twin in twins for reader in wiring.readers(twin.output[0])]


def _scales_differ(pairs: Sequence[NodeProto], wiring: Wiring) -> bool:
    scales = [wiring.array(pair.input[1]) for pair in pairs]
    return any(not np.array_equal(scales[0], scale) for scale in scales[1:])  # type: ignore[arg-type]


_PLACEMENT = "place the pairs by the rules: `landmint quantize` does"
_TAKEN = "NVIDIA's parser takes it, so that nothing but the speed would tell"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "tensorrt-no-int8": Rule(
            "tensorrt", "warning", "float", float_only,
            "it runs in float16, behind a conversion",
            "decode outside of the graph, or replace the operator",
        ),
        "tensorrt-small-layer": Rule(
            "tensorrt", "warning", "float", small_layers,
            "it stays in float16: rule 9 of explicit quantisation",
            "choose 16 channels or more, multiples of 8, and kernels of 3 in grouped layers",
        ),
        "tensorrt-gate": Rule(
            "tensorrt", "warning", "float", float_gates,
            "the product behind the gate does not fuse, so the gate stays in float16",
            "train the student without squeeze-and-excitation",
        ),
        "tensorrt-1-symmetric": Rule(
            "tensorrt", "error", "paired", symmetric,
            "TensorRT knows INT8 with a zero point of zero, and nothing else; NVIDIA's parser takes"
            " UINT8 with zeros, or no zero point, for INT8, which is not what ONNX means",
            _PLACEMENT,
        ),
        "tensorrt-2-scale": Rule(
            "tensorrt", "error", "paired", positive,
            "scales must be constant and positive; a dead channel's is zero; NVIDIA's parser takes "
            "a computed scale all the same", _PLACEMENT,
        ),
        "tensorrt-3-per-tensor": Rule(
            "tensorrt", "error", "paired", per_tensor,
            "only a constant weight may have a scale for each channel; NVIDIA's parser takes an "
            "activation's if its zero points are as many", _PLACEMENT,
        ),
        "tensorrt-4-axis": Rule(
            "tensorrt", "error", "paired", written_axis,
            "the channel axis must be written: 0 for Conv, 1 for ConvTranspose; NVIDIA's parser "
            "takes the other axis where it is as long, and scales the wrong channels", _PLACEMENT,
        ),
        "tensorrt-5-bias": Rule(
            "tensorrt", "error", "paired", float_bias,
            "a bias is never quantised; NVIDIA's parser takes one of INT8, which is too coarse, and"
            " refuses one of INT32", _PLACEMENT,
        ),
        "tensorrt-6-layer": Rule(
            "tensorrt", "warning", "paired", whole_layers,
            "a layer is INT8 when all of its inputs are, and nothing parts it from its activation; "
            + _TAKEN, _PLACEMENT,
        ),
        "tensorrt-7-residual": Rule(
            "tensorrt", "warning", "paired", residuals,
            "an Add fuses into one convolution; its other inputs must be quantised; " + _TAKEN,
            _PLACEMENT,
        ),
        "tensorrt-8-others": Rule(
            "tensorrt", "warning", "paired", no_strangers,
            "other operators are INT8 only with INT8 in and out; a lone pair breaks a fusion; "
            + _TAKEN, _PLACEMENT,
        ),
        "tensorrt-9-small": Rule(
            "tensorrt", "warning", "paired", large_enough,
            "there is no good INT8 kernel for it; " + _TAKEN, _PLACEMENT,
        ),
        "tensorrt-10-half": Rule(
            "tensorrt", "error", "paired", half_elsewhere,
            "TensorRT 11 takes precision from the graph: what is not INT8 must be float16; NVIDIA's"
            " parser takes float32 as well, where the inputs of a node agree",
            "type the graph in float16: `landmint quantize` does",
        ),
    }
)  # fmt: skip
"""Every rule for TensorRT by its id; the numbers are those above."""
