"""A graph that decodes itself says what numpy's decode says."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from landmint.export import bundle_decoded
from landmint.export.bundle_export import export_bundle
from landmint.export.config import ExportConfig
from landmint.export.forms.onnx import to_onnx
from landmint.export.fused_decode import fusable_decoder, fuse_decode
from landmint.runtime.bundle import Bundle
from landmint.runtime.contract import Decode, Head, Output
from landmint.runtime.decode import decode
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet
from landmint.train.models import ModelConfig, create_model
from landmint.train.models.base import LandmarkModel

Tensors = Mapping[str, NDArray[np.float32]]
STUDENTS: tuple[dict[str, Any], ...] = (
    {"name": "pipnet", "backbone": "mobilenetv3_small_050", "stride": 16},
    {"name": "mobilefan", "backbone": "mobilenetv2_050", "decoder": "shuffle"},
    {"name": "simcc", "backbone": "mobilenetv3_small_050", "stride": 16},
    {"name": "grmi", "backbone": "mobilenetv2_050"},
)


def student(settings: dict[str, Any]) -> LandmarkModel:
    """An untrained network whose maps have clear peaks."""
    torch.manual_seed(0)
    shape = np.random.default_rng(0).random((68, 2))
    model = create_model(ModelConfig(input_size=64, **settings), shape)
    model.train()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith(("heatmaps.weight", "convs.", "bins.")):
                weight.normal_()
        model(torch.randn(4, 3, 64, 64))
    return model.eval()


@pytest.mark.parametrize("settings", STUDENTS)
def test_the_decode_is_numpys(settings: dict[str, Any]) -> None:
    contract = student(settings).contract
    fused = fusable_decoder(contract)
    rng = np.random.default_rng(1)
    for offset, levels in ((0, 0), (-20, 0), (0, 4), (3, 2)):  # few levels: many peaks are equal
        outputs: dict[str, Any] = {
            o.name: (rng.normal(size=(1, *o.shape)) + offset).astype(np.float32)
            for o in contract.outputs
        }
        if levels:
            outputs = {
                name: np.round(maps * levels) / np.float32(levels) for name, maps in outputs.items()
            }
        with torch.no_grad():
            coordinates, confidence = fused(*map(torch.from_numpy, outputs.values()))
        found = {"coordinates": coordinates.numpy(), "confidence": confidence.numpy()}
        for ours, theirs in zip(
            decode(contract.decoded(), found), decode(contract, outputs), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize(("tau", "radius"), [(3.0, 1), (30.0, 4)])
def test_tau_and_radius_are_the_contracts(tau: float, radius: int) -> None:
    plain = student(STUDENTS[1]).contract
    head = dataclasses.replace(plain.head, tau=tau, radius=radius)
    contract = dataclasses.replace(plain, head=head)
    maps = np.random.default_rng(5).normal(size=(1, 68, 16, 16)).astype(np.float32)
    with torch.no_grad():
        coordinates, _ = fusable_decoder(contract)(torch.from_numpy(maps))
    expected, _ = decode(contract, {"heatmaps": maps})
    found, _ = decode(
        contract.decoded(),
        {"coordinates": coordinates.numpy(), "confidence": np.ones((1, 68), np.float32)},
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("settings", STUDENTS)
def test_a_fused_graph_returns_landmarks(settings: dict[str, Any], tmp_path: Path) -> None:
    model = student(settings)
    plain, fused = tmp_path / "plain.onnx", tmp_path / "fused.onnx"
    to_onnx(model, plain)
    fuse_decode(plain, fused)
    contract = read_contract(fused)
    assert contract == model.contract.decoded()
    assert contract.head.kind == "coordinates"
    engine = load_engine("onnxruntime")
    image = np.random.default_rng(2).normal(size=(1, 3, 64, 64)).astype(np.float32)
    expected = decode(model.contract, engine.load(plain, model.contract, 1).run(image))
    found = decode(contract, engine.load(fused, contract, 1).run(image))
    np.testing.assert_allclose(found[0], expected[0], atol=0.01)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)
    assert np.ptp(expected[0]) > 30, "the landmarks are spread over the crop"


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        ("dark", "choices: local_soft_argmax"),
        ("quarter", "'quarter' cannot be fused"),
        ("argmax", "'argmax' cannot be fused"),
        ("", "leave export.fuse_decode away"),
    ],
)
def test_what_cannot_be_fused_is_refused(
    decode: Decode, message: str, pip_net: LandmarkModel
) -> None:
    contract = pip_net.contract.decoded()
    if decode:
        outputs = (Output("heatmaps", (68, 8, 8)),)
        head = Head("heatmap", decode, 1.0)
        contract = dataclasses.replace(contract, head=head, outputs=outputs)
    with pytest.raises(LandmintError) as caught:
        fusable_decoder(contract)
    assert message in str(caught.value)


def test_a_recipe_that_asks_for_it_in_vain_writes_nothing(faces: FaceSet, tmp_path: Path) -> None:
    tiny = create_model(ModelConfig(name="pfld", input_size=32), np.full((68, 2), 0.5))
    config = ExportConfig(formats=("onnx",), fuse_decode=True)
    with pytest.raises(LandmintError, match="fuse"):
        export_bundle(tiny, faces, config, tmp_path / "b", {})
    assert not list(tmp_path.iterdir())


def test_twin_in_a_bundle(pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path) -> None:
    config = ExportConfig(formats=("onnx",), parity_faces=3, fuse_decode=True)
    export_bundle(pip_net, faces, config, tmp_path / "b", {})
    bundle = Bundle.open(tmp_path / "b")
    assert [v.name for v in bundle.manifest.variants][1:] == [
        "onnx/float32",
        "onnx-decoded/float32",
    ]
    twin = bundle.variant("onnx-decoded/float32")
    assert bundle.contract_of(twin) == pip_net.contract.decoded()
    assert bundle.contract_of(bundle.variant("onnx/float32")) == pip_net.contract
    assert "over 3 crops (onnxruntime, f32)" in twin.notes["decode"]


def test_graph_that_decodes_otherwise_is_left_out(
    pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(source: Path, target: Path) -> None:
        fuse_decode(source, target)
        graph = onnx.load(target)
        last = next(n for n in graph.graph.node if "coordinates" in n.output)
        last.output[0] = "before"
        graph.graph.initializer.append(
            onnx.numpy_helper.from_array(np.full(1, 0.001, np.float32), "offset")
        )
        graph.graph.node.append(onnx.helper.make_node("Add", ["before", "offset"], ["coordinates"]))
        onnx.save(graph, target)

    monkeypatch.setattr(bundle_decoded, "load", lambda function: wrong)
    config = ExportConfig(formats=("onnx",), parity_faces=1, fuse_decode=True)
    bundle = export_bundle(pip_net, faces, config, tmp_path / "b", {})
    twin = bundle.variant("onnx-decoded/float32")
    assert not twin.files and "decodes otherwise than numpy" in twin.reason
    assert bundle.variant("onnx/float32").files
    assert not any(name.startswith("onnx-decoded") for name in bundle.manifest.files)


@pytest.mark.slow
def test_every_engine_decodes_alike(faces: FaceSet, tmp_path: Path) -> None:
    formats = ("onnx", "openvino", "tflite")
    config = ExportConfig(formats=formats, parity_faces=2, fuse_decode=True)
    made = export_bundle(student(STUDENTS[1]), faces, config, tmp_path / "b", {})
    twins = [v for v in made.manifest.variants if v.decoded]
    assert [v.name for v in twins] == [f"{name}-decoded/float32" for name in formats]
    assert all(v.notes["decode"].startswith("within") for v in twins)
    for variant in made.manifest.variants:
        Bundle.open(made.path).check_artefact(variant)
    tflite = made.entry(twins[-1]).read_bytes()
    assert b"Flex" not in tflite
