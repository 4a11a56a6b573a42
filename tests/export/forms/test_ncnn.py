"""What pnnx leaves open is filled in: names, shapes, a layer that ncnn calls otherwise."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from landmint.export.forms.ncnn import convert, export
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError
from landmint.runtime.ncnn_param import parse
from landmint.train.models.base import LandmarkModel

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")
pytestmark = pytest.mark.slow

CONTRACT = Contract(
    "68",
    input_size=8,
    crop=CropRule((1.2, 1.2), True),
    mean=(0.0,) * 3,
    std=(255.0,) * 3,
    head=Head("heatmap", "argmax", 1.0),
    outputs=(Output("heatmaps", (68, 16, 16)),),
)


def graph(body: str, path: Path) -> Path:
    """Writes a graph from an image (1, 3, 8, 8) to heatmaps (1, 68, 16, 16)."""
    model = parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 18]>
        net (float[1, 3, 8, 8] image) => (float[1, 68, 16, 16] heatmaps) {{ {body} }}"""
    )
    weight = np.random.default_rng(0).normal(size=(272, 3, 1, 1)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_a_pixel_shuffle_is_exact_in_both_orders(mode: str, tmp_path: Path) -> None:
    body = f'a = Conv (image, w) heatmaps = DepthToSpace <blocksize = 2, mode = "{mode}"> (a)'
    source, target = graph(body, tmp_path / "net.onnx"), tmp_path / "net.param"
    convert(source, target, CONTRACT)
    image = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(source).run(None, {"image": image})
    session = load_engine("ncnn").load(target, CONTRACT, threads=1)
    np.testing.assert_allclose(session.run(image)["heatmaps"], expected, atol=1e-5)


def test_an_operator_that_ncnn_lacks_is_named(tmp_path: Path) -> None:
    body = "a = Conv (image, w) b = Softsign (a) heatmaps = DepthToSpace <blocksize = 2> (b)"
    with pytest.raises(LandmintError, match="has no layer Softsign"):
        convert(graph(body, tmp_path / "net.onnx"), tmp_path / "net.param", CONTRACT)
    assert not (tmp_path / "net.param").exists()


def test_a_file_that_pnnx_cannot_read_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no graph")
    with pytest.raises(LandmintError, match=r"pnnx could not convert net\.onnx"):
        convert(tmp_path / "net.onnx", tmp_path / "net.param", CONTRACT)


def test_both_precisions_keep_names_shape_and_contract(
    pip_onnx: Path, pip_net: LandmarkModel, tmp_path: Path
) -> None:
    files = {name: tmp_path / f"{name}.param" for name in ("float32", "float16")}
    export(pip_onnx, files)
    contract = pip_net.contract
    for path in files.values():
        assert read_contract(path) == contract
        layers, _ = parse(path.read_text())
        (entrance,) = (layer for layer in layers if layer.kind == "Input")
        side = str(contract.input_size)
        assert entrance.outputs == (contract.input_name,)
        assert entrance.settings == {"0": side, "1": side, "2": "3"}
        made = {tensor for layer in layers for tensor in layer.outputs}
        assert {output.name for output in contract.outputs} < made
    whole, half = (path.with_suffix(".bin").stat().st_size for path in files.values())
    assert half < 0.6 * whole


def test_the_contract_changes_nothing_for_ncnn(
    pip_onnx: Path, pip_net: LandmarkModel, tmp_path: Path
) -> None:
    bare, carrier = tmp_path / "bare.param", tmp_path / "carrier.param"
    convert(pip_onnx, bare, pip_net.contract)
    export(pip_onnx, {"float32": carrier})
    assert carrier.read_text().startswith(bare.read_text()) and len(carrier.read_text()) > 1000
    size = pip_net.contract.input_size
    image = np.random.default_rng(1).normal(size=(1, 3, size, size)).astype(np.float32)
    engine = load_engine("ncnn")
    plain, carrying = (
        engine.load(path, pip_net.contract, threads=1).run(image) for path in (bare, carrier)
    )
    for name, values in plain.items():
        np.testing.assert_allclose(carrying[name], values, atol=1e-6)
