"""The layer that was spoilt on purpose is found, and noise of known size is told right."""

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from landmint.quantize.explain.explanation import Layer
from landmint.quantize.explain.sensitivity import (
    NO_NOISE_DB,
    Examination,
    _macs,
    _shapes,
    fidelities,
    layer_sensitivities,
)
from landmint.quantize.explain.simulation import Simulation
from landmint.runtime.contract import Contract, Output
from landmint.runtime.crop import apply_affine, invert_affine
from landmint.runtime.errors import LandmintError
from landmint.train.evaluate import crop_faces
from landmint.train.faces.face import FaceSet

Tensors = NDArray[np.float32]
STEP = 0.25


@pytest.fixture(scope="module")
def exam(
    module_faces: Callable[..., FaceSet], contract_of: Callable[[str], Contract]
) -> Examination:
    return Examination(module_faces("val", 4), contract_of("coordinates"))


def test_19_points_are_judged_by_the_box(
    make_faces: Callable[..., FaceSet], contract_of: Callable[[str], Contract]
) -> None:
    """AFLW has profiles, whose outer eye corners may lie on top of each other."""
    faces = make_faces("profiles", 2)
    seen = np.ones(19, dtype=bool)
    profiles = [
        dataclasses.replace(face, points=np.full((19, 2), 40.0), visible=seen)
        for face in faces.faces
    ]
    profile_faces = dataclasses.replace(faces, markup="19", faces=tuple(profiles))
    contract = dataclasses.replace(
        contract_of("coordinates"), markup="19", outputs=(Output("coordinates", (38,)),)
    )
    matrices = crop_faces(profile_faces.faces, contract).matrices
    shifted = np.array([face.points + [3.0, 4.0] for face in profiles])
    in_crops = np.array(
        [apply_affine(invert_affine(m), p) for m, p in zip(matrices, shifted, strict=True)]
    )
    sizes = [np.sqrt(face.box.w * face.box.h) for face in profiles]
    found = Examination(profile_faces, contract).nme(in_crops)
    assert found == pytest.approx(np.mean(5 / np.array(sizes)))


@pytest.fixture(scope="module")
def layers(twins: tuple[onnx.ModelProto, onnx.ModelProto], exam: Examination) -> dict[str, Layer]:
    found = layer_sensitivities(Simulation(*twins), twins[1], exam)
    return {layer.name: layer for layer in found}


def test_every_weighted_layer_is_told_in_order(layers: dict[str, Layer]) -> None:
    assert list(layers) == ["stem", "deep", "se1", "se2", "thin", "wide", "coordinates"]
    assert layers["deep"].kind == "Conv, 16 groups"
    assert layers["deep"].macs == 16 * 9 * 16 * 16
    assert layers["coordinates"].macs == 32 * 136


def test_a_matrix_product_counts_for_each_row(
    graph_of: Callable[[str], onnx.ModelProto],
) -> None:
    """SimCC's landmarks are rows of one product: 68 of them, from 64 cells to 64 bins."""
    graph = graph_of("simcc")
    product = next(node for node in graph.graph.node if node.name == "simcc_x_rows")
    assert _macs(product, _shapes(graph)) == 68 * 64 * 64


def test_the_spoilt_layer_costs_most_alone(layers: dict[str, Layer]) -> None:
    costs = {name: layer.alone.displacement_px for name, layer in layers.items() if layer.alone}
    assert max(costs, key=lambda name: costs[name]) == "thin"
    assert costs["thin"] > 3 * sorted(costs.values())[-2]


def test_all_but_the_spoilt_layer_costs_least(layers: dict[str, Layer]) -> None:
    costs = {name: layer.all_but.displacement_px for name, layer in layers.items() if layer.all_but}
    assert min(costs, key=lambda name: costs[name]) == "thin"


def test_a_float_layer_costs_nothing(layers: dict[str, Layer]) -> None:
    last = layers["coordinates"]
    assert not last.quantised
    assert last.alone is None and last.all_but is None


def test_the_spoilt_layer_is_the_first_to_be_noisy(layers: dict[str, Layer]) -> None:
    noise = {name: layer.snr_db for name, layer in layers.items()}
    assert min(noise, key=lambda name: noise[name]) in ("thin", "wide", "coordinates")
    assert noise["stem"] > 20 > noise["thin"]
    assert layers["stem"].cosine > 0.999 > layers["thin"].cosine


def test_the_simulation_does_what_the_engine_does(
    twins: tuple[onnx.ModelProto, onnx.ModelProto], exam: Examination
) -> None:
    simulation = Simulation(*twins)
    built, reference = exam.points(twins[1]), exam.points(twins[0])
    simulated = exam.points(simulation.whole(), optimise="float")
    assert (
        exam.cost(simulated, built).displacement_px
        < 0.1 * exam.cost(built, reference).displacement_px
    )


def test_the_simulation_without_levels_is_the_float_graph(
    twins: tuple[onnx.ModelProto, onnx.ModelProto], exam: Examination
) -> None:
    cost = exam.cost(exam.points(Simulation(*twins).plain), exam.points(twins[0]))
    assert cost.displacement_px < 1e-3
    assert abs(cost.nme_rise) < 1e-5


def copying(levels: bool) -> onnx.ModelProto:
    """A layer that copies one channel; its twin rounds the copy to steps of STEP."""
    one = np.ones((1, 1, 1, 1))
    nodes = [helper.make_node("Conv", ["image", "weight"], ["copy"], "layer")]
    constants = [numpy_helper.from_array(one.astype(np.float32), "weight")]
    if levels:
        nodes = [
            helper.make_node("DequantizeLinear", ["weight", "one", "zero"], ["real"], "real"),
            helper.make_node("Conv", ["image", "real"], ["exact"], "layer"),
            helper.make_node("QuantizeLinear", ["exact", "step", "zero"], ["levels"], "q"),
            helper.make_node("DequantizeLinear", ["levels", "step", "zero"], ["copy"], "dq"),
        ]
        scalars = {"one": np.float32(1), "step": np.float32(STEP), "zero": np.int8(0)}
        constants = [numpy_helper.from_array(np.array(v), name) for name, v in scalars.items()]
        constants.append(numpy_helper.from_array(one.astype(np.int8), "weight"))
    image, copy = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 64, 64])
        for name in ("image", "copy")
    )
    graph = helper.make_graph(nodes, "copy", [image], [copy], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_noise_of_rounding_is_a_twelfth_of_the_squared_step() -> None:
    signal = np.random.default_rng(0).normal(size=(4, 1, 64, 64)).astype(np.float32)
    simulation = Simulation(copying(False), copying(True))
    snr_db, cosine = fidelities(simulation, copying(True), signal)["layer"]
    assert snr_db == pytest.approx(10 * np.log10(np.mean(signal**2) / (STEP**2 / 12)), abs=0.2)
    assert cosine == pytest.approx(1 - STEP**2 / 24, abs=1e-3)


def test_silence_and_equality_have_finite_figures() -> None:
    simulation = Simulation(copying(False), copying(True))
    silent = np.full((1, 1, 64, 64), STEP / 4, dtype=np.float32)
    assert fidelities(simulation, copying(True), silent)["layer"] == pytest.approx((0, 0))
    equal = np.full((1, 1, 64, 64), STEP * 4, dtype=np.float32)
    snr_db, cosine = fidelities(simulation, copying(True), equal)["layer"]
    assert (snr_db, cosine) == pytest.approx((NO_NOISE_DB, 1.0))


def test_a_float_graph_has_nothing_to_explain() -> None:
    with pytest.raises(LandmintError, match="no layer of the INT8 graph is quantised"):
        Simulation(copying(False), copying(False))
