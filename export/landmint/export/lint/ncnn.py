"""Lint rules for ncnn: operators that it lacks, and settings that pnnx converts to something else.

Each operator was put behind a convolution, converted by pnnx 20261020, run by ncnn 1.0.20261020 and
compared with ONNX Runtime. What was not tried is not spoken of: the float32 file is compared with
the network when it is made.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from onnx import NodeProto

from landmint.export.graphs import Wiring, attribute, is_global_pool
from landmint.export.lint.operators import text_of
from landmint.export.lint.rule import Breach, Rule, Subject

_ABSENT = frozenset(
    {"Softsign", "ThresholdedRelu", "Hardmax", "LpNormalization", "CumSum", "TopK"}
    | {"Cast", "Greater", "Where", "ReduceMax"}
)
_NEAREST, _SMOOTH = {"asymmetric"}, {"half_pixel", "pytorch_half_pixel", "align_corners"}


def no_layer(subject: Subject) -> Iterator[Breach]:
    """Find operators that ncnn has no layer for."""
    for node in subject.network:
        if node.op_type in _ABSENT or _is_absent(node, subject.wiring):
            yield node.name, f"ncnn has no layer for {_shown(node)}"


def _is_absent(node: NodeProto, wiring: Wiring) -> bool:
    if node.op_type == "Pad":
        return text_of(node, "mode", "constant") == "constant"
    steps = wiring.array(node.input[4]) if node.op_type == "Slice" and node.input[4:] else None
    return steps is not None and bool((steps != 1).any())


def _shown(node: NodeProto) -> str:
    return {"Pad": "Pad with a constant", "Slice": "Slice with steps"}.get(
        node.op_type, node.op_type
    )


def converted_wrongly(subject: Subject) -> Iterator[Breach]:
    """Find operators that pnnx converts to a layer that computes something else."""
    for node in subject.network:
        fact = _wrong(node, subject.wiring)
        if fact:
            yield node.name, fact


def _wrong(node: NodeProto, wiring: Wiring) -> str:
    """What is computed otherwise; "" for all that is right."""
    if node.op_type == "SpaceToDepth":
        return "SpaceToDepth puts its channels in another order"
    if node.op_type == "Resize":
        mode = text_of(node, "mode", "nearest")
        places = text_of(node, "coordinate_transformation_mode", "half_pixel")
        right = places in (_NEAREST if mode == "nearest" else _SMOOTH)
        return "" if right else f"{mode} Resize takes {places} for other coordinates"
    if node.op_type in ("ReduceMean", "ReduceSum", "ReduceL2"):
        right = is_global_pool(node, wiring) or attribute(node, "keepdims", 1) == 0
        return "" if right else f"{node.op_type} does not reduce the axes that it should"
    if node.op_type == "Gather":
        slices = wiring.array(node.input[1])
        single = slices is not None and slices.size == 1
        return "" if single else "Gather takes one slice of several"
    return ""


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "ncnn-no-layer": Rule(
            "ncnn", "error", "float", no_layer,
            "the file would not load",
            "build the network from other operators, or leave ncnn out of the formats",
        ),
        "ncnn-converted-wrongly": Rule(
            "ncnn", "error", "float", converted_wrongly,
            "landmarks would be wrong",
            "build the network from other operators, or leave ncnn out of the formats",
        ),
    }
)  # fmt: skip
"""Every rule for ncnn by its id."""
