"""Lint rules for ONNX Runtime: operators that its CPU runs in float, graphs it does not load."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from onnx import NodeProto

from landmint.export.graphs import Wiring, is_global_pool
from landmint.export.lint.operators import INTEGER, float_operators, text_of
from landmint.export.lint.rule import Rule
from landmint.export.lint.tensorrt import per_tensor

_INTEGER = (
    INTEGER
    | {"HardSigmoid", "Softmax", "ArgMax", "MaxPool", "Resize", "DepthToSpace"}
    | {"Transpose", "Concat", "Split", "Slice", "Gather"}
)


def _is_exception(node: NodeProto, wiring: Wiring) -> bool:
    """Whether a node's settings keep its operator from running in integers."""
    if node.op_type == "Resize":
        return text_of(node, "mode", "nearest") != "nearest"
    return node.op_type == "ReduceMean" and not is_global_pool(node, wiring)


_float_operators = partial(float_operators, integer=_INTEGER, is_exception=_is_exception)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "onnx-float-operator": Rule(
            "onnx", "warning", "float", _float_operators,
            "ONNX Runtime has no integer kernel for it: two conversions stand around it",
            "replace the operator in the network, if the advice after measuring says it costs",
        ),
        "onnx-activation-per-channel": Rule(
            "onnx", "error", "paired", per_tensor,
            "ONNX Runtime's integer kernels take one scale for an activation; it does not load",
            "quantise activations per tensor: `landmint quantize` does",
        ),
    }
)  # fmt: skip
"""Every rule for ONNX Runtime by its id."""
