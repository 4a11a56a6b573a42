"""The first operator at which two engines differ, found by bisection over the float graph.

Both engines agree on its inputs and not on its result: so a kernel, a conversion or an optimiser
went wrong there. This is not about accuracy: two engines with the same error agree.
"""

import dataclasses
import math
from collections.abc import Callable, Collection
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from landmint.export.graphs import Wiring, alive
from landmint.quantize.explain.explanation import Divergence
from landmint.runtime.errors import LandmintError

Values = NDArray[np.float32]
_SHOWN = 3
_FAR = 1e6
"""The difference of tensors that hold NaN or infinity, or have different shapes."""


class Probe(Protocol):
    """Computes inner tensors of one artefact, in one engine, on one face.

    Tensors have their names in the float ONNX graph, whatever the artefact calls them.
    """

    label: str
    """Name of the artefact and of the engine, for people."""
    tensors: Collection[str]
    """Names of the tensors that it can compute."""

    def values(self, tensor: str) -> Values:
        """Compute one of these tensors, in its shape in the float graph."""
        ...


def first_divergence(
    graph: onnx.GraphProto, left: Probe, right: Probe, tolerance: float
) -> Divergence:
    """Find the first operator at which two engines differ.

    The search by bisection computes about log2 of the number of tensors, and then those just before
    the suspect.

    Args:
        graph: the float graph that both artefacts were made from; batch 1.
        left: one engine; differences are relative to its tensors.
        right: the other engine.
        tolerance: greatest difference that counts as agreement: root mean square of the difference,
            over that of the left tensor.

    Raises:
        LandmintError: the engines have no output of the graph in common.
    """
    compare = _Comparison(left, right)
    outputs = [value.name for value in graph.output if value.name in compare.tensors]
    if not outputs:
        raise LandmintError(f"{left.label} and {right.label} have no output in common")
    worst = max(outputs, key=compare)
    divergence = Divergence(
        left.label, right.label, tolerance, len(compare.tensors), 0, difference=compare(worst)
    )
    if divergence.difference > tolerance:
        blamed = _search(graph, worst, compare.tensors, lambda name: compare(name) > tolerance)
        divergence = compare.describe(divergence, blamed)
    return dataclasses.replace(divergence, computed=len(compare.known))


class _Comparison:
    """Relative differences of tensors, each computed once."""

    def __init__(self, left: Probe, right: Probe) -> None:
        self._left, self._right = left, right
        self.tensors = frozenset(left.tensors).intersection(right.tensors)
        self.known: dict[str, float] = {}

    def __call__(self, tensor: str) -> float:
        if tensor not in self.known:
            self.known[tensor] = _apart(self._left.values(tensor), self._right.values(tensor))
        return self.known[tensor]

    def describe(self, divergence: Divergence, blamed: NodeProto) -> Divergence:
        """Add to a divergence the operator to blame, and the values that differ most."""
        tensor = next(name for name in blamed.output if name in self.tensors)
        left, right = (np.nan_to_num(p.values(tensor)).ravel() for p in (self._left, self._right))
        shared = min(left.size, right.size)
        most = np.argsort(-np.abs(left[:shared] - right[:shared]))[:_SHOWN]
        return dataclasses.replace(
            divergence,
            difference=self(tensor),
            operator=f"{blamed.name} ({blamed.op_type})",
            tensor=tensor,
            left_values=tuple(float(left[i]) for i in most),
            right_values=tuple(float(right[i]) for i in most),
        )


def _apart(left: Values, right: Values) -> float:
    if left.shape != right.shape:
        return _FAR
    noise = float(np.sqrt(np.mean((left.astype(np.float64) - right) ** 2)))
    signal = float(np.sqrt(np.mean(left.astype(np.float64) ** 2)))
    if not math.isfinite(noise):
        return _FAR
    return noise / signal if signal > 0 else min(noise, _FAR)


def _search(
    graph: onnx.GraphProto, output: str, shared: Collection[str], parts: Callable[[str], bool]
) -> NodeProto:
    """The operator to blame for a graph output that differs."""
    above = onnx.GraphProto()
    above.CopyFrom(graph)
    del above.output[:]
    above.output.append(onnx.ValueInfoProto(name=output))
    order = [name for node in alive(above) for name in node.output if name in shared]
    low, high = -1, len(order) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if parts(order[middle]) else (middle, high)
    wiring, suspect = Wiring(above), order[high]
    # Bisection may have looked at tensors of another branch, whose agreement proves nothing here.
    while earlier := [name for name in _before(wiring, suspect, shared) if parts(name)]:
        suspect = earlier[0]
    blamed: NodeProto = wiring.maker[suspect]
    return blamed


def _before(wiring: Wiring, tensor: str, shared: Collection[str]) -> list[str]:
    """The nearest tensors before `tensor` that both engines have."""
    nearest: list[str] = []
    waiting = list(wiring.maker[tensor].input)
    while waiting:
        name = waiting.pop()
        if name in shared:
            nearest.append(name)
        elif name in wiring.maker:
            waiting += wiring.maker[name].input
    return nearest
