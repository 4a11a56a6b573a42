"""Which operators of an ONNX graph stay integer in which engine, and where XNNPACK ends.

Measured: each operator between two convolutions, made INT8 by landmint's own quantisers and looked
up in what the engine says that it ran (onnxruntime 1.31, openvino 2026.4, ai-edge-litert 2.3 with
ai-edge-quantizer 0.10, x86-64). An operator that was not measured counts as one that does not.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from onnx import NodeProto

from landmint.export.graphs import DECODE, Wiring, attribute, is_global_pool
from landmint.export.lint.rule import Breach, Subject
from landmint.runtime.formats import Format

Precision = Literal["float32", "int8"]

_SHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
_COMMON = frozenset(
    ("Conv", "Gemm", "MatMul", "Relu", "Clip", "Sigmoid", "LeakyRelu", "HardSwish", "Add", "Mul")
    + ("AveragePool", "GlobalAveragePool", "ReduceMean", *_SHAPING)
)
_INTEGER: Mapping[Format, frozenset[str]] = {
    "onnx": _COMMON
    | {"HardSigmoid", "Softmax", "ArgMax", "MaxPool", "Resize", "DepthToSpace"}
    | {"Transpose", "Concat", "Split", "Slice", "Gather"},
    "openvino": _COMMON
    | {"Tanh", "Elu", "PRelu", "Abs", "Neg", "Sub", "Div", "Sqrt", "BatchNormalization"},
}
"""Operators with an integer form, or fused into a layer that has one. Reshapes count as such: where
they stand, behind a pool, there is next to nothing to convert."""

_XNNPACK = frozenset(
    (
        *_SHAPING,
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

_NO_BUILTIN = frozenset(("Erf", "Gelu", "GridSample", "NonZero", "Loop", "If"))
"""TFLite has no operator of its own for them."""

# Limits of a clip that TFLite fuses into the layer before it.
_FUSED_CLIPS = ((0.0, 6.0), (-1.0, 1.0), (0.0, np.inf))


def float_operators(subject: Subject, target: Format) -> Iterator[Breach]:
    """Operators of a float graph that an engine will not run in integers."""
    for node in subject.network:
        known = node.op_type in _INTEGER[target]
        if not known or _is_exception(target, node, subject.wiring):
            yield node.name, f"{_described(node)} runs in float"


def _is_exception(target: Format, node: NodeProto, wiring: Wiring) -> bool:
    """Whether an operator with an integer form has none with these settings."""
    if node.op_type == "Resize":
        return _text(node, "mode", "nearest") != "nearest"
    return target == "onnx" and node.op_type == "ReduceMean" and not is_global_pool(node, wiring)


def outside_xnnpack(subject: Subject, precision: Precision) -> list[NodeProto]:
    """The nodes that XNNPACK leaves to TFLite's plain kernels."""
    return [node for node in subject.graph.node if not _is_inside(node, subject.wiring, precision)]


def _is_inside(node: NodeProto, wiring: Wiring, precision: Precision) -> bool:
    quantised = precision == "int8" and not node.name.startswith(DECODE)
    if node.op_type not in _XNNPACK or (quantised and node.op_type in _NOT_IN_INT8):
        return False
    if node.op_type == "MaxPool":
        return not any(attribute(node, "pads", ()))  # TFLite pads with minus infinity first
    if node.op_type == "Resize":
        return _text(node, "mode", "nearest") == "linear"
    if node.op_type == "Pad":
        return not _pads_values(node, wiring)
    if node.op_type == "Slice":
        steps = wiring.array(node.input[4]) if len(node.input) > 4 else None
        return steps is None or bool((steps == 1).all())
    if node.op_type == "Clip" and quantised:
        return _limits(node, wiring) in _FUSED_CLIPS
    return True


def in_float_in_xnnpack(subject: Subject) -> Iterator[Breach]:
    """Operators that stand between two conversions in INT8 TFLite."""
    for node in subject.network:
        plain = node.op_type == "DepthToSpace" and _text(node, "mode", "DCR") == "DCR"
        if node.op_type in _CONVERTED or plain:
            yield node.name, f"{_described(node)} runs in float between two conversions"


def without_builtin(subject: Subject) -> Iterator[Breach]:
    """Operators that cannot be written as TFLite at all."""
    for node in subject.graph.node:
        cubic = node.op_type == "Resize" and _text(node, "mode", "nearest") == "cubic"
        if node.op_type in _NO_BUILTIN or cubic:
            yield node.name, f"{_described(node)} is not among TFLite's operators"


def outside(subject: Subject, precision: Precision) -> Iterator[Breach]:
    """Operators outside XNNPACK, and how many partitions they make."""
    for node in outside_xnnpack(subject, precision):
        yield node.name, f"{_described(node)} stays outside XNNPACK in {precision}"
    count = partitions(subject, precision)
    if count > 1:
        yield "", f"{count} partitions in {precision} instead of one"


def partitions(subject: Subject, precision: Precision) -> int:
    """How many parts XNNPACK will run, as TFLite cuts a graph for a delegate.

    From the first node that can run, all nodes of its kind that can run next to it make a part;
    then those of the other kind; and so on until none is left.
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
    if _text(node, "mode", "constant") != "constant":
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


def _described(node: NodeProto) -> str:
    """The operator, with the mode that decides."""
    return f"{_text(node, 'mode', '')} {node.op_type}".strip()


def _text(node: NodeProto, name: str, default: str) -> str:
    value = attribute(node, name, default)
    return value.decode() if isinstance(value, bytes) else str(value)
