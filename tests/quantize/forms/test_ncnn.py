"""ncnn's INT8 computes what ONNX Runtime computes of the same levels; the bytes are ncnn's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.export.forms.ncnn import convert
from landmint.export.graphs import replace_nodes
from landmint.quantize.decide.decision import layers_of
from landmint.quantize.decide.ranges import run_all
from landmint.quantize.forms.ncnn import place_weights, quantize
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.pairs import Pairs, ScaleRule
from landmint.runtime.contract import Contract
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError
from landmint.runtime.ncnn_param import Layer, parse

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")
pytestmark = pytest.mark.slow
Tensors = NDArray[np.float32]
MakeJob = Callable[[str], Job]


@pytest.fixture
def job(
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> MakeJob:
    def make(kind: str) -> Job:
        onnx.save(graph_of(kind), tmp_path / "float32.onnx")
        ends = tmp_path / "float32.onnx", tmp_path / "int8.param"
        return job_of(*ends, tensors, contract_of(kind))

    return make


def simulated(job: Job) -> onnx.ModelProto:
    """The graph with a symmetric Q/DQ pair before each layer that ncnn runs in INT8."""
    model = onnx.ModelProto()
    model.CopyFrom(job.graph)
    in_float = layers_in_float(model.graph, job.contract, job.config)
    pairs = Pairs(model.graph, job.decision.activations, ScaleRule(symmetric=True))
    rows = {"rows"}  # a matrix product of several rows: SimCC's
    pairs.layers(
        node
        for node in layers_of(model.graph)
        if node.op_type != "ConvTranspose" and node.name not in in_float
        if not rows.intersection(node.input)
    )
    replace_nodes(model.graph, pairs.in_order())
    return model


def test_onnxruntime_agrees(kind: str, job: MakeJob) -> None:
    work = job(kind)
    quantize(work)
    session = load_engine("ncnn").load(work.target, work.contract, threads=1)
    assert "i8" in session.executed_precision
    exact = run_all(work.graph, work.tensors[:4])
    expected = run_all(simulated(work), work.tensors[:4], "none")
    for face in range(4):
        returned = session.run(work.tensors[face : face + 1])
        for name, values in returned.items():
            spread = float(exact[name].std())
            apart = np.abs(values[0] - expected[name][face])
            # Halves are rounded away from zero here and to even there, so a level may differ.
            assert apart.mean() < 0.01 * spread, name
            assert apart.max() < 0.2 * spread, name


def test_convolutions_pass_int8_on_and_sums_get_floats(job: MakeJob) -> None:
    work = job("pip")
    quantize(work)
    layers, _ = parse(work.target.read_text())
    terms = {layer.kind: set() for layer in layers}  # type: dict[str, set[str]]
    for layer in layers:
        terms[layer.kind].add(layer.settings.get("8", ""))
    assert {"2"} <= terms["Convolution"]
    assert terms["ConvolutionDepthWise"] == {"1"}, "a gate and a sum read it"
    weights = sum(np.asarray(tensor.dims).prod() for tensor in work.graph.graph.initializer)
    assert work.target.with_suffix(".bin").stat().st_size < 1.6 * weights


def test_layers_that_were_asked_for_stay_in_float(job: MakeJob, job_of: Callable[..., Job]) -> None:
    plain = job("pip")
    work = job_of(
        plain.source, plain.target, plain.tensors, plain.contract, float_layers=("thin", "stem")
    )
    assert quantize(work) == {"float layers": "stem, thin"}
    session = load_engine("ncnn").load(work.target, work.contract, threads=1)
    assert session.executed_precision.endswith("f32 2")


def layers_and_content(work: Job) -> Iterator[tuple[Layer, ...] | bytes]:
    path = work.target.with_name("float32.param")
    convert(work.source, path, work.contract)
    yield parse(path.read_text())[0]
    yield path.with_suffix(".bin").read_bytes()


def test_weights_of_another_network_are_refused(job: MakeJob) -> None:
    work = job("coordinates")
    layers, content = layers_and_content(work)
    assert isinstance(layers, tuple) and isinstance(content, bytes)
    placed = place_weights(work.graph.graph, layers, content)
    assert [weight.node.name for weight in placed][:2] == ["stem", "deep"]
    with pytest.raises(LandmintError, match="pnnx changed") as caught:
        place_weights(work.graph.graph, layers, content.replace(b"\x3f", b"\x3e"))
    assert "is not in its file" in caught.value.reason
    with pytest.raises(LandmintError) as caught:
        place_weights(work.graph.graph, layers[:4], content)
    assert "layers with weights of" in caught.value.reason
