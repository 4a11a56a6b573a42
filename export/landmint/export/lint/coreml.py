"""Lint rules for Core ML: operators that are not converted, and a fault of macOS.

The operators are those that onnx2coreml 1.1 has no form for, as it says itself. Core ML was not at
hand: the fault is one that onnx2coreml's own tests state.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from onnx import NodeProto

from landmint.export.graphs import attribute
from landmint.export.lint.rule import Breach, Rule, Subject

ABSENT = frozenset(
    {"Acosh", "Asinh", "Celu", "CumSum", "DeformConv", "Det", "Einsum", "GRU", "GlobalLpPool"}
    | {"Hardmax", "If", "LRN", "Loop", "LpNormalization", "LpPool", "MaxUnpool", "Mean"}
    | {"MeanVarianceNormalization", "Mish", "NonMaxSuppression", "OneHot", "RMSNormalization"}
    | {"RNN", "Range", "RoiAlign", "Scan", "Selu", "Shrink", "Softsign", "Sum", "Swish"}
    | {"ThresholdedRelu", "Trilu"}
)
"""Operators without a form in onnx2coreml, among those that networks for images have."""
_ACTIVATIONS = frozenset(
    ("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "HardSwish", "Sigmoid", "Tanh", "Gelu")
)


def no_form(subject: Subject) -> Iterator[Breach]:
    """Find operators that are not converted."""
    for node in subject.network:
        if node.op_type in ABSENT:
            yield node.name, f"onnx2coreml has no form for {node.op_type}"


def grouped_activation(subject: Subject) -> Iterator[Breach]:
    """Find grouped convolutions with an activation behind; depthwise ones are none."""
    for node in subject.network:
        readers = [reader for output in node.output for reader in subject.wiring.readers(output)]
        if _is_grouped(subject, node) and any(r.op_type in _ACTIVATIONS for r in readers):
            yield node.name, "a convolution of groups with an activation behind it"


def _is_grouped(subject: Subject, node: NodeProto) -> bool:
    if node.op_type != "Conv":
        return False
    weight = subject.shapes.get(node.input[1], ())
    return attribute(node, "group", 1) > 1 and len(weight) > 1 and weight[1] != 1


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "coreml-no-form": Rule(
            "coreml", "error", "float", no_form,
            "the network would not be converted",
            "build the network from other operators, or leave coreml out of the formats",
        ),
        "coreml-grouped-activation": Rule(
            "coreml", "warning", "float", grouped_activation,
            "macOS 26 was seen to compute the two wrongly, says onnx2coreml; it was not tried here",
            "compare the package with the float network on the device, or build the network from "
            "plain and depthwise convolutions",
        ),
    }
)  # fmt: skip
"""Every rule for Core ML by its id."""
