"""Lint rules for TFLite: operators it lacks, operators that XNNPACK does not run, slow shapes.

How the operators were measured is said in `operators.py`.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np
from onnx import NodeProto

from landmint.export.graphs import DECODE, Wiring, attribute, output_axis
from landmint.export.lint.operators import SHAPING, described, text_of
from landmint.export.lint.rule import Breach, Rule, Subject

Precision = Literal["float32", "int8"]

_OUTPUTS, _INPUTS = 8, 4  # what the INT8 kernels of XNNPACK compute and read at a time
_DECOMPOSE = "train the student with ReLU or ReLU6, or leave the layers around it in float"

_XNNPACK = frozenset(
    (
        *SHAPING,
        "Transpose",
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "Pad",
        "Resize",
    )
    + ("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh")
    + ("Softplus", "Softmax", "Exp", "Log", "Abs", "Neg", "Sqrt", "Add", "Sub", "Mul", "Div", "Max")
    + ("Min", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "ReduceMax")
    + ("Concat", "Split", "Slice", "DepthToSpace", "SpaceToDepth", "InstanceNormalization")
)
"""Operators that become TFLite operators which XNNPACK takes in float, and nothing else."""

_NOT_IN_INT8 = frozenset(
    ("Softplus", "Softmax", "Sqrt", "Max", "AveragePool", "InstanceNormalization")
)
"""Those of them that it leaves out in INT8."""

_CONVERTED = frozenset(
    ("LeakyRelu", "PRelu", "Elu", "Exp", "Log", "Abs", "Neg", "Min", "ReduceMax")
)
"""XNNPACK takes their float form only: in INT8 they stand between two conversions."""

_NO_BUILTIN = frozenset(("Erf", "Det", "NonZero", "Loop", "If"))
"""TFLite has no operator of its own for them, nor does onnx2tf write them with others."""

# Limits of a clip that TFLite fuses into the layer before it.
_FUSED_CLIPS = ((0.0, 6.0), (-1.0, 1.0), (0.0, np.inf))


def outside_xnnpack(subject: Subject, precision: Precision) -> list[NodeProto]:
    """The nodes that XNNPACK does not run, so that TFLite's plain kernels do."""
    return [node for node in subject.graph.node if not _is_inside(node, subject.wiring, precision)]


def _is_inside(node: NodeProto, wiring: Wiring, precision: Precision) -> bool:
    quantised = precision == "int8" and not node.name.startswith(DECODE)
    if node.op_type not in _XNNPACK or (quantised and node.op_type in _NOT_IN_INT8):
        return False
    if node.op_type == "MaxPool":
        return not any(attribute(node, "pads", ()))  # TFLite pads with minus infinity first
    if node.op_type == "Resize":
        return text_of(node, "mode", "nearest") == "linear"
    if node.op_type == "Pad":
        return not _pads_values(node, wiring)
    if node.op_type == "Slice":
        steps = wiring.array(node.input[4]) if len(node.input) > 4 else None
        return steps is None or bool((steps == 1).all())
    if node.op_type == "Clip" and quantised:
        return _limits(node, wiring) in _FUSED_CLIPS
    return True


def in_float_in_xnnpack(subject: Subject) -> Iterator[Breach]:
    """Find operators that INT8 TFLite runs in float, between two conversions."""
    for node in subject.network:
        plain = node.op_type == "DepthToSpace" and text_of(node, "mode", "DCR") == "DCR"
        if node.op_type in _CONVERTED or plain:
            yield node.name, f"{described(node)} runs in float between two conversions"


def without_builtin(subject: Subject) -> Iterator[Breach]:
    """Find operators that TFLite does not have."""
    for node in subject.graph.node:
        cubic = node.op_type == "Resize" and text_of(node, "mode", "nearest") == "cubic"
        if node.op_type in _NO_BUILTIN or cubic:
            yield node.name, f"{described(node)} is not among TFLite's operators"


def outside(subject: Subject, precision: Precision) -> Iterator[Breach]:
    """Find operators outside XNNPACK, and say how many partitions they make."""
    for node in outside_xnnpack(subject, precision):
        yield node.name, f"{described(node)} stays outside XNNPACK in {precision}"
    count = partitions(subject, precision)
    if count > 1:
        yield "", f"{count} partitions in {precision} instead of one"


def partitions(subject: Subject, precision: Precision) -> int:
    """The number of partitions that XNNPACK will run, cut as TFLite does it for a delegate.

    Each partition takes, in graph order, all nodes whose inputs are ready and that XNNPACK runs, or
    all such nodes that it does not run; the first node decides which. Then the next one begins.
    """
    left_out = {id(node) for node in outside_xnnpack(subject, precision)}
    ready = {value.name for value in subject.graph.input} | set(subject.wiring.constants) | {""}
    waiting = list(subject.graph.node)
    count = 0
    while waiting:
        kind: bool | None = None
        rest = []
        for node in waiting:
            inside = id(node) not in left_out
            if ready.issuperset(node.input) and kind in (None, inside):
                kind = inside
                ready.update(node.output)
            else:
                rest.append(node)
        if len(rest) == len(waiting):
            break  # not in order of execution: no engine would run it
        waiting = rest
        count += bool(kind)
    return count


def _pads_values(node: NodeProto, wiring: Wiring) -> bool:
    """Whether a Pad adds anything but zeros."""
    if text_of(node, "mode", "constant") != "constant":
        return True
    value = wiring.array(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    return value is not None and bool(np.any(value != 0))


def _limits(node: NodeProto, wiring: Wiring) -> tuple[float, float]:
    ends = [-np.inf, np.inf]
    for place in (1, 2):
        if len(node.input) > place and node.input[place]:
            value = wiring.array(node.input[place])
            ends[place - 1] = np.nan if value is None else float(value)
    return ends[0], ends[1]


def odd_channels(subject: Subject) -> Iterator[Breach]:
    """Find layers whose channels do not fill INT8 kernels; the image's three do not count."""
    images = {value.name for value in subject.graph.input}
    for node in subject.graph.node:
        weight = subject.wiring.constants.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type not in ("Conv", "ConvTranspose") or weight is None:
            continue
        axis, group = output_axis(node), int(attribute(node, "group", 1))
        outputs = weight.dims[axis] * (group if axis == 1 else 1)
        inputs = weight.dims[1 - axis] * (group if axis == 0 else 1)
        if outputs % _OUTPUTS or (inputs % _INPUTS and node.input[0] not in images):
            yield node.name, f"{inputs} channels in, {outputs} out"


def odd_padding(subject: Subject) -> Iterator[Breach]:
    """Find Pads of other values than zero, and Pads that no convolution can absorb."""
    for node in subject.graph.node:
        if node.op_type != "Pad":
            continue
        mode = attribute(node, "mode", b"constant").decode()
        value = subject.wiring.array(node.input[2]) if len(node.input) > 2 else None
        if mode != "constant":
            yield node.name, f"pads by {mode}"
        elif value is not None and np.any(value != 0):
            yield node.name, f"pads with {float(value.flat[0]):g}"
        elif any(reader.op_type != "Conv" for reader in subject.wiring.readers(node.output[0])):
            yield node.name, "pads for something that is no convolution"


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "tflite-no-operator": Rule(
            "tflite", "error", "float", without_builtin,
            "the converter fails, or wants operators that no board has",
            "build the network from other operators: ReLU or hard-swish, linear upsampling",
        ),
        "tflite-outside-float": Rule(
            "tflite", "warning", "float", partial(outside, precision="float32"),
            "plain kernels are slow, and each border between them and XNNPACK costs a copy",
            "replace the operators in the network",
        ),
        "tflite-outside-int8": Rule(
            "tflite", "warning", "float", partial(outside, precision="int8"),
            "plain kernels are slow, and each border between them and XNNPACK costs a copy",
            "replace the operators in the network",
        ),
        "tflite-converted": Rule(
            "tflite", "warning", "float", in_float_in_xnnpack,
            "there is no INT8 form of it, so its tensor is widened and narrowed again",
            _DECOMPOSE,
        ),
        "tflite-padding": Rule(
            "tflite", "warning", "float", odd_padding,
            "only zeros fold into the convolution behind; other values widen its INT8 range too",
            "pad with zeros, within the convolution",
        ),
        "tflite-channels": Rule(
            "tflite", "warning", "float", odd_channels,
            "INT8 kernels compute 8 output channels and read 4 input channels at a time; the rest "
            "is padding",
            "choose multiples of 8; a head's channels follow from its landmarks and stay",
        ),
    }
)  # fmt: skip
"""Every rule for TFLite by its id."""
