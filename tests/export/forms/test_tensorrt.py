"""The strongly typed graph, and the build step where TensorRT is and is not."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from landmint.export.forms.onnx import to_onnx
from landmint.export.forms.tensorrt import build_engine, to_float16, to_tensorrt
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.train.models.base import LandmarkModel


def test_graph_is_float16_behind_float32_borders(tiny: LandmarkModel, tmp_path: Path) -> None:
    plain, typed = tmp_path / "float32.onnx", tmp_path / "float16.onnx"
    to_onnx(tiny, plain)
    to_tensorrt(plain, typed)
    graph = onnx.load(typed).graph
    assert {v.type.tensor_type.elem_type for v in graph.value_info} == {TensorProto.FLOAT16}
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    assert read_contract(typed) == tiny.contract

    images = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    exact, half = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
            None, {"image": images}
        )
        for path in (plain, typed)
    )
    for expected, found in zip(exact, half, strict=True):
        assert found.dtype == np.float32
        assert 0 < np.abs(found - expected).max() < 5e-3 * np.abs(expected).max()


def test_weight_beyond_float16_is_refused(pip_onnx: Path) -> None:
    model = onnx.load(pip_onnx)
    weight = next(t for t in model.graph.initializer if len(t.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1e8, weight.name))
    with pytest.raises(LandmintError, match="float16 ends at 65504"):
        to_float16(model)


def test_without_tensorrt_the_reason_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = build_engine(tmp_path / "model.onnx", tmp_path / "model.engine")
    assert reason == "tensorrt is not installed here, nor is trtexec"


def trtexec(folder: Path, body: str) -> None:
    program = folder / "trtexec"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def test_trtexec_builds_what_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    engine = tmp_path / "out" / "model.engine"
    trtexec(tmp_path, 'for a; do case $a in --saveEngine=*) echo "$*" > "${a#*=}";; esac; done')
    assert build_engine(tmp_path / "model.onnx", engine) is None
    options = engine.read_text()
    assert f"--onnx={tmp_path / 'model.onnx'}" in options and "--stronglyTyped" in options
    assert "--fp16" not in options and "--int8" not in options


def test_trtexec_that_fails_leaves_a_reason_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    trtexec(tmp_path, 'echo "[E] no CUDA-capable device is detected" >&2; exit 1')
    reason = build_engine(tmp_path / "model.onnx", tmp_path / "model.engine")
    assert reason is not None and "trtexec failed: [E] no CUDA-capable device" in reason
    assert [file.name for file in tmp_path.iterdir()] == ["trtexec"]


FAKE = """
# As much of TensorRT's releases 10 and 11 as building a plan uses.
from types import SimpleNamespace as Space

__version__ = "11.0"


class ILogger:
    Severity = Space(ERROR="ERROR", INTERNAL_ERROR="INTERNAL_ERROR", WARNING="WARNING")


class Builder:
    def __init__(self, listener):
        self.listener = listener

    def create_network(self, flags):
        return Space(flags=flags, num_layers=0)

    def create_builder_config(self):
        return Space(profiling_verbosity=None)

    def build_serialized_network(self, network, config):
        if b"crash" in network.graph:
            import os
            os.abort()
        if b"refuse" in network.graph:
            self.listener.log("ERROR", "no kernel for layer 7")
            return None
        assert network.flags == 1 << 1 and config.profiling_verbosity == "detailed"
        return b"plan of " + network.graph


class OnnxParser:
    num_errors = 1

    def __init__(self, network, listener):
        self.network = network

    def parse(self, content):
        self.network.graph = content
        return content != b"garbage"

    def get_error(self, index):
        words = dict(desc="not an ONNX file", node_name="", node=0, node_operator="Conv")
        return Space(**{name: lambda text=text: text for name, text in words.items()})


NetworkDefinitionCreationFlag = Space(STRONGLY_TYPED=1)
ProfilingVerbosity = Space(DETAILED="detailed")
"""


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (b"graph", None),
        (b"garbage", "tensorrt 11.0 refused the graph: node 0 (Conv): not an ONNX file"),
        (b"refuse", "tensorrt 11.0 refused the graph: no kernel for layer 7"),
        (b"crash", "it ended with code -6"),
    ],
)
def test_tensorrt_package_builds_or_says_why(
    graph: bytes, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "tensorrt.py").write_text(FAKE)
    monkeypatch.syspath_prepend(package)
    (tmp_path / "model.onnx").write_bytes(graph)
    engine = tmp_path / "model.engine"
    refusal = build_engine(tmp_path / "model.onnx", engine)
    assert refusal == (None if reason is None else f"tensorrt failed: {reason}")
    assert engine.is_file() == (reason is None)
    assert reason or engine.read_bytes() == b"plan of graph"
