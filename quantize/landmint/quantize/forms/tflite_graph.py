"""Replaces hard-swish in a TFLite graph by ADD and MUL, which XNNPACK runs in INT8.

XNNPACK does not run INT8 HARD_SWISH: a MobileNetV3 would fall into some twenty partitions and be
slower than in float. All other operators, and the results in float, stay as they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from landmint.export.flatbuffer import Flatbuffer

_NONE, _RELU6 = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU6
LINEAR = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Operators that are linear in their data; the input numbers of data, weight and bias."""
_PASS_ON = ("PAD", "MEAN", "RESHAPE")


@dataclass(frozen=True)
class PlainGates:
    """Names of the tensors that `plain_hard_swish` added or changed."""

    clipped: frozenset[str]
    """Added: relu6(x + 3)."""
    gates: frozenset[str]
    """Added: relu6(x + 3) / 6."""
    sixfold: frozenset[str]
    """Changed: these now hold six times their old values."""


def plain_hard_swish(model: Flatbuffer) -> PlainGates:
    """Replace every HARD_SWISH, x * relu6(x + 3) / 6, by ADD with RELU6 and MUL, in place.

    Where only linear operators read the result, their weights are divided by six instead, which
    costs nothing. Elsewhere one more MUL does it.
    """
    three = sixth = -1
    clips, gates, sixfold = set(), set(), set[str]()
    for swish in [o for o in model.operators if model.kind(o) == "HARD_SWISH"]:
        if three < 0:
            three, sixth = model.add_number("three", 3.0), model.add_number("sixth", 1 / 6)
        source, product = int(swish.inputs[0]), int(swish.outputs[0])
        clipped = model.add_tensor(f"{model.name(product)}_clipped", like=source)
        plain = [model.operator("ADD", [source, three], clipped, fusedActivationFunction=_RELU6)]
        linear = _linear_weights(model, product)
        gate = clipped
        if linear is None:
            gate = model.add_tensor(f"{model.name(product)}_gate", like=source)
            plain.append(model.operator("MUL", [clipped, sixth], gate))
            gates.add(model.name(gate))
        else:
            for weight in linear.weights:
                values = model.constant(weight)
                assert values is not None
                model.set_constant(weight, values / np.float32(6))
            sixfold |= {model.name(tensor) for tensor in linear.scaled}
        plain.append(model.operator("MUL", [source, gate], product))
        place = next(i for i, o in enumerate(model.operators) if o is swish)
        model.operators[place : place + 1] = plain
        clips.add(model.name(clipped))
    return PlainGates(frozenset(clips), frozenset(gates), frozenset(sixfold))


@dataclass(frozen=True)
class _Linear:
    """The linear operators behind a tensor, which can undo a scaling of it."""

    weights: list[int]
    """Their weights: to divide these undoes a multiplication of the tensor."""
    scaled: set[int]
    """The tensor, and those between it and the operators, which are scaled with it."""


def _linear_weights(model: Flatbuffer, tensor: int) -> _Linear | None:
    """The linear operators that read a tensor; None where another operator reads it as well."""
    weights: list[int] = []
    scaled, waiting = {tensor}, [tensor]
    while waiting:
        current = waiting.pop()
        if model.is_output(current):
            return None
        for reader in model.readers(current):
            kind, inputs = model.kind(reader), list(reader.inputs)
            if kind in LINEAR and inputs.index(current) == LINEAR[kind][0]:
                weights.append(int(inputs[LINEAR[kind][1]]))
            elif kind in _PASS_ON or _is_plain_product(model, reader, scaled):
                scaled.add(int(reader.outputs[0]))
                waiting.append(int(reader.outputs[0]))
            else:
                return None
    once = all(len(model.readers(weight)) == 1 for weight in weights)
    return _Linear(weights, scaled) if once else None


def _is_plain_product(model: Flatbuffer, reader: Any, scaled: Iterable[int]) -> bool:
    """Whether an operator multiplies one scaled tensor by one that is not scaled."""
    if model.kind(reader) != "MUL" or reader.builtinOptions.fusedActivationFunction != _NONE:
        return False
    return len(set(reader.inputs) & set(scaled)) == 1 and len(set(reader.inputs)) == 2
