"""Operators that stay integer in an engine, in all of them or in one; and how a finding names them.

Measured: each operator between two convolutions, made INT8 by landmint's own quantisers and looked
up in what the engine says that it ran (onnxruntime 1.31, openvino 2026.4, ai-edge-litert 2.3 with
ai-edge-quantizer 0.10, x86-64). An operator that was not measured counts as one that does not.
"""

from collections.abc import Callable, Iterator, Set

from onnx import NodeProto

from landmint.export.graphs import Wiring, attribute
from landmint.export.lint.rule import Breach, Subject

SHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
"""Operators that compute nothing. They count as integer: where they stand, behind a pool, there is
next to nothing to convert."""
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
    """Operators of a float graph that an engine will not run in integers.

    Args:
        subject: the graph.
        integer: operators that have an integer form there.
        is_exception: whether such an operator has none with these settings.
    """
    for node in subject.network:
        if node.op_type not in integer or is_exception(node, subject.wiring):
            yield node.name, f"{described(node)} runs in float"


def described(node: NodeProto) -> str:
    """The operator, with the mode that decides."""
    return f"{text_of(node, 'mode', '')} {node.op_type}".strip()


def text_of(node: NodeProto, name: str, default: str) -> str:
    """An attribute that is text."""
    value = attribute(node, name, default)
    return value.decode() if isinstance(value, bytes) else str(value)
