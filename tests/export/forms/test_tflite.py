"""ONNX to TFLite."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from landmint.export.forms import tflite as room
from landmint.export.forms.tflite import export, spread_hard_sigmoid
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError


def run_onnx(model: onnx.ModelProto, images: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": images}), strict=True))


@pytest.fixture
def images() -> Any:
    return np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)


def test_spread_hard_sigmoid_computes_the_same(pip_onnx: Path, images: Any) -> None:
    model = onnx.load(pip_onnx)
    before = run_onnx(model, images)
    spread_hard_sigmoid(model.graph)
    onnx.checker.check_model(model, full_check=True)
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators["HardSigmoid"] == 0 and operators["Clip"] == 1
    for name, found in run_onnx(model, images).items():
        np.testing.assert_allclose(found, before[name], atol=1e-6)


def test_failed_conversion_is_one_clear_error(
    pip_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_worker.py").write_text("raise SystemExit('Foo OP is not yet implemented')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(room, "_WORKER", "failing_worker")
    with pytest.raises(LandmintError, match="Foo OP is not yet implemented") as caught:
        export(pip_onnx, {"float32": tmp_path / "float32.tflite"})
    assert caught.value.fact == "onnx2tf could not convert float32.onnx to TFLite"


@pytest.mark.slow
def test_tflite_keeps_names_layout_and_values(
    pip_onnx: Path, images: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {kind: tmp_path / f"{kind}.tflite" for kind in ("float32", "float16")}
    export(pip_onnx, files)
    assert capfd.readouterr() == ("", "")
    expected = run_onnx(onnx.load(pip_onnx), images)
    contract = read_contract(pip_onnx).with_layout("NHWC")
    for precision, tolerance in (("float32", 1e-5), ("float16", 5e-3)):
        file = files[precision]
        assert read_contract(file) == contract
        session = load_engine("litert").load(file, contract, threads=1)
        found = session.run(np.ascontiguousarray(np.moveaxis(images, 1, -1)))
        assert list(found) == list(expected)
        for name, value in expected.items():
            values = np.moveaxis(np.asarray(found[name]), -1, 1)
            np.testing.assert_allclose(values, value, atol=tolerance)
        # One partition: a gate that XNNPACK leaves out would make it two.
        assert "XNNPACK, 1 partition" in session.executed_precision
    assert files["float16"].stat().st_size < files["float32"].stat().st_size
