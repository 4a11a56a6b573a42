"""The first operator at which two engines part, found by bisection over the float graph.

Its inputs agree and its result does not: there a kernel, a conversion or an optimiser went wrong.
Not accuracy: two engines that are equally wrong agree.
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
"""Stands for a difference that is no finite number, and for shapes that differ."""


class Probe(Protocol):
    """One engine with one artefact and one face, asked for tensors of the float graph."""

    label: str
    """The artefact and the engine."""
    tensors: Collection[str]
    """The tensors of the float graph that it has."""

    def values(self, tensor: str) -> Values:
        """One of them, computed, in the shape that it has in the float graph."""
        ...


def first_divergence(
    graph: onnx.GraphProto, left: Probe, right: Probe, tolerance: float
) -> Divergence:
    """Where two engines part.

    About log2 of all tensors are computed, and then those before the suspect.

    Args:
        graph: the float graph that both artefacts were made from; batch 1.
        left: what differences are relative to.
        right: the other engine.
        tolerance: root mean square of a difference, over that of the left tensor, which is still
            agreement.

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
        """The same with the operator, and a few of the values that differ most."""
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
    # On another branch than the suspect's, agreement says nothing of what comes before it.
    while earlier := [name for name in _before(wiring, suspect, shared) if parts(name)]:
        suspect = earlier[0]
    blamed: NodeProto = wiring.maker[suspect]
    return blamed


def _before(wiring: Wiring, tensor: str, shared: Collection[str]) -> list[str]:
    """The nearest tensors before one that both engines have."""
    nearest: list[str] = []
    waiting = list(wiring.maker[tensor].input)
    while waiting:
        name = waiting.pop()
        if name in shared:
            nearest.append(name)
        elif name in wiring.maker:
            waiting += wiring.maker[name].input
    return nearest
