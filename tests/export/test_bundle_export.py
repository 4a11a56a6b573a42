"""A network in every float form: whole, checked, and honest about what could not be made."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from pydantic import ValidationError
from torch import Tensor

from landmint.export import bundle_export
from landmint.export.bundle_export import export_bundle
from landmint.export.config import LINT_FILE, ExportConfig
from landmint.export.finding import Finding, read_findings
from landmint.export.forms import openvino
from landmint.export.forms.onnx import to_onnx
from landmint.runtime.bundle import Bundle
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet
from landmint.train.models import ModelConfig, create_model, load_model
from landmint.train.models.base import LandmarkModel

ABSENT = "something is not installed here"
TO_OPENVINO = openvino.export


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Some packages are not installed."""
    monkeypatch.setattr(
        bundle_export,
        "missing_packages",
        lambda *names: ABSENT if set(names) & set(packages) else "",
    )


class Steps(list[str]):
    """Notes the steps that are reported."""

    def at(self, done: int, total: int, note: str = "") -> None:
        self.append(f"{done}/{total} {note}")

    def step(self, note: str) -> None:
        self.append(note)


def test_onnx_alone(pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path) -> None:
    steps = Steps()
    config = ExportConfig(formats=("onnx",), parity_faces=2)
    made = export_bundle(pip_net, faces, config, tmp_path / "b", {"run": "x"}, progress=steps)
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.manifest == made.manifest
    assert [v.name for v in bundle.manifest.variants] == ["torch/float32", "onnx/float32"]
    assert bundle.manifest.name == "tiny-own-32"
    assert bundle.manifest.provenance == {"run": "x"}
    assert set(bundle.manifest.tools) >= {"torch", "onnx", "onnxsim"}
    note = bundle.variant("onnx/float32").notes["parity"]
    assert "over 2 crops" in note and "(onnxruntime, f32)" in note
    assert steps == ["export to onnx and compare with the network"]
    assert read_findings(tmp_path / "b" / LINT_FILE) == ()
    assert LINT_FILE in bundle.manifest.files


def test_what_cannot_become_a_form_is_not_tried(
    pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Finding("no-way", "tflite", "error", "Erf", ("node",), "there is no such thing", "")
    monkeypatch.setattr("landmint.export.bundle_export.lint", lambda *told: [refusal])
    config = ExportConfig(formats=("tflite",), parity_faces=1)
    bundle = export_bundle(pip_net, faces, config, tmp_path / "b", {})
    assert {v.name: v.reason for v in bundle.manifest.variants if not v.files} == {
        f"tflite/{precision}": "no-way: node: Erf; there is no such thing"
        for precision in ("float32", "float16")
    }


def test_missing_converter_becomes_a_reason(
    pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "onnx2tf", "openvino")
    bundle = export_bundle(pip_net, faces, ExportConfig(parity_faces=1), tmp_path / "b", {})
    reasons = {v.name: v.reason for v in bundle.manifest.variants if not v.files}
    assert reasons == {
        f"{form}/{precision}": ABSENT
        for form in ("openvino", "tflite")
        for precision in ("float32", "float16")
    }
    tensorrt = bundle.variant("tensorrt/float16")
    assert tensorrt.notes["engine"].startswith("not built: ")
    assert tensorrt.notes["parity"].startswith("not measured: ")
    assert "(onnxruntime, f" in tensorrt.notes["graph parity"]


def test_without_onnx_every_form_has_a_reason(
    pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "onnx")
    bundle = export_bundle(pip_net, faces, ExportConfig(parity_faces=1), tmp_path / "b", {})
    assert {v.name for v in bundle.manifest.variants if v.files} == {"torch/float32"}
    assert {v.reason for v in bundle.manifest.variants if not v.files} == {ABSENT}


def move_neighbours(path: Path) -> None:
    """Move the biases of one of the heads in an ONNX file."""
    graph = onnx.load(path)
    bias = next(t for t in graph.graph.initializer if t.name.endswith("heads.nb_x.bias"))
    moved: Any = numpy_helper.to_array(bias) + np.float32(2)
    bias.CopyFrom(numpy_helper.from_array(moved, bias.name))
    onnx.save(graph, path)


def fail_in_words(onnx_path: Path, files: Mapping[str, Path]) -> Mapping[str, str]:
    files["float32"].write_text("half of a gra")
    raise LandmintError("no GridSample", reason="there is no\n  such layer", remedy="use another")


def fail_bare(onnx_path: Path, files: Mapping[str, Path]) -> Mapping[str, str]:
    files["float16"].write_text("half of a gra")
    raise RuntimeError("Check 'x' failed\nat y.cpp")


def lie(onnx_path: Path, files: Mapping[str, Path]) -> Mapping[str, str]:
    moved = onnx_path.with_name("moved.onnx")
    shutil.copyfile(onnx_path, moved)
    move_neighbours(moved)
    notes = TO_OPENVINO(moved, files)
    moved.unlink()
    return notes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("converter", "reason"),
    [
        (fail_in_words, "no GridSample; there is no such layer; use another"),
        (fail_bare, "the converter failed: RuntimeError: Check 'x' failed at y.cpp"),
        (lie, "openvino/float32 does not compute what the network computes; landmarks differ by"),
    ],
)
def test_a_converter_that_fails_costs_its_own_variants_alone(
    converter: Callable[[Path, Mapping[str, Path]], Mapping[str, str]],
    reason: str,
    pip_net: LandmarkModel,
    faces: FaceSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino, "export", converter)
    config = ExportConfig(formats=("openvino", "tensorrt"), parity_faces=1, fuse_decode=True)
    export_bundle(pip_net, faces, config, tmp_path / "b", {})
    bundle = Bundle.open(tmp_path / "b")
    reasons = {v.name: v.reason for v in bundle.manifest.variants if not v.files}
    assert set(reasons) == {"openvino/float32", "openvino/float16", "openvino-decoded/float32"}
    assert all(text.startswith(reason) for text in reasons.values())
    assert not any(name.startswith("openvino") for name in bundle.manifest.files)
    assert "moved" not in " ".join(bundle.manifest.files)
    assert bundle.variant("tensorrt/float16").files


class Determined(LandmarkModel):
    """A network whose maps hang on a determinant, for which OpenVINO has no operator."""

    BACKBONES = ("own",)

    def __init__(self, plain: LandmarkModel) -> None:
        super().__init__(plain.config, plain.contract)
        self.plain = plain

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        (last,) = self.plain.features(images)
        return (last * torch.linalg.det(last)[..., None, None].tanh(),)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return self.plain.head(features)


@pytest.mark.slow
def test_a_network_that_a_converter_refuses(
    pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path
) -> None:
    config = ExportConfig(formats=("openvino",), parity_faces=1)
    bundle = export_bundle(Determined(pip_net).eval(), faces, config, tmp_path / "b", {})
    assert bundle.variant("onnx/float32").files
    reason = bundle.variant("openvino/float32").reason
    assert "Det" in reason and "\n" not in reason


def test_form_out_of_parity_fails_and_leaves_nothing(
    pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = to_onnx

    def wrong(model: LandmarkModel, path: Path) -> None:
        honest(model, path)
        move_neighbours(path)

    monkeypatch.setattr(bundle_export, "to_onnx", wrong)
    config = ExportConfig(formats=("onnx",), parity_faces=1)
    with pytest.raises(LandmintError, match="first output that differs is 'nb_x'"):
        export_bundle(pip_net, faces, config, tmp_path / "b", {})
    assert not list(tmp_path.iterdir())


def test_unknown_format_is_refused() -> None:
    with pytest.raises(ValidationError, match="formats"):
        ExportConfig.model_validate({"formats": ["caffe"]})


@pytest.mark.slow
def test_every_form_of_a_real_student(faces: FaceSet, tmp_path: Path) -> None:
    config = ModelConfig(name="pipnet", backbone="mobilenetv3_small_050", input_size=64)
    shape = np.random.default_rng(0).random((68, 2))
    model = create_model(config, shape)
    bundle = export_bundle(model, faces, ExportConfig(parity_faces=4), tmp_path / "b", {})
    assert [v.name for v in bundle.manifest.variants] == [
        "torch/float32",
        "onnx/float32",
        "openvino/float32",
        "openvino/float16",
        "tflite/float32",
        "tflite/float16",
        "tensorrt/float16",
    ]
    reference, *others = bundle.manifest.variants
    assert load_model(bundle.entry(reference)).contract == model.contract
    for variant in bundle.manifest.variants:
        bundle.check_artefact(variant)
    for variant in others:
        assert not variant.reason
        if variant.format != "tensorrt":
            assert read_contract(bundle.entry(variant)) == bundle.contract_of(variant)
            assert "over 4 crops" in variant.notes["parity"]
