"""Which operators an engine runs in integers.

This was measured: each operator was put between two convolutions, quantised to INT8 by landmint,
and looked up in the list of what the engine ran (onnxruntime 1.31, openvino 2026.4, ai-edge-litert
2.3 with ai-edge-quantizer 0.10, x86-64). An operator that was not measured counts as one that runs
in float.
"""

from collections.abc import Callable, Iterator, Set

from onnx import NodeProto

from landmint.export.graphs import Wiring, attribute
from landmint.export.lint.rule import Breach, Subject

SHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
"""Operators that compute nothing. They count as integer: behind a pool, where they stand, tensors
are so small that a conversion costs next to nothing."""
INTEGER = frozenset(
    ("Conv", "Gemm", "MatMul", "Relu", "Clip", "Sigmoid", "LeakyRelu", "HardSwish", "Add", "Mul")
    + ("AveragePool", "GlobalAveragePool", "ReduceMean", *SHAPING)
)
"""Operators that have an integer form in ONNX Runtime and in OpenVINO, or are fused into a layer
that has one."""


def float_operators(
    subject: Subject,
    integer: Set[str],
    is_exception: Callable[[NodeProto, Wiring], bool] = lambda node, wiring: False,
) -> Iterator[Breach]:
    """Find operators of a float graph that an engine will not run in integers.

    Args:
        subject: the graph.
        integer: operators that have an integer form there.
        is_exception: tells whether a node's settings keep such an operator from it.
    """
    for node in subject.network:
        if node.op_type not in integer or is_exception(node, subject.wiring):
            yield node.name, f"{described(node)} runs in float"


def described(node: NodeProto) -> str:
    """Name of a node's operator for a finding, with its mode where that matters."""
    return f"{text_of(node, 'mode', '')} {node.op_type}".strip()


def text_of(node: NodeProto, name: str, default: str) -> str:
    """The value of a text attribute, or the default."""
    value = attribute(node, name, default)
    return value.decode() if isinstance(value, bytes) else str(value)
