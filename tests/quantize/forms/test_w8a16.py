"""16-bit Q/DQ pairs: the scales of the decision, and the landmarks that others' tool finds."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from landmint.export.graphs import WEIGHTED, Wiring
from landmint.quantize.decide.ranges import observe, outermost, run_all
from landmint.quantize.forms.onnx import quantize, quantize_w8a16
from landmint.quantize.job import Job
from landmint.runtime.contract import Contract
from landmint.runtime.engines import load_engine
from tests.quantize.errors import relative_error

Graphs = Callable[[str], onnx.ModelProto]
Contracts = Callable[[str], Contract]
Tensors = NDArray[np.float32]
Scales = dict[str, tuple[float, int, np.dtype[Any]]]


def scales_of(model: onnx.ModelProto) -> Scales:
    """Scale, zero point and type of every activation that has a pair."""
    wiring, scales = Wiring(model.graph), {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            scale, zero = (wiring.array(name) for name in node.input[1:])
            assert scale is not None and zero is not None
            name = node.input[0]
            # An output of the graph is called otherwise before its pair.
            plain = name.removesuffix("_QuantizeLinear_Input")
            scales[plain] = float(scale), int(zero), zero.dtype
    return scales


@pytest.fixture
def job(
    kind: str,
    graph_of: Graphs,
    contract_of: Contracts,
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> Callable[..., Job]:
    source = tmp_path / "float32.onnx"
    onnx.save(graph_of(kind), source)
    contract = contract_of(kind)

    def make(**settings: object) -> Job:
        settings = {"calibrator": "min_max", **settings}
        return job_of(source, tmp_path / "w8a16.onnx", tensors, contract, **settings)

    return make


class Faces(CalibrationDataReader):  # type: ignore[misc]
    """Feeds faces to ONNX Runtime's calibrator."""

    def __init__(self, name: str, tensors: Tensors) -> None:
        self.feeds: Iterator[dict[str, Any]] = iter([{name: face[None]} for face in tensors])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.feeds, None)


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_the_tool_of_others_finds_the_same_scales_and_outputs(
    job: Callable[..., Job], activations: str, tensors: Tensors, tmp_path: Path
) -> None:
    """ONNX Runtime's quantiser with its own calibration, on the graph as it was exported."""
    ours = job(activations=activations)
    quantize_w8a16(ours)
    signed = activations == "int8"
    theirs = tmp_path / "theirs.onnx"
    quantize_static(
        ours.source,
        theirs,
        Faces(ours.contract.input_name, tensors),
        quant_format=QuantFormat.QDQ,
        calibrate_method=CalibrationMethod.MinMax,
        per_channel=True,
        activation_type=QuantType.QInt16 if signed else QuantType.QUInt16,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=sorted({node.op_type for node in ours.graph.graph.node}),
        extra_options={"ActivationSymmetric": signed},
    )
    mine, other = (scales_of(onnx.load(path)) for path in (ours.target, theirs))
    same = same_by_any_tool(ours, tensors) & other.keys()
    assert len(same) > 5 and mine.keys() == other.keys()
    for name in same:
        assert mine[name][0] == pytest.approx(other[name][0], rel=1e-4)
        assert mine[name][1:] == other[name][1:]
    left, right = (run_all(onnx.load(path), tensors) for path in (ours.target, theirs))
    for name in left.keys() & same:
        assert relative_error(right[name], left[name]) < 5e-3


def same_by_any_tool(job: Job, tensors: Tensors) -> set[str]:
    """Tensors whose range is that of their values.

    Not so are those of which hard-swish, a gate or the decode looks at a part; and ONNX Runtime
    gives the input of a ReLU the range of its output.
    """
    before_relu = {node.input[0] for node in job.graph.graph.node if node.op_type == "Relu"}
    return {
        name
        for name, pairs in observe(job.graph, tensors).items()
        if name not in before_relu and np.allclose(job.decision.activations[name], outermost(pairs))
    }


def test_scales_are_those_of_the_range(job: Callable[..., Job]) -> None:
    asked = job()
    notes = quantize_w8a16(asked)
    assert notes == {"activations": "uint16", "weights": "int8", "float layers": "none"}
    for name, (scale, zero, dtype) in scales_of(onnx.load(asked.target)).items():
        low, high = asked.decision.activations[name]
        assert scale == pytest.approx((high - low) / 65535, rel=1e-4)
        assert zero == pytest.approx(-low / (high - low) * 65535, abs=0.51)
        assert dtype == np.uint16
    signed = job(activations="int8")
    assert quantize_w8a16(signed)["activations"] == "int16"
    for name, (scale, zero, dtype) in scales_of(onnx.load(signed.target)).items():
        top = max(map(abs, signed.decision.activations[name]))
        assert scale == pytest.approx(2 * top / 65535, rel=1e-4)
        assert (zero, dtype) == (0, np.dtype(np.int16))


def test_the_graph_keeps_its_operators_and_every_layer_has_int8_weights(
    job: Callable[..., Job],
) -> None:
    asked = job()
    quantize_w8a16(asked)
    made = onnx.load(asked.target)
    onnx.checker.check_model(made, full_check=True)
    assert {opset.domain for opset in made.opset_import} == {""}
    pairs = ("QuantizeLinear", "DequantizeLinear")
    skipped = (*pairs, "Relu")  # unsigned levels without any below zero are a ReLU themselves
    kinds = Counter(node.op_type for node in made.graph.node if node.op_type not in skipped)
    plain = Counter(node.op_type for node in asked.graph.graph.node if node.op_type != "Relu")
    assert kinds == plain
    wiring = Wiring(made.graph)
    layers = [node for node in made.graph.node if node.op_type in WEIGHTED]
    for layer in layers:
        levels = wiring.array(wiring.maker[layer.input[1]].input[0])
        assert levels is not None and levels.dtype == np.int8
    assert len(layers) > 5


def test_it_runs_and_lies_closer_to_float_than_int8(
    job: Callable[..., Job], tensors: Tensors
) -> None:
    asked = job()
    expected = run_all(asked.graph, tensors)
    errors = []
    for make in (quantize, quantize_w8a16):
        make(asked)
        session = load_engine("onnxruntime").load(asked.target, asked.contract, threads=1)
        found = {
            output.name: np.concatenate([session.run(face[None])[output.name] for face in tensors])
            for output in asked.contract.outputs
        }
        errors.append(np.mean([relative_error(expected[name], found[name]) for name in found]))
    assert errors[1] < errors[0] or errors[1] < 0.02
    assert session.executed_precision == "f32"


def test_a_chosen_layer_keeps_its_float_weight(job: Callable[..., Job]) -> None:
    asked = job(float_layers=("thin",))
    assert quantize_w8a16(asked)["float layers"] == "thin"
    wiring = Wiring(onnx.load(asked.target).graph)
    layer = next(node for node in wiring.maker.values() if node.name == "thin")
    assert wiring.array(layer.input[1]) is not None
