"""One decision: written, read back, refused where it fits no graph, and applied to constants."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from landmint.quantize.config import Calibrator, QuantizeConfig
from landmint.quantize.decide.decision import (
    Decision,
    decide,
    layers_of,
    read_decision,
    write_decision,
)
from landmint.quantize.decide.ranges import observe, outermost
from landmint.quantize.decide.read_values import read_extremes
from landmint.runtime.errors import LandmintError

Graphs = Callable[[str], onnx.ModelProto]
Tensors = NDArray[np.float32]


@pytest.fixture(scope="module")
def decision(graph_of: Graphs, tensors: Tensors) -> Decision:
    return decide(graph_of("pip"), tensors, QuantizeConfig())


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def replace(model: onnx.ModelProto, name: str, values: NDArray[np.float32]) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(values, name))


def test_a_decision_survives_the_file(decision: Decision, graph_of: Graphs, tmp_path: Path) -> None:
    graph = graph_of("pip").graph
    write_decision(tmp_path / "ranges.json", decision)
    assert read_decision(tmp_path / "ranges.json", graph) == decision
    told = json.loads((tmp_path / "ranges.json").read_text())
    stem = told["activations"]["stem"]
    assert stem["scale"] == pytest.approx((stem["max"] - stem["min"]) / 255)
    assert stem["zero_point"] == round(-stem["min"] / stem["scale"])
    assert len(told["weights"]["deep_w"]["scale"]) == 16
    assert stem["min"] >= -3  # hard-swish reads it alone


def test_it_names_every_tensor_and_every_weight(decision: Decision, graph_of: Graphs) -> None:
    graph = graph_of("pip").graph
    assert set(decision.activations) == {"image", *(n.output[0] for n in graph.node)}
    assert set(decision.weights) == {node.input[1] for node in layers_of(graph)}
    assert decision.dead == ()


@pytest.mark.parametrize("calibrator", get_args(Calibrator))
def test_the_ends_of_the_graph_are_clipped_by_no_rule(
    calibrator: Calibrator, graph_of: Graphs, tensors: Tensors
) -> None:
    model, sizes = graph_of("pip"), np.linspace(0.2, 1, len(tensors), dtype=np.float32)
    faces = tensors * sizes[:, None, None, None]
    turned = onnx.helper.make_node("Transpose", ["x"], ["turned"], "turned", perm=[0, 2, 3, 1])
    model.graph.node.append(turned)
    model.graph.output.append(onnx.helper.make_tensor_value_info("turned", 1, [1, 8, 8, 68]))
    model.graph.output.remove(next(end for end in model.graph.output if end.name == "x"))
    found = decide(model, faces, QuantizeConfig(calibrator=calibrator)).activations
    extremes = observe(model, faces) | read_extremes(model, faces)
    for name in ("image", "cls", "x", "turned", "nb_y"):
        np.testing.assert_allclose(found[name], outermost(extremes[name]), err_msg=name)
    if calibrator != "min_max":
        assert found["joined"] != pytest.approx(outermost(extremes["joined"]))


@pytest.mark.parametrize(
    ("where", "change", "message"),
    [
        ("activations", {"stem": None}, "does not fit the graph: stem"),
        ("activations", {"other": {"min": 0, "max": 1}}, "does not fit the graph: other"),
        ("activations", {"stem": {"min": 2, "max": 1}}, r"'stem' has the range \[2.0, 1.0\]"),
        ("activations", {"stem": {"min": -1, "max": float("nan")}}, "'stem' has the range"),
        ("activations", {"stem": {"min": 0, "max": 0}}, "'stem' has the range"),
        ("activations", {"stem": 3}, "is no file of ranges"),
        ("activations", {"stem": {"min": 0, "max": 10**400}}, "is no file of ranges"),
        ("activations", {"stem": {"min": 0, "max": "DIGITS"}}, "is not valid JSON"),
        ("weights", {"deep_w": {"max": [10**400] * 16}}, "is no file of ranges"),
        ("weights", {"deep_w": {"max": {}}}, "does not fit the graph: deep_w"),
        ("weights", {"deep_w": {"max": [1.0]}}, "does not fit the graph: deep_w"),
        ("weights", {"deep_w": {"max": [-1.0] * 16}}, "weight 'deep_w' holds a number"),
        ("equalised", {"stem": [1.0]}, "does not fit the graph: stem"),
        ("equalised", {"stem": [0.0] * 16}, "factors of layer 'stem' holds a number"),
    ],
)
def test_a_wrong_file_is_one_clear_error(
    decision: Decision,
    graph_of: Graphs,
    tmp_path: Path,
    where: str,
    change: dict[str, Any],
    message: str,
) -> None:
    content = decision.to_json()
    for name, value in change.items():
        content[where][name] = value
        if value is None:
            del content[where][name]
    path = tmp_path / "ranges.json"
    path.write_text(json.dumps(content).replace('"DIGITS"', "9" * 5000))
    with pytest.raises(LandmintError, match=message):
        read_decision(path, graph_of("pip").graph)


def test_a_tensor_that_is_not_finite_is_named_with_its_face(
    graph_of: Graphs, tensors: Tensors
) -> None:
    spoilt = tensors.copy()
    spoilt[2, 0, 5, 5] = np.nan
    with pytest.raises(LandmintError, match="tensor 'image' .* on calibration face c"):
        decide(graph_of("pip"), spoilt, QuantizeConfig(), [*"abcdefghijkl"])
    model = graph_of("pip")
    weight = constants(model)["deep_w"].copy()
    weight[3] = np.inf
    replace(model, "deep_w", weight)
    with pytest.raises(LandmintError, match="weight 'deep_w' of layer 'deep' is not finite"):
        decide(model, tensors, QuantizeConfig())


def test_an_operator_that_nobody_has_is_named(graph_of: Graphs, tensors: Tensors) -> None:
    model = graph_of("pip")
    next(node for node in model.graph.node if node.name == "deep_act").op_type = "Frobnicate"
    with pytest.raises(LandmintError, match=r"onnxruntime cannot run .* deep_act \(Frobnicate\)"):
        decide(model, tensors, QuantizeConfig())


def test_what_is_dead_keeps_positive_scales_and_is_named(
    graph_of: Graphs, tensors: Tensors
) -> None:
    model = graph_of("pip")
    values = constants(model)
    weight, bias = values["se1_w"].copy(), values["se1_b"].copy()
    weight[:], bias[:] = 0, 0
    replace(model, "se1_w", weight)
    replace(model, "se1_b", bias)
    found = decide(model, tensors, QuantizeConfig())
    assert {"se1", "se_r", "se1_w"} <= set(found.dead)
    told = found.to_json()
    scales = [a["scale"] for a in told["activations"].values()]
    scales += [scale for w in told["weights"].values() for scale in w["scale"]]
    assert min(scales) > 0
