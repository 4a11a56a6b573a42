"""Which tensors an INT8 graph quantises, and on which levels: read from the graph's Q/DQ pairs.

The graph is one that `forms.onnx` wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from landmint.export.graphs import Wiring

_TYPES = {TensorProto.UINT8: (0, 255), TensorProto.INT8: (-128, 127)}
_OF_OUTPUTS = "_QuantizeLinear_Input"  # onnxruntime's name for an output before it is quantised
_OF_WEIGHTS = "_quantized"


@dataclass(frozen=True)
class Levels:
    """The 256 values that a tensor may have: scale * (i - zero_point)."""

    scale: float
    """Distance between two neighbouring values."""
    zero_point: int
    """The integer i that stands for zero."""
    lowest: int
    """Least integer i."""
    highest: int
    """Greatest integer i."""


@dataclass(frozen=True)
class Placement:
    """What an INT8 graph quantises; all else runs in float."""

    activations: Mapping[str, Levels]
    """Levels of each quantised activation, by its name in the float graph; also of the input."""
    weights: Mapping[str, int]
    """Greatest level of each quantised weight, by its name: 127, or 64 for a reduced range."""


def placement_of(model: onnx.ModelProto) -> Placement:
    """Read from an INT8 graph what it quantises.

    Args:
        model: as `forms.onnx` writes it.
    """
    wiring = Wiring(model.graph)
    activations: dict[str, Levels] = {}
    weights: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            scale, zero = (wiring.array(name) for name in node.input[1:3])
            assert scale is not None and zero is not None
            lowest, highest = _TYPES[wiring.constants[node.input[2]].data_type]
            name = node.input[0].removesuffix(_OF_OUTPUTS)
            activations[name] = Levels(float(scale), int(zero), lowest, highest)
        elif node.op_type == "DequantizeLinear":
            levels = wiring.array(node.input[0])
            if levels is not None and levels.dtype == "int8" and levels.ndim > 1:
                weights[node.input[0].removesuffix(_OF_WEIGHTS)] = int(abs(levels).max())
    return Placement(activations, weights)
