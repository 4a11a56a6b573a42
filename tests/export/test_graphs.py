"""Names in, nodes out: last layers, gates, pools, and what is alive in a graph."""

import numpy as np
import onnx
import pytest
from onnx import NodeProto, numpy_helper, parser

from landmint.export.graphs import (
    Wiring,
    alive,
    chosen_layers,
    gates,
    is_global_pool,
    last_layers,
    output_axis,
    replace_nodes,
)
from landmint.runtime.errors import LandmintError


@pytest.fixture
def graph() -> onnx.GraphProto:
    """A gate, and two heads, one behind a reshape."""
    text = """
    net (float[1, 8, 4, 4] image, float[4, 8, 1, 1] w1, float[8, 4, 1, 1] w2, float[8, 6] fc)
      => (float[1, 8, 4, 4] map, float[1, 3, 2] points)
    <int64[2] rows_columns = {2, 3}, int64[2] flat = {1, 8}, int64[3] shape = {1, 3, 2}>
    {
      pooled = ReduceMean <keepdims = 1> (image, rows_columns)
      squeezed = Conv (pooled, w1)
      bent = Relu (squeezed)
      spread = Conv (bent, w2)
      gate = HardSigmoid (spread)
      gated = Mul (image, gate)
      map = Conv (gated, w2)
      row = Reshape (pooled, flat)
      raw = Gemm (row, fc)
      points = Reshape (raw, shape)
    }
    """
    graph = parser.parse_graph(text)
    for node in graph.node:
        node.name = node.output[0]
    return graph


def node_of(graph: onnx.GraphProto, name: str) -> NodeProto:
    found: NodeProto = next(node for node in graph.node if node.name == name)
    return found


def test_last_layers_are_found_behind_reshapes(graph: onnx.GraphProto) -> None:
    assert last_layers(graph, ["points"]) == {"raw"}
    assert last_layers(graph, ["map", "points"]) == {"map", "raw"}
    assert last_layers(graph, []) == frozenset()


def test_gates_are_the_layers_between_a_pool_and_a_sigmoid(graph: onnx.GraphProto) -> None:
    assert gates(graph) == {"squeezed", "spread"}
    node_of(graph, "pooled").op_type = "Abs"
    assert gates(graph) == frozenset()


def test_a_global_pool_reduces_rows_and_columns(graph: onnx.GraphProto) -> None:
    pool = node_of(graph, "pooled")
    assert is_global_pool(pool, Wiring(graph))
    graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([1]), "rows_columns"))
    assert not is_global_pool(pool, Wiring(graph))


def test_output_channels_lie_on_an_axis_of_their_own(graph: onnx.GraphProto) -> None:
    assert [output_axis(node_of(graph, name)) for name in ("map", "raw")] == [0, 1]
    assert output_axis(onnx.helper.make_node("ConvTranspose", ["a", "b"], ["c"])) == 1


def test_a_layer_of_another_name_is_refused_with_the_closest(graph: onnx.GraphProto) -> None:
    assert chosen_layers(graph, ["map", "raw"]) == {"map", "raw"}
    with pytest.raises(LandmintError, match="no weighted layer 'maps'") as caught:
        chosen_layers(graph, ["maps"])
    assert caught.value.choices[0] == "map"


def test_dead_nodes_and_constants_go(graph: onnx.GraphProto) -> None:
    kept = len(graph.node)
    graph.node.append(onnx.helper.make_node("Relu", ["map"], ["dead"]))
    graph.initializer.append(numpy_helper.from_array(np.zeros(1), "dead_constant"))
    replace_nodes(graph, alive(graph))
    assert len(graph.node) == kept
    assert "dead_constant" not in Wiring(graph).constants
