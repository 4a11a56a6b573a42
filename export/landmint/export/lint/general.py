"""Lint rules for every target: broken graphs, and outputs that 8 bits would make too coarse."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from landmint.export.finding import EVERY
from landmint.export.graphs import DECODE, SHAPERS, WEIGHTED, Wiring, output_axis
from landmint.export.lint.rule import Breach, Rule, Subject

UNFIT = ("BatchNormalization", "ConstantOfShape", "Constant", "Dropout", "Identity", "If", "Loop")
_LEVELS = 255  # steps of an 8-bit scale


def non_finite(subject: Subject) -> Iterator[Breach]:
    """Find constants that hold NaN or infinity."""
    for tensor in subject.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            count = int((~np.isfinite(values)).sum())
            yield tensor.name, f"{count} of {values.size} numbers are NaN or infinite"


def dynamic_shapes(subject: Subject) -> Iterator[Breach]:
    """Find tensors whose shape is not known before they are computed."""
    named = [name for node in subject.graph.node if not node.domain for name in node.output]
    for name in (*(value.name for value in subject.graph.input), *filter(None, named)):
        shape = subject.shapes.get(name)
        if shape is None or None in shape:
            yield name, "has no static shape"


def unfolded(subject: Subject) -> Iterator[Breach]:
    """Find operators that the exporter should have folded into weights or shapes."""
    for node in subject.graph.node:
        if node.op_type in UNFIT:
            yield node.name, f"{node.op_type} is not folded away"


def dead_channels(subject: Subject) -> Iterator[Breach]:
    """Find layers in which all weights of an output channel are zero."""
    for node in subject.graph.node:
        weight = _weight(node, subject.wiring)
        if weight is not None and weight.ndim > 1:
            first = np.moveaxis(weight, output_axis(node), 0)
            channels = first.reshape(len(first), -1)
            dead = int((channels == 0).all(axis=1).sum())
            if dead:
                yield node.name, f"{dead} of {len(channels)} output channels have only zero weights"


def _weight(node: NodeProto, wiring: Wiring) -> NDArray[Any] | None:
    """The constant weight of a layer, or its levels where it is quantised."""
    if node.op_type not in WEIGHTED:
        return None
    twin = wiring.maker.get(node.input[1])
    return wiring.array(node.input[1] if twin is None else twin.input[0])


def output_floor(subject: Subject) -> Iterator[Breach]:
    """Find outputs with coordinates for which the steps of 8 bits are too coarse."""
    contract = subject.contract
    if contract is None or contract.head.kind != "coordinates":
        return
    side = contract.input_size
    for output in contract.outputs:
        step = side * _step_of(subject, output.name)
        if step > 0:
            yield (
                output.name,
                f"in 8 bits, a grid of {step:.2f} px on a crop of {side} px: off by up to "
                f"{step / 2:.2f} px, whatever was learnt",
            )


def _step_of(subject: Subject, output: str) -> float:
    """Step of an output in units of the crop's side; 0 where it stays in float."""
    if _is_decoded(subject, output):
        return 0.0
    if not subject.is_paired:
        return 1 / _LEVELS  # coordinates span [0, 1]
    maker = subject.wiring.maker.get(output)
    while maker is not None and maker.op_type in (*SHAPERS, "Cast"):
        maker = subject.wiring.maker.get(maker.input[0])
    if maker is None or maker.op_type != "DequantizeLinear":
        return 0.0
    scale = subject.wiring.array(maker.input[1])
    return 0.0 if scale is None else float(np.max(scale))


def _is_decoded(subject: Subject, output: str) -> bool:
    """Whether a decode in the graph makes this output."""
    maker = subject.wiring.maker.get(output)
    return maker is not None and maker.name.startswith(DECODE)


def mixed_outputs(subject: Subject) -> Iterator[Breach]:
    """Find outputs that join the results of several layers, so that these share one scale."""
    wiring = subject.wiring
    for value in subject.graph.output:
        if _is_decoded(subject, value.name):
            continue
        node = wiring.maker.get(value.name)
        while node is not None and node.op_type in SHAPERS:
            node = wiring.maker.get(node.input[0])
        if node is None or node.op_type != "Concat":
            continue
        parts = [name for name in node.input if name not in wiring.constants]
        if len(parts) > 1:
            yield value.name, f"joins {len(parts)} tensors of ranges of their own"


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "non-finite-constant": Rule(
            EVERY, "error", "any", non_finite,
            "whatever is computed from it is NaN too, and no scale spans it",
            "train again from the last sound checkpoint; look at the loss",
        ),
        "dynamic-shape": Rule(
            EVERY, "error", "any", dynamic_shapes,
            "converters, XNNPACK and TensorRT plan memory and kernels for one shape",
            "export the network for one input size and batch 1",
        ),
        "unfolded-operator": Rule(
            EVERY, "error", "any", unfolded,
            "it should have been folded into weights and shapes; INT8 needs it so",
            "export in eval mode and simplify, or build the network from layers that fold",
        ),
        "dead-channel": Rule(
            EVERY, "warning", "any", dead_channels,
            "it costs time and gives nothing; its own INT8 scale would be zero",
            "train with less weight decay, or prune the channels",
        ),
        "output-grid": Rule(
            EVERY, "warning", "any", output_floor,
            "one scale spans coordinates from 0 to 1 in 255 steps",
            "leave the last layer in float, as `landmint quantize` does, or take a PIP head",
        ),
        "mixed-output": Rule(
            EVERY, "warning", "any", mixed_outputs,
            "the widest of them sets the one scale, and the others lose their digits",
            "return them as outputs of their own",
        ),
    }
)  # fmt: skip
"""Every rule for all targets by its id."""
