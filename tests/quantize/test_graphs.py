"""Names in, nodes out: last layers, gates and ranges of a graph."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.quantize.graphs import Wiring, alive, chosen_layers, gates, last_layers, replace_nodes
from landmint.quantize.heads import float_outputs
from landmint.quantize.ranges import observe, run_all, settle
from landmint.runtime.contract import Contract, Head
from landmint.runtime.errors import LandmintError

Graphs = Callable[[str], onnx.ModelProto]


def test_last_layers_are_found_behind_reshapes(graph_of: Graphs) -> None:
    graph = graph_of("coordinates").graph
    shape = onnx.numpy_helper.from_array(np.array([1, 136], dtype=np.int64), "out_shape")
    graph.initializer.append(shape)
    fc = next(node for node in graph.node if node.op_type == "Gemm")
    fc.output[0] = "raw"
    graph.node.append(onnx.helper.make_node("Reshape", ["raw", "out_shape"], ["coordinates"]))
    assert last_layers(graph, ["coordinates"]) == {"coordinates"}
    assert last_layers(graph_of("pip").graph, ["x", "y"]) == {"x", "y"}
    assert last_layers(graph, []) == frozenset()


def test_gates_are_the_layers_between_a_pool_and_a_sigmoid(graph_of: Graphs) -> None:
    model = graph_of("pip")
    assert gates(model.graph) == {"se1", "se2"}
    pool = next(node for node in model.graph.node if node.op_type == "ReduceMean")
    pool.op_type = "Abs"
    assert gates(model.graph) == frozenset()


def test_a_layer_of_another_name_is_refused_with_the_closest(graph_of: Graphs) -> None:
    graph = graph_of("pip").graph
    assert chosen_layers(graph, ["stem", "deep"]) == {"stem", "deep"}
    with pytest.raises(LandmintError, match="no weighted layer 'stem_act'") as caught:
        chosen_layers(graph, ["stem_act"])
    assert caught.value.choices[0] == "stem"


def test_dead_nodes_and_constants_go(graph_of: Graphs) -> None:
    graph = graph_of("pip").graph
    kept = len(graph.node)
    graph.node.append(onnx.helper.make_node("Relu", ["stem"], ["dead"]))
    graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1), "dead_constant"))
    replace_nodes(graph, alive(graph))
    assert len(graph.node) == kept
    assert "dead_constant" not in Wiring(graph).constants


def test_ranges_are_those_of_the_tensors(graph_of: Graphs, tensors: NDArray[np.float32]) -> None:
    model = graph_of("pip")
    seen = observe(model, tensors)
    outputs = run_all(model, tensors)
    assert outputs["nb_x"].shape == (len(tensors), 136, 8, 8)
    np.testing.assert_allclose(seen["nb_x"][:, 1], outputs["nb_x"].max(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(seen["image"][:, 0], tensors.min(axis=(1, 2, 3)))
    assert (seen["deep_act"][:, 0] >= 0).all()
    assert {"stem", "gate", "joined"} < set(seen)


def test_settle_spans_a_share_of_the_faces_and_zero() -> None:
    extremes = np.stack([np.arange(-10.0, 1.0), np.arange(20.0, 31.0)], axis=1)
    assert settle(extremes, 1.0) == (-10.0, 30.0)
    assert settle(extremes, 0.9) == (-9.0, 29.0)
    assert settle(extremes + 100, 1.0) == (0.0, 130.0)
    assert settle(extremes - 100, 1.0) == (-110.0, 0.0)


@pytest.mark.parametrize(
    ("head", "in_float"),
    [
        (Head("coordinates"), True),
        (Head("heatmap", "dark", 1.5), True),
        (Head("heatmap", "quarter", 1.0), True),
        (Head("heatmap", "local_soft_argmax", 1.0), False),
        (Head("heatmap", "argmax", 1.0), False),
        (Head("pip"), False),
    ],
)
def test_heads_that_8_bits_spoil(
    contract_of: Callable[[str], Contract], head: Head, in_float: bool
) -> None:
    import dataclasses

    contract = dataclasses.replace(contract_of("pip"), head=head)
    assert bool(float_outputs(contract)) == in_float
