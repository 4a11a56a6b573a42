"""Hard-swish of a TFLite graph made of plain operators.

INT8 HARD_SWISH stays outside XNNPACK: a MobileNetV3 falls into some twenty partitions and runs
slower than in float. Not a converter: operators, shapes and results stay what they were.
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
"""Where an operator that is linear in its data takes data, weight and bias."""
_PASS_ON = ("PAD", "MEAN", "RESHAPE")


@dataclass(frozen=True)
class PlainGates:
    """What `plain_hard_swish` did to tensors, by their names."""

    clipped: frozenset[str]
    """New: relu6(x + 3)."""
    gates: frozenset[str]
    """New: a sixth of that."""
    sixfold: frozenset[str]
    """Old, with six times the values."""


def plain_hard_swish(model: Flatbuffer) -> PlainGates:
    """Replace every HARD_SWISH by ADD with RELU6 and MUL, in place.

    x relu6(x + 3) / 6: where all that reads the product is linear in it, the sixth goes into the
    weights behind and costs nothing; else one more MUL does it.
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
    """Where a scaling of a tensor ends, when all that reads it is linear."""

    weights: list[int]
    """Whose scaling undoes it."""
    scaled: set[int]
    """Tensors that are scaled with it."""


def _linear_weights(model: Flatbuffer, tensor: int) -> _Linear | None:
    """The weights whose scaling undoes a scaling of a tensor; None when there are no such."""
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
    """Whether it multiplies one scaled tensor by one that is not."""
    if model.kind(reader) != "MUL" or reader.builtinOptions.fusedActivationFunction != _NONE:
        return False
    return len(set(reader.inputs) & set(scaled)) == 1 and len(set(reader.inputs)) == 2
