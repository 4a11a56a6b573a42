"""Lint rules for OpenVINO: operators its CPU plugin does not compute in integers, old graphs."""

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType

from landmint.export.lint.operators import INTEGER, float_operators
from landmint.export.lint.rule import Breach, Rule, Subject

_INTEGER = INTEGER | {
    *("Tanh", "Elu", "PRelu", "Abs", "Neg", "Sub", "Div", "Sqrt", "BatchNormalization")
}
_OPSET_OF_AXIS = 13

_float_operators = partial(float_operators, integer=_INTEGER)


def old_opset(subject: Subject) -> Iterator[Breach]:
    """Find graphs of an opset whose Q/DQ operators have no axis yet."""
    for opset in subject.model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < _OPSET_OF_AXIS:
            yield "", f"opset {opset.version}"


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "openvino-float-operator": Rule(
            "openvino", "warning", "float", _float_operators,
            "OpenVINO's CPU plugin runs it in f32 between INT8 layers",
            "replace the operator in the network, if the advice after measuring says it costs",
        ),
        "openvino-opset": Rule(
            "openvino", "warning", "any", old_opset,
            "before opset 13 a weight has one scale; per channel is what saves depthwise layers",
            "export with opset 13 or later",
        ),
    }
)  # fmt: skip
"""Every rule for OpenVINO by its id."""
