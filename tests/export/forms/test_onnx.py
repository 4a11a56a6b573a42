"""The one graph that every other form is made from."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from landmint.export.forms.onnx import OPSET, check_fit, to_onnx
from landmint.export.lint.general import UNFIT
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.train.models import ModelConfig, create_model
from landmint.train.models.base import LandmarkModel


def test_graph_is_static_folded_and_named_by_the_contract(
    tiny: LandmarkModel, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.onnx"
    to_onnx(tiny, path)
    model = onnx.load(path)
    assert model.opset_import[0].version == OPSET
    assert [value.name for value in model.graph.input] == ["image"]
    assert [v.name for v in model.graph.output] == [o.name for o in tiny.contract.outputs]
    operators = [node.op_type for node in model.graph.node]
    assert not set(operators) & set(UNFIT)
    assert operators.count("HardSwish") == 1
    assert read_contract(path) == tiny.contract

    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = tiny(images)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for output, found in zip(
        tiny.contract.outputs, session.run(None, {"image": images.numpy()}), strict=True
    ):
        np.testing.assert_allclose(found, expected[output.name].numpy(), atol=1e-5)


def test_pixel_shuffle_is_one_operator(tmp_path: Path) -> None:
    config = ModelConfig(
        name="mobilefan", backbone="mobilenetv2_050", decoder="shuffle", input_size=32
    )
    torch.manual_seed(0)
    model = create_model(config, np.full((68, 2), 0.5)).eval()
    path = tmp_path / "shuffle.onnx"
    to_onnx(model, path)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("DepthToSpace") == 3 and "Transpose" not in operators
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)["heatmaps"].numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_file_tells_nothing_of_this_machine(pip_onnx: Path) -> None:
    content = pip_onnx.read_bytes()
    assert str(Path(torch.__file__).parents[1]).encode() not in content
    assert str(Path(__file__).parents[3]).encode() not in content


def test_same_network_gives_the_same_bytes_and_is_left_alone(
    pip_net: LandmarkModel, pip_onnx: Path, tmp_path: Path
) -> None:
    pip_net.train()
    before = {name: value.clone() for name, value in pip_net.state_dict().items()}
    to_onnx(pip_net, tmp_path / "again.onnx")
    assert pip_net.training
    pip_net.eval()
    assert all(torch.equal(value, before[name]) for name, value in pip_net.state_dict().items())
    assert (tmp_path / "again.onnx").read_bytes() == pip_onnx.read_bytes()


def test_unfolded_operator_is_refused(pip_net: LandmarkModel, pip_onnx: Path) -> None:
    model = onnx.load(pip_onnx)
    model.graph.node.append(helper.make_node("Identity", ["cls"], ["copy"], "copy"))
    with pytest.raises(LandmintError, match="Identity is not folded away"):
        check_fit(model, pip_net.contract)


def test_dynamic_shape_is_refused(pip_net: LandmarkModel, pip_onnx: Path) -> None:
    model = onnx.load(pip_onnx)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    with pytest.raises(LandmintError, match="image: has no static shape"):
        check_fit(model, pip_net.contract)


def test_output_that_breaks_the_contract_is_refused(pip_net: LandmarkModel, pip_onnx: Path) -> None:
    model = onnx.load(pip_onnx)
    model.graph.output[1].name = "offset"
    with pytest.raises(LandmintError, match="offset"):
        check_fit(model, pip_net.contract)
