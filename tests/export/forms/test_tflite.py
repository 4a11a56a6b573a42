"""ONNX to TFLite."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from landmint.export.forms import tflite as room
from landmint.export.forms.tflite import export, give_four_axes, spread_hard_sigmoid
from landmint.runtime.contract import Output
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


ONE_CELL = """<ir_version: 9, opset_import: ["" : 20]>
    net (float[1, 3, 4, 4] image) => (float[1, 8, 1, 1] y) {
        a = Conv <kernel_shape = [4, 4]> (image, w) b = Mul (a, s) c = Add (b, t)
        y = Relu (c) }"""
ELSEWHERE = """<ir_version: 9, opset_import: ["" : 20]>
    net (float[1, 4, 8, 8] image) => (float[1, 4, 5, 5] y) {
        soft = Gelu (image) y = GridSample (soft, g) }"""


def small(text: str) -> onnx.ModelProto:
    """A graph of the text, with the constants that it names."""
    rng = np.random.default_rng(0)
    shapes = {"w": (8, 3, 4, 4), "s": (8, 1, 1), "t": (8, 1, 1), "g": (1, 5, 5, 2)}
    model = onnx.parser.parse_model(text)
    read = {name for node in model.graph.node for name in node.input}
    for name, shape in shapes.items():
        if name in read:
            values = rng.uniform(-0.9, 0.9, shape).astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    for node in model.graph.node:
        node.name = node.output[0]
    return onnx.shape_inference.infer_shapes(model)


def test_a_constant_of_each_channel_has_four_axes_where_it_meets_a_map() -> None:
    model = small(ONE_CELL.replace("}", "e = Mul (s, t) }"))
    images = np.random.default_rng(1).normal(size=(1, 3, 4, 4)).astype(np.float32)
    before = run_onnx(model, images)
    give_four_axes(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(run_onnx(model, images)["y"], before["y"], rtol=1e-6)
    mul, add, alone = (node for node in model.graph.node if node.name in ("b", "c", "e"))
    dims = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    assert dims[mul.input[1]] == dims[add.input[1]] == 4
    assert [dims[name] for name in alone.input] == [3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("text", [ONE_CELL, ELSEWHERE], ids=["a map of one cell", "by others"])
def test_what_onnx2tf_has_to_be_helped_with_or_writes_by_other_operators(
    text: str, tmp_path: Path
) -> None:
    model = small(text)
    shapes = {v.name: v.type.tensor_type.shape for v in (*model.graph.input, *model.graph.output)}
    image, y = (tuple(axis.dim_value for axis in shapes[name].dim) for name in ("image", "y"))
    source, target = tmp_path / "net.onnx", tmp_path / "net.tflite"
    onnx.save(model, source)
    room._convert(source, ["image"], (Output("y", y[1:]),), {"float32": str(target)})
    maps = np.random.default_rng(1).normal(size=image).astype(np.float32)
    run = Interpreter(str(target)).get_signature_runner("serving_default")
    found = run(image=np.moveaxis(maps, 1, -1))["y"]
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), run_onnx(model, maps)["y"], atol=1e-5)
