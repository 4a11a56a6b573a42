"""An IR without what OpenVINO infers and nobody asks for computes the same bits."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import openvino
import pytest

from landmint.export import embed
from landmint.export.forms import openvino as room
from landmint.export.forms.openvino import export


def run(xml: Path) -> list[Any]:
    compiled = openvino.Core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    return list(compiled(image).values())


def test_a_slim_ir_returns_the_same_bits(
    pip_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slim, full = tmp_path / "slim.xml", tmp_path / "full.xml"
    export(pip_onnx, {"float32": slim})
    with monkeypatch.context() as patch:
        patch.setattr(room, "_share_constants", lambda model: None)
        patch.setattr(room, "_shorten_names", lambda model: None)
        patch.setattr(embed, "_drop_shapes", lambda root: None)
        export(pip_onnx, {"float32": full})
    assert slim.stat().st_size < 0.8 * full.stat().st_size
    for found, expected in zip(run(slim), run(full), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_ir_holds_no_shapes_but_those_of_input_and_constants(
    pip_onnx: Path, tmp_path: Path
) -> None:
    graph = tmp_path / "model.xml"
    export(pip_onnx, {"float32": graph})
    assert not list(ElementTree.parse(graph).getroot().iterfind(".//dim"))
    for node in openvino.Core().read_model(graph).get_ordered_ops():
        assert all(output.get_partial_shape().is_static for output in node.outputs())


def test_equal_constants_are_one_and_tensors_keep_their_names(
    pip_onnx: Path, tmp_path: Path
) -> None:
    graph = tmp_path / "model.xml"
    export(pip_onnx, {"float32": graph})
    nodes = openvino.Core().read_model(graph).get_ordered_ops()
    small = [n.get_data() for n in nodes if n.get_type_name() == "Constant"]
    keys = [(one.dtype, one.shape, one.tobytes()) for one in small if one.size < 100]
    assert len(keys) == len(set(keys))
    layers = [n for n in nodes if n.get_type_name() == "Convolution"]
    assert layers and all(n.get_friendly_name().startswith("node_") for n in layers)
