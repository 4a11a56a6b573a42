"""A foreign ONNX file becomes the contract's graph, and computes what the file computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper

from landmint.export.importing.imported import read_imported
from landmint.runtime.decode import decode
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError
from tests.export.importing.conftest import SIZE, foreign_onnx, write_contract

Rows = NDArray[np.floating[Any]]


def _pairs(raw: Rows) -> Rows:
    pairs: Rows = raw.reshape(68, -1)[:, :2]
    return pairs


CASES: dict[str, tuple[dict[str, Any], str, Callable[[Rows], Rows]]] = {
    "plain": ({}, "", _pairs),
    "opset 11": ({"opset": 11}, "", _pairs),
    "opset 21": ({"opset": 21}, "", _pairs),
    "float16": ({"half": True}, "", _pairs),
    "channels last": ({"layout": "NHWC"}, "", _pairs),
    "open side": ({"side": "side"}, "", _pairs),
    "batch 1": ({"batch": 1}, "", _pairs),
    "rows": ({"shape": (68, 2)}, "", _pairs),
    "a depth, in pixels": (
        {"shape": (1, 1, 204)},
        'unit = "pixels"',
        lambda raw: (_pairs(raw) + np.float32(0.5)) / SIZE,
    ),
    "planar, centred": (
        {"shape": (2, 68)},
        'order = "planar"\nunit = "centred"',
        lambda raw: (raw.reshape(2, 68).T + 1) / 2,
    ),
}


def _picture(seed: int = 0) -> Rows:
    noise = np.random.default_rng(seed).normal(size=(1, 3, SIZE, SIZE))
    return noise.astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_the_graph_computes_what_the_file_computes(case: str, tmp_path: Path) -> None:
    settings, extra, points_of = CASES[case]
    path, layout = tmp_path / "net.onnx", settings.get("layout", "NCHW")
    foreign_onnx(path, **settings)
    origin = read_imported(path, write_contract(tmp_path / "c.toml", layout, extra))
    origin.write_source(tmp_path / "made.onnx")
    session = load_engine("onnxruntime").load(tmp_path / "made.onnx", origin.contract, threads=1)
    picture = _picture()
    points, confidence = decode(origin.contract, session.run(picture))

    own = picture.transpose(0, 2, 3, 1) if layout == "NHWC" else picture
    kind = np.float16 if settings.get("half") else np.float32
    raw = onnxruntime.InferenceSession(path).run(None, {"data": own.astype(kind)})
    near = 0.1 if settings.get("half") else 1e-3
    expected = points_of(raw[0].astype(np.float32)) * SIZE - 0.5
    np.testing.assert_allclose(points[0], expected, atol=near)
    np.testing.assert_allclose(confidence, raw[1], atol=1e-2 if settings.get("half") else 1e-5)


def test_a_graph_has_names_batch_one_and_no_open_norm(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    foreign_onnx(path)
    read_imported(path, write_contract(tmp_path / "c.toml")).write_source(tmp_path / "made.onnx")
    graph = onnx.load(tmp_path / "made.onnx").graph
    names = [node.name for node in graph.node]
    assert all(names) and len(set(names)) == len(names)
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    assert [value.name for value in (*graph.input, *graph.output)] == [
        "data",
        "coordinates",
        "confidence",
    ]


def test_tensors_beside_the_file_travel_with_it(tmp_path: Path) -> None:
    model = foreign_onnx(tmp_path / "whole.onnx")
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=64)
    origin = read_imported(path, write_contract(tmp_path / "c.toml"))
    variant = origin.save(tmp_path / "bundle")
    assert variant.files == ("original/net.onnx", "original/net.data", "original/binding.json")
    assert (tmp_path / "bundle/original/net.onnx").read_bytes() == path.read_bytes()
    origin.write_source(tmp_path / "made.onnx")
    assert not onnx.load(tmp_path / "made.onnx").graph.initializer[0].external_data


def _refused(path: Path, contract: Path) -> str:
    with pytest.raises(LandmintError) as error:
        read_imported(path, contract)
    assert error.value.remedy or error.value.choices
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "wording"),
    [(b"", "no sound ONNX"), (b"\x08\x07no", "ONNX file"), (b"{}", "ONNX file")],
)
def test_a_broken_file(content: bytes, wording: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert wording in _refused(path, write_contract(tmp_path / "c.toml"))


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    foreign_onnx(path)
    path.write_bytes(path.read_bytes()[:2000])
    assert "no whole ONNX file" in _refused(path, write_contract(tmp_path / "c.toml"))


def test_missing_files(tmp_path: Path) -> None:
    contract = write_contract(tmp_path / "c.toml")
    assert "does not exist" in _refused(tmp_path / "net.onnx", contract)
    foreign_onnx(tmp_path / "net.onnx")
    assert "--draft" in _refused(tmp_path / "net.onnx", tmp_path / "none.toml")
    assert "can be imported" in _refused(tmp_path / "net.safetensors", contract)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "..\\secret"])
def test_tensors_outside_the_folder(location: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = foreign_onnx(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    wording = _refused(path, write_contract(tmp_path / "c.toml"))
    assert "outside the model's own folder" in wording


def test_a_link_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    model = foreign_onnx(folder / "whole.onnx")
    onnx.save(
        model, folder / "net.onnx", save_as_external_data=True, location="d", size_threshold=0
    )
    (folder / "d").rename(tmp_path / "d")
    contract = write_contract(tmp_path / "c.toml")
    assert "which is missing" in _refused(folder / "net.onnx", contract)
    (folder / "d").symlink_to(tmp_path / "d")
    assert "outside" in _refused(folder / "net.onnx", contract)


def _edited(path: Path, edit: Callable[[onnx.ModelProto], object]) -> Path:
    model = foreign_onnx(path)
    edit(model)
    path.write_bytes(model.SerializeToString())
    return path


def _custom(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    model.graph.node[1].domain = "com.example"


def _quantised(model: onnx.ModelProto) -> None:
    graph = model.graph
    pair = onnx.numpy_helper.from_array
    graph.initializer.append(pair(np.array(0.1, np.float32), "scale"))
    graph.initializer.append(pair(np.array(0, np.int8), "zero"))
    ends = ["data", "scale", "zero"], ["q"]
    graph.node.insert(0, helper.make_node("QuantizeLinear", *ends))


def _two_inputs(model: onnx.ModelProto) -> None:
    extra = helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1])
    model.graph.input.append(extra)


@pytest.mark.parametrize(
    ("edit", "wording"),
    [
        (_custom, "operators of its own: com.example.Relu"),
        (_quantised, "quantised already"),
        (_two_inputs, "which input is the picture"),
    ],
)
def test_what_cannot_be_worked_with(
    edit: Callable[[onnx.ModelProto], object], wording: str, tmp_path: Path
) -> None:
    path = _edited(tmp_path / "net.onnx", edit)
    assert wording in _refused(path, write_contract(tmp_path / "c.toml"))


@pytest.mark.parametrize(
    ("settings", "wording"),
    [
        ({"opset": 9}, "opset 9"),
        ({"batch": 4}, "4 pictures at once"),
        ({"side": 48}, "[1, 3, 48, 48]"),
        ({"layout": "NHWC"}, "[1, 32, 32, 3]"),
        ({"shape": (137,)}, "137 numbers"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], wording: str, tmp_path: Path) -> None:
    foreign_onnx(tmp_path / "net.onnx", **settings)
    assert wording in _refused(tmp_path / "net.onnx", write_contract(tmp_path / "c.toml"))


@pytest.mark.parametrize(
    ("old", "new", "wording"),
    [
        ('"points"', '"landmarks"', "no output 'landmarks'"),
        ('"68"', '"69"', "unknown markup"),
        ("size = 32", "sise = 32", "sise"),
        ("scale = 1.2", "scale = -1", "crop.scale"),
        ('kind = "coordinates"', 'kind = "heatmap"', "need a decode"),
        ("[head]", "[head", "cannot be read as a contract"),
        ('color = "BGR"', 'color = "GBR"', "color"),
        ("std = [128.0, 128.0, 128.0]", "std = [0, 0, 0]", "std"),
    ],
)
def test_a_contract_with_a_mistake(old: str, new: str, wording: str, tmp_path: Path) -> None:
    foreign_onnx(tmp_path / "net.onnx")
    contract = write_contract(tmp_path / "c.toml")
    text = contract.read_text(encoding="utf-8")
    assert old in text
    contract.write_text(text.replace(old, new), encoding="utf-8")
    message = _refused(tmp_path / "net.onnx", contract)
    assert wording in message
    assert "export the model again" not in message
