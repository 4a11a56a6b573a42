"""QDQ graphs run in integers in ONNX Runtime and return what the float graph returns, nearly."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from landmint.export.graphs import WEIGHTED, Wiring
from landmint.quantize.decide.ranges import observe, run_all
from landmint.quantize.explain.placement import placement_of
from landmint.quantize.forms.onnx import quantize
from landmint.quantize.integer_friendly import bounded, gate_ranges, make_friendly
from landmint.quantize.job import Job
from landmint.runtime.contract import Contract
from landmint.runtime.engines import load_engine
from tests.quantize.errors import relative_error

Graphs = Callable[[str], onnx.ModelProto]
Contracts = Callable[[str], Contract]
Tensors = NDArray[np.float32]


def test_friendly_graph_computes_the_same(kind: str, graph_of: Graphs, tensors: Tensors) -> None:
    model = graph_of(kind)
    friendly, gates = make_friendly(model)
    kinds = {node.op_type for node in friendly.graph.node}
    assert not kinds & {"HardSwish", "HardSigmoid", "ReduceMean"}
    assert [gate.swish for gate in gates] == [True, False, True]
    expected = run_all(model, tensors)
    for name, values in run_all(friendly, tensors).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5)


def test_the_three_of_a_gate_is_in_the_bias_before_it(graph_of: Graphs) -> None:
    """TFLite's converter has it there: two roundings here would be one in LiteRT."""
    friendly, gates = make_friendly(graph_of("pip"))
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in friendly.graph.initializer}
    before = {t.name: onnx.numpy_helper.to_array(t) for t in graph_of("pip").graph.initializer}
    maker = next(n for n in friendly.graph.node if gates[1].source in n.output)
    assert (maker.name, maker.op_type) == ("se2", "Conv")
    np.testing.assert_allclose(constants[maker.input[2]], before["se2_b"] + 3, rtol=1e-6)
    readers = [node.op_type for node in friendly.graph.node if gates[1].source in node.input]
    assert readers == ["Clip"]


def test_a_layer_without_a_bias_gets_one_for_the_three(graph_of: Graphs, tensors: Tensors) -> None:
    """The exporter leaves out a bias of zeros; TFLite's converter makes one of the three."""
    model = graph_of("pip")
    layer = next(node for node in model.graph.node if node.name == "se2")
    del layer.input[2]
    friendly, gates = make_friendly(model)
    assert gates[1].source == "gate_clipped_shifted"
    bias = Wiring(friendly.graph).array("gate_clipped_shifted_bias")
    np.testing.assert_array_equal(bias, np.full(16, 3, dtype=np.float32))
    for name, expected in run_all(model, tensors).items():
        np.testing.assert_allclose(run_all(friendly, tensors)[name], expected, atol=1e-5)


def test_a_gate_whose_source_others_read_keeps_its_own_three(graph_of: Graphs) -> None:
    model = graph_of("pip")
    model.graph.output.append(onnx.helper.make_tensor_value_info("se2", 1, [1, 16, 1, 1]))
    friendly, gates = make_friendly(model)
    assert gates[1].source == "se2"
    readers = [node.op_type for node in friendly.graph.node if "se2" in node.input]
    assert readers == ["Add"]


def test_an_unusual_hard_sigmoid_is_left_alone(graph_of: Graphs) -> None:
    model = graph_of("pip")
    gate = next(node for node in model.graph.node if node.op_type == "HardSigmoid")
    gate.attribute[0].f = 0.2
    friendly, gates = make_friendly(model)
    assert [gate.swish for gate in gates] == [True, True]
    assert "HardSigmoid" in {node.op_type for node in friendly.graph.node}


def test_no_level_is_spent_where_a_gate_is_flat(graph_of: Graphs, tensors: Tensors) -> None:
    model = graph_of("pip")
    found = bounded(dict.fromkeys(observe(model, tensors), (-9.0, 9.0)), model.graph)
    _, gates = make_friendly(model)
    found |= gate_ranges(gates)
    assert found["stem"] == (-3.0, 9.0)
    assert found["se2"] == (-3.0, 3.0)
    assert found["deep"] == (-9.0, 9.0)
    assert found["stem_act_gate"] == found["gate"] == (0.0, 1.0)


@pytest.fixture(scope="module")
def made(
    kind: str,
    graph_of: Graphs,
    contract_of: Contracts,
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path, Contract, dict[str, str]]:
    folder = tmp_path_factory.mktemp(kind)
    source, target = folder / "float32.onnx", folder / "int8.onnx"
    onnx.save(graph_of(kind), source)
    contract = contract_of(kind)
    return (
        source,
        target,
        contract,
        quantize(job_of(source, target, tensors, contract)),
    )


def test_int8_runs_and_stays_close(
    made: tuple[Path, Path, Contract, dict[str, str]], tensors: Tensors
) -> None:
    source, target, contract, _ = made
    session = load_engine("onnxruntime").load(target, contract, threads=1)
    expected = run_all(onnx.load(source), tensors)
    for name, shape in ((output.name, output.shape) for output in contract.outputs):
        found = np.concatenate([session.run(face[None])[name] for face in tensors])
        assert found.shape == (len(tensors), *shape)
        assert relative_error(expected[name], found) < 0.1


def test_everything_but_a_spoilt_head_is_integer(
    made: tuple[Path, Path, Contract, dict[str, str]],
) -> None:
    _, target, contract, notes = made
    precision = load_engine("onnxruntime").load(target, contract, threads=1).executed_precision
    in_float = {"coordinates": "coordinates", "heatmap": "up"}.get(contract.head.kind, "none")
    assert notes["float layers"] == in_float
    counts = {"coordinates": "u8 6, f32 1", "heatmap": "u8 7, f32 1"}
    assert precision == counts.get(contract.head.kind, "u8")
    kinds = Counter(node.op_type for node in onnx.load(target).graph.node)
    assert not kinds["HardSwish"] + kinds["HardSigmoid"] + kinds["Clip"]


def test_the_optimiser_changes_nothing(
    kind: str,
    graph_of: Graphs,
    contract_of: Contracts,
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> None:
    """ONNX Runtime's integer kernels against its own Q/DQ arithmetic in float.

    Weights have 7 bits: with 8, sums saturate on processors without VNNI.
    """
    source, target, contract = tmp_path / "float32.onnx", tmp_path / "int8.onnx", contract_of(kind)
    onnx.save(graph_of(kind), source)
    quantize(job_of(source, target, tensors, contract, reduce_range=True))
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    fast, slow = (
        onnxruntime.InferenceSession(target, options, providers=providers)
        for options in (onnxruntime.SessionOptions(), plain)
    )
    name = contract.outputs[0].name
    for face in tensors[:4]:
        feed = {contract.input_name: face[None]}
        found, expected = fast.run([name], feed)[0], slow.run([name], feed)[0]
        # A level up or down where sums are rounded otherwise.
        assert relative_error(expected, found) < 0.02


@pytest.mark.parametrize("settings", [{"activations": "int8"}, {"reduce_range": True}])
def test_other_processors(
    settings: dict[str, object],
    graph_of: Graphs,
    contract_of: Contracts,
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> None:
    model, contract = graph_of("pip"), contract_of("pip")
    onnx.save(model, tmp_path / "float32.onnx")
    job = job_of(tmp_path / "float32.onnx", tmp_path / "int8.onnx", tensors, contract, **settings)
    quantize(job)
    quantised = onnx.load(tmp_path / "int8.onnx")
    wiring = Wiring(quantised.graph)
    weight = wiring.array("thin_w_quantized")
    assert weight is not None and weight.dtype == np.int8
    top = 64 if job.config.reduce_range else 127  # 2 x 64 x 255 fits into 16 bits
    assert set(placement_of(quantised).weights.values()) == {top}
    assert np.abs(weight.astype(int)).max() == top
    pairs = [node for node in quantised.graph.node if node.op_type == "QuantizeLinear"]
    zeros = [wiring.array(node.input[2]) for node in pairs]
    assert {zero.dtype for zero in zeros if zero is not None} == {np.dtype(job.config.activations)}
    session = load_engine("onnxruntime").load(tmp_path / "int8.onnx", contract, threads=1)
    expected = run_all(model, tensors[:1])["cls"]
    assert relative_error(expected, np.asarray(session.run(tensors[:1])["cls"])) < 0.12


def test_weights_have_a_scale_per_channel(
    made: tuple[Path, Path, Contract, dict[str, str]],
) -> None:
    wiring = Wiring(onnx.load(made[1]).graph)
    (weight,) = wiring.readers("deep_w_quantized")
    assert wiring.constants[weight.input[1]].dims == [16]


def test_a_dark_head_stays_in_float(
    graph_of: Graphs,
    contract_of: Contracts,
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> None:
    onnx.save(graph_of("heatmap"), tmp_path / "float32.onnx")
    contract = contract_of("heatmap")
    dark = dataclasses.replace(contract, head=dataclasses.replace(contract.head, decode="dark"))
    target = tmp_path / "int8.onnx"
    source = tmp_path / "float32.onnx"
    notes = quantize(job_of(source, target, tensors, dark))
    assert notes["float layers"] == "heatmaps, up"
    maker = {name: n.op_type for n in onnx.load(target).graph.node for name in n.output}
    assert maker["heatmaps"] == "Conv"


def test_a_file_says_each_thing_once_and_returns_the_same_bits(
    made: tuple[Path, Path, Contract, dict[str, str]],
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target, contract, _ = made
    slim, full = onnx.load(target), tmp_path / "full.onnx"
    with monkeypatch.context() as patch:
        patch.setattr("landmint.quantize.forms.onnx._say_once", lambda graph, tensors: None)
        quantize(job_of(source, full, tensors, contract))
    constants = [
        (tensor.data_type, tuple(tensor.dims), onnx.numpy_helper.to_array(tensor).tobytes())
        for tensor in slim.graph.initializer
        if len(tensor.dims) < 2
    ]
    assert len(constants) == len(set(constants))
    assert slim.ByteSize() < 0.9 * onnx.load(full).ByteSize()
    for name, values in run_all(onnx.load(full), tensors).items():
        np.testing.assert_array_equal(run_all(slim, tensors)[name], values)
    layers = [n.name for n in onnx.load(source).graph.node if n.op_type in WEIGHTED]
    assert {node.name for node in slim.graph.node} >= {*layers}
    assert placement_of(slim) == placement_of(onnx.load(full))
