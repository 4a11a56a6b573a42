"""What is never read needs no levels: the decode says the same of clipped maps."""

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray

from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import decide
from landmint.quantize.decide.ranges import observe, outermost, run_all
from landmint.quantize.decide.read_values import read_extremes
from landmint.runtime.contract import Contract
from landmint.runtime.decode import decode

Graphs = Callable[[str], onnx.ModelProto]
Contracts = Callable[[str], Contract]
Tensors = NDArray[np.float32]


def test_the_decode_says_the_same_of_maps_clipped_to_their_ranges(
    graph_of: Graphs, contract_of: Contracts, tensors: Tensors
) -> None:
    model = graph_of("pip")
    ranges = decide(model, tensors, QuantizeConfig()).activations
    maps = run_all(model, tensors)
    clipped = {name: np.clip(values, *ranges[name]) for name, values in maps.items()}
    assert any(np.abs(clipped[name] - maps[name]).max() > 1 for name in ("nb_x", "nb_y"))
    for whole, cut in zip(
        decode(contract_of("pip"), maps), decode(contract_of("pip"), clipped), strict=True
    ):
        np.testing.assert_allclose(cut, whole, atol=1e-4)


def test_wild_offsets_elsewhere_cost_no_levels(graph_of: Graphs, tensors: Tensors) -> None:
    model = graph_of("pip")
    before = decide(model, tensors, QuantizeConfig()).activations
    _multiply_where_scores_are_low(model, "nb_x", 100.0)
    after = decide(model, tensors, QuantizeConfig()).activations
    wild = outermost(observe(model, tensors)["nb_x"])
    assert wild[1] > 10 * after["nb_x"][1]
    np.testing.assert_allclose(after["nb_x"], before["nb_x"], rtol=1e-5)


def test_other_heads_are_read_whole(graph_of: Graphs, tensors: Tensors) -> None:
    assert read_extremes(graph_of("heatmap"), tensors) == {}
    assert read_extremes(graph_of("coordinates"), tensors) == {}


def _multiply_where_scores_are_low(model: onnx.ModelProto, name: str, factor: float) -> None:
    """Make a map of offsets wild at all cells but those of each landmark's greatest score."""
    graph, helper = model.graph, onnx.helper
    maker = next(node for node in graph.node if name in node.output)
    maker.output[0] = f"{name}_tame"
    axes = helper.make_tensor("peak_axes", onnx.TensorProto.INT64, [2], [2, 3])
    large = helper.make_tensor("large", onnx.TensorProto.FLOAT, [], [factor])
    one = helper.make_tensor("small", onnx.TensorProto.FLOAT, [], [1.0])
    repeats = helper.make_tensor("repeats", onnx.TensorProto.INT64, [5], [1, 1, 2, 1, 1])
    fold = helper.make_tensor("fold", onnx.TensorProto.INT64, [5], [1, 68, 1, 8, 8])
    flat = helper.make_tensor("flat", onnx.TensorProto.INT64, [4], [1, 136, 8, 8])
    graph.initializer.extend([axes, large, one, repeats, fold, flat])
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["cls", "peak_axes"], ["peak"], "peak", keepdims=1),
            helper.make_node("Less", ["cls", "peak"], ["lower"], "lower"),
            helper.make_node("Where", ["lower", "large", "small"], ["factor"], "factor"),
            helper.make_node("Reshape", ["factor", "fold"], ["folded"], "folded"),
            helper.make_node("Tile", ["folded", "repeats"], ["tiled"], "tiled"),
            helper.make_node("Reshape", ["tiled", "flat"], ["factors"], "factors"),
            helper.make_node("Mul", [f"{name}_tame", "factors"], [name], f"{name}_wild"),
        ]
    )
