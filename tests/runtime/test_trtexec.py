"""TensorRT by trtexec, against a stand-in of releases 10 and 11: no NVIDIA GPU is at hand."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from landmint.runtime import latency
from landmint.runtime.contract import Contract
from landmint.runtime.engines import cuda_driver, load_engine
from landmint.runtime.engines.engine import EngineSession, Operator
from landmint.runtime.engines.tensorrt_layers import against_decision, precision_of, read_layers
from landmint.runtime.engines.tensorrt_plans import gpu_name
from landmint.runtime.engines.trtexec import OPTIONS, Outcome, Trtexec, find_trtexec
from landmint.runtime.errors import LandmintError, NotMeasuredError
from tests.targets.conftest import CONTRACT
from tests.targets.jetson import pretend_jetson, write_graph

IMAGE = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
TEN, ELEVEN = 100300, 110100
Install = Callable[[int], Path]
pytestmark = pytest.mark.slow  # every call of the stand-in imports ONNX Runtime


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install the stand-in of a version, and nothing else of TensorRT; returns its journal."""
    tools, journal = tmp_path / "tools", tmp_path / "journal"
    tools.mkdir()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(version: int) -> Path:
        pretend_jetson(tools, version, journal)
        return journal

    return make


def load(tmp_path: Path, quantised: bool = False) -> EngineSession:
    write_graph(tmp_path / "graph.onnx", quantised, CONTRACT)
    return load_engine("tensorrt").load(tmp_path / "graph.onnx", CONTRACT, threads=1)


@pytest.mark.parametrize(("version", "name"), [(TEN, "10.3.0"), (ELEVEN, "11.1.0")])
@pytest.mark.parametrize(("quantised", "precision"), [(False, "f16"), (True, "i8")])
def test_it_computes_what_onnx_runtime_computes(
    version: int, name: str, quantised: bool, precision: str, install: Install, tmp_path: Path
) -> None:
    install(version)
    session = load(tmp_path, quantised)
    assert load_engine("tensorrt").version == f"trtexec {name}"
    reference = onnxruntime.InferenceSession(
        tmp_path / "graph.onnx", providers=["CPUExecutionProvider"]
    )
    (expected,) = reference.run(None, {"image": IMAGE})
    np.testing.assert_allclose(session.run(IMAGE)["heatmaps"], expected, rtol=1e-5, atol=1e-5)
    assert session.executed_precision == precision
    reformat, convolution = session.operators
    assert reformat == Operator("Reformat", "unknown", 0.125, name="Reformat")
    assert convolution.name == "conv + relu" and convolution.kernel == "sm80_xmma_fprop"
    assert (convolution.kind, convolution.precision) == ("Convolution", precision)


def test_each_version_is_told_what_it_knows(install: Install, tmp_path: Path) -> None:
    calls = {}
    for version in (TEN, ELEVEN):
        journal = install(version)
        load(tmp_path)
        load(tmp_path)
        calls[version] = journal.read_text().splitlines()
        journal.unlink()
    for lines in calls.values():
        (build,) = (line for line in lines if "--onnx=" in line)  # the second load takes the plan
        assert "--timingCacheFile=" in build and "--skipInference" in build
    assert "--stronglyTyped" in "".join(calls[TEN])
    for option in OPTIONS[11].run:
        assert option not in "".join(calls[TEN])
        assert all(option in line for line in calls[ELEVEN] if "--loadEngine" in line)
    assert "--int8" not in "".join(calls[TEN]) and "--fp16" not in "".join(calls[TEN])
    kept = [path.suffix for path in (tmp_path / "cache/landmint/tensorrt").iterdir()]
    assert sorted(kept) == [".engine", ".engine", ".timing", ".timing"]


def test_it_is_timed_by_trtexec(install: Install, tmp_path: Path) -> None:
    install(ELEVEN)
    session = load(tmp_path)
    config = latency.LatencyConfig(samples=60, launches=2, seconds=60, warm_runs=50, warm_ms=1)
    warm_up = latency.warm_up(session, [IMAGE], config)
    assert warm_up.runs >= 50 and warm_up.first_ms > 0.5  # the stand-in's copies take half a ms
    block = latency.time_block(session, [IMAGE], config)
    assert len(block.samples_ms) == 30
    assert min(block.samples_ms) > 0.5
    assert block.cpu_ms == pytest.approx(30 * 0.125)
    slow = latency.LatencyConfig(samples=10**6, launches=2, seconds=1e-9, block_runs=7, warm_ms=1)
    assert len(latency.time_block(session, [IMAGE], slow).samples_ms) == 7


def test_a_plan_of_another_version_is_refused_in_words(install: Install, tmp_path: Path) -> None:
    install(ELEVEN)
    (tmp_path / "int8.engine").write_bytes(b"plan of 100300\n")
    with pytest.raises(LandmintError, match="Version tag mismatch.*Engine could not be created"):
        load_engine("tensorrt").load(tmp_path / "int8.engine", CONTRACT, threads=1)


def test_what_does_not_fit_is_refused(install: Install, tmp_path: Path) -> None:
    install(TEN)
    (tmp_path / "broken.onnx").write_bytes(b"garbage")
    with pytest.raises(LandmintError, match="Failed to parse onnx file"):
        load_engine("tensorrt").load(tmp_path / "broken.onnx", CONTRACT, threads=1)
    assert not list((tmp_path / "cache" / "landmint" / "tensorrt").glob("*.engine"))
    write_graph(tmp_path / "graph.onnx", False, CONTRACT)
    other = Contract.from_json({**CONTRACT.to_json(), "input_size": 64})
    with pytest.raises(LandmintError, match="takes an input of shape"):
        load_engine("tensorrt").load(tmp_path / "graph.onnx", other, threads=1)
    with pytest.raises(LandmintError, match="does not exist"):
        load_engine("tensorrt").load(tmp_path / "nothing.onnx", CONTRACT, threads=1)


def test_an_older_tensorrt_is_not_measured(install: Install) -> None:
    install(8601)
    with pytest.raises(NotMeasuredError, match=r"TensorRT 8.6.1\n.*TensorRT 10 and 11"):
        load_engine("tensorrt")


def test_a_program_that_is_no_trtexec(tmp_path: Path) -> None:
    with pytest.raises(NotMeasuredError, match="does not run"):
        Trtexec(str(tmp_path / "trtexec"))
    with pytest.raises(NotMeasuredError, match="tells no version"):
        Trtexec("/bin/true")


def test_python_comes_first_and_rtx_last(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_driver, "_LIBRARY", "libcuda-that-is-not-there.so.1")
    install(TEN)
    assert load_engine("tensorrt").version == "trtexec 10.3.0"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_trtexec() == ""


def test_numbers_that_are_none_stay_so() -> None:
    values = '"values" : [ nan, -nan, -inf, 1 ]'
    text = f'[ {{ "name" : "/nan/inf"\n , "dimensions" : "1x4"\n , {values} }} ]'
    ((name, tensor),) = Outcome("", {"--exportOutput": text}).outputs.items()
    assert name == "/nan/inf"
    np.testing.assert_array_equal(tensor, np.array([[np.nan, np.nan, -np.inf, 1]], np.float32))


@pytest.mark.parametrize("text", ["", "[1]", '[{"name": "x"}]', "[" * 10**5])
def test_what_is_no_output_is_refused(text: str) -> None:
    with pytest.raises(LandmintError, match="--exportOutput of trtexec is not as expected"):
        print(Outcome("", {"--exportOutput": text}).outputs)


def test_layers_are_held_against_the_decision() -> None:
    def layer(name: str, kind: str, datatype: str, metadata: str = "") -> dict[str, object]:
        inputs = [{"Name": "x", "Format/Datatype": datatype}]
        return {"Name": name, "LayerType": kind, "Inputs": inputs, "Metadata": metadata}

    nodes = "[ONNX Layer: /a/Conv]\x1e[ONNX Layer: /a/Relu]"
    described = [
        "only a name",
        layer("x", "CaskConvolution", "Half", nodes),
        layer("/b/Gemm", "gemm", "Row major Int8 format"),
        layer("p", "PointWise", "Half"),
    ]
    layers = read_layers(json.dumps({"Layers": described}), {"x": 0.5})
    assert precision_of(layers) == "f16 1, i8 1"
    assert [layer.ms for layer in layers] == [0.5, None, None]
    decided = "float layers"
    assert against_decision({}, layers) == against_decision({decided: "/a/Conv"}, layers) == ""
    assert against_decision({decided: "1 of 2: /a/Conv"}, layers) == ""
    assert against_decision({decided: "0 of 2: none"}, layers) == "/a/Conv + /a/Relu in f16"
    departed = against_decision({decided: "1 of 2: /b/Gemm"}, layers)
    assert departed == "/a/Conv + /a/Relu in f16, /b/Gemm in i8"
    many = [Operator("Convolution", "f16", name=f"c{i}") for i in range(5)]
    assert against_decision({decided: "0 of 5: none"}, many).endswith("c2 in f16 and 2 more")


def test_the_gpu_by_its_driver_or_by_the_board(tmp_path: Path) -> None:
    assert gpu_name(tmp_path) == ""
    model = tmp_path / "proc/device-tree/model"
    model.parent.mkdir(parents=True)
    model.write_text("NVIDIA Jetson Orin Nano Developer Kit\0")
    assert gpu_name(tmp_path) == "NVIDIA Jetson Orin Nano Developer Kit"
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information"
    card.parent.mkdir(parents=True)
    card.write_text("Model: \t\t NVIDIA H200\nIRQ: 1\n")
    assert gpu_name(tmp_path) == "NVIDIA H200"
