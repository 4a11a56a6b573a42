"""A wrong operator is found wherever it is planted; engines that agree are left in peace."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from landmint.quantize.decide.ranges import Optimise
from landmint.quantize.explain.divergence import first_divergence
from landmint.quantize.explain.probes import OnnxRuntimeProbe
from landmint.runtime.errors import LandmintError

Graphs = Callable[[str], onnx.ModelProto]
OPTIMISE: tuple[Optimise, ...] = ("all", "none")
Face = NDArray[np.float32]


def probe(
    label: str, model: onnx.ModelProto, tensors: Face, optimise: Optimise = "all"
) -> OnnxRuntimeProbe:
    names = [name for node in model.graph.node for name in node.output]
    return OnnxRuntimeProbe(label, model, tensors[:1], {n: n for n in names}, optimise)


def with_wrong_gate(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A hard-swish that divides by five, or a hard-sigmoid of another slope."""
    nodes = []
    for node in model.graph.node:
        if node.name == name and node.op_type == "HardSwish":
            wrong = f"{name}_wrong"
            nodes.append(helper.make_node("HardSigmoid", node.input, [wrong], alpha=0.2, beta=0.5))
            nodes.append(helper.make_node("Mul", [node.input[0], wrong], node.output, name))
        else:
            if node.name == name:
                node.attribute[0].f = 0.2
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [("stem_act", "HardSwish"), ("gate", "HardSigmoid"), ("wide_act", "HardSwish")],
)
def test_a_planted_operator_is_found(
    wrong: str, kind: str, graph_of: Graphs, tensors: Face
) -> None:
    model = graph_of("pip")
    left = probe("right one", model, tensors)
    right = probe("wrong one", with_wrong_gate(graph_of("pip"), wrong), tensors)
    found = first_divergence(model.graph, left, right, tolerance=1e-3)
    assert found.operator == f"{wrong} ({kind})"
    assert found.tensor == wrong
    assert found.difference > 1e-3
    assert len(found.left_values) == 3
    assert not np.allclose(found.left_values, found.right_values)
    assert (found.left, found.right) == (left.label, right.label)


def test_not_every_tensor_is_computed(graph_of: Graphs, tensors: Face) -> None:
    model = graph_of("coordinates")
    wrong = with_wrong_gate(graph_of("coordinates"), "stem_act")
    left, right = (probe("", one, tensors) for one in (model, wrong))
    found = first_divergence(model.graph, left, right, tolerance=1e-3)
    assert found.tensors == len(model.graph.node)
    assert found.computed <= 6


def test_the_optimiser_agrees_with_itself(graph_of: Graphs, tensors: Face) -> None:
    model = graph_of("heatmap")
    left, right = (probe("onnx", model, tensors, optimise) for optimise in OPTIMISE)
    found = first_divergence(model.graph, left, right, tolerance=1e-4)
    assert not found.operator
    assert found.difference < 1e-5
    assert right.label == "onnx in onnxruntime, not optimised"


class Broken:
    """An engine that returns no numbers from one tensor on."""

    label = "broken"

    def __init__(self, inner: OnnxRuntimeProbe, tensors: set[str]) -> None:
        self.tensors, self._inner = inner.tensors, inner
        self._broken = tensors

    def values(self, tensor: str) -> Face:
        found = self._inner.values(tensor)
        return np.full_like(found, np.nan) if tensor in self._broken else found


def test_numbers_that_are_not_finite_differ(graph_of: Graphs, tensors: Face) -> None:
    model = graph_of("coordinates")
    left = probe("", model, tensors)
    broken = Broken(left, {"wide", "wide_act", "pool", "flat", "coordinates"})
    found = first_divergence(model.graph, left, broken, tolerance=1e-3)
    assert found.operator == "wide (Conv)"
    assert found.difference == 1e6


def test_engines_without_a_common_output(graph_of: Graphs, tensors: Face) -> None:
    model = graph_of("coordinates")
    left = probe("left", model, tensors)
    other = OnnxRuntimeProbe("right", model, tensors[:1], {})
    with pytest.raises(LandmintError, match="no output in common"):
        first_divergence(model.graph, left, other, tolerance=1e-3)
