"""The contract inside artefacts: what is written is what is read, by us and by the libraries."""

import dataclasses
import json
import re
import zipfile
from pathlib import Path

import onnx
import openvino
import pytest

from landmint.export.embed import write_contract
from landmint.export.forms.openvino import export
from landmint.runtime.contract import Contract
from landmint.runtime.embedded import RT_INFO_PATH, TFLITE_MEMBER, read_contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.mlpackage import CONTRACT_KEY
from landmint.train.models.base import LandmarkModel
from tests.ml_program import apple_model, needs_coremltools

PARAM = "7767517\n2 2\nInput a 0 1 image 0=8 1=8 2=3\nReLU b 1 1 image y\n"
FLATBUFFER = b"\x1c\x00\x00\x00TFL3" + bytes(range(256))
# Of Core ML: a version, a description with an author, and a program that is not looked into.
PROGRAM = b"\x08\x08" + b"\x12\x08\xa2\x06\x05\x1a\x03who" + b"\xb2\x1f\x02\x08\x01"
BARE = {".tflite": FLATBUFFER, ".param": PARAM.encode(), ".mlmodel": PROGRAM}


@pytest.fixture
def artefact(request: pytest.FixtureRequest, pip_onnx: Path, tmp_path: Path) -> Path:
    """A file without a contract, of the kind that the suffix in `request.param` says."""
    path: Path = tmp_path / f"model{request.param}"
    if request.param == ".onnx":
        model = onnx.load(pip_onnx)
        del model.metadata_props[:]
        onnx.save(model, path)
    elif request.param == ".xml":
        openvino.save_model(openvino.Core().read_model(pip_onnx), path)
    else:
        path.write_bytes(BARE[request.param])
    return path


every_kind = pytest.mark.parametrize(
    "artefact", [".onnx", ".xml", ".tflite", ".param", ".mlmodel"], indirect=True
)


@every_kind
def test_contract_comes_back_and_can_be_replaced(artefact: Path, pip_net: LandmarkModel) -> None:
    with pytest.raises(LandmintError, match="carries no contract"):
        read_contract(artefact)
    other = dataclasses.replace(pip_net.contract, layout="NHWC")
    for contract in (pip_net.contract, other):
        write_contract(artefact, contract)
        assert read_contract(artefact) == contract


@pytest.mark.parametrize("artefact", [".onnx", ".xml", ".param", ".mlmodel"], indirect=True)
def test_truncated_file_is_refused(artefact: Path) -> None:
    kept = {".param": 40, ".mlmodel": 8}.get(artefact.suffix, 200)
    artefact.write_bytes(artefact.read_bytes()[:kept])
    with pytest.raises(LandmintError, match="is no whole"):
        read_contract(artefact)


@pytest.mark.parametrize("artefact", [".tflite"], indirect=True)
def test_tflite_keeps_its_bytes_in_front(artefact: Path, pip_net: LandmarkModel) -> None:
    for _ in range(2):
        write_contract(artefact, pip_net.contract)
        assert artefact.read_bytes().startswith(FLATBUFFER)
        with zipfile.ZipFile(artefact) as attached:
            assert attached.namelist() == [TFLITE_MEMBER]


@pytest.mark.parametrize("artefact", [".param"], indirect=True)
def test_ncnn_finds_its_layers_in_front(artefact: Path, pip_net: LandmarkModel) -> None:
    for _ in range(2):
        write_contract(artefact, pip_net.contract)
        text = artefact.read_text()
        assert text.startswith(PARAM)
        assert text.count("\n") == PARAM.count("\n") + 1
    ncnn = pytest.importorskip("ncnn")
    network = ncnn.Net()
    assert network.load_param(str(artefact)) == network.load_param_mem(artefact.read_text()) == 0
    assert network.output_names() == ["y"]


@needs_coremltools
@pytest.mark.parametrize("artefact", [".mlmodel"], indirect=True)
def test_core_ml_keeps_all_else(artefact: Path, pip_net: LandmarkModel) -> None:
    model = apple_model(artefact)
    for _ in range(2):
        write_contract(artefact, pip_net.contract)
    about = apple_model(artefact).description.metadata
    assert Contract.from_json(json.loads(about.userDefined[CONTRACT_KEY])) == pip_net.contract
    del about.userDefined[CONTRACT_KEY]
    assert about == model.description.metadata and about.author == "who"
    assert artefact.read_bytes().endswith(PROGRAM[-5:])


@pytest.mark.parametrize("artefact", [".mlmodel"], indirect=True)
def test_a_truncated_core_ml_file_is_not_written(artefact: Path, pip_net: LandmarkModel) -> None:
    artefact.write_bytes(artefact.read_bytes()[:8])
    with pytest.raises(LandmintError, match="is no whole Core ML file"):
        write_contract(artefact, pip_net.contract)
    assert len(artefact.read_bytes()) == 8


def test_openvino_shows_the_contract(
    pip_net: LandmarkModel, pip_onnx: Path, tmp_path: Path
) -> None:
    graph = tmp_path / "float32.xml"
    export(pip_onnx, {"float32": graph})
    assert graph.with_suffix(".bin").is_file()
    model = openvino.Core().read_model(graph)
    told = json.loads(model.get_rt_info(list(RT_INFO_PATH)).astype(str))
    assert Contract.from_json(told) == pip_net.contract == read_contract(graph)
    text = graph.read_text()
    assert text.count("neighbours") == 1, "ONNX's metadata holds it too, and OpenVINO copies that"
    assert not re.search(r">\s+<", text.partition("?>")[2].strip())


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="does not exist"):
        read_contract(tmp_path / "none.onnx")
    foreign = tmp_path / "model.pt"
    foreign.write_bytes(b"")
    with pytest.raises(LandmintError, match=r"\.onnx, \.xml, \.tflite"):
        read_contract(foreign)
