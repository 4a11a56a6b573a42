"""A network in every float form: whole, checked, and honest about what could not be made."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pydantic import ValidationError

from landmint.export import bundle_export
from landmint.export.bundle_export import export_bundle
from landmint.export.config import LINT_FILE, ExportConfig
from landmint.export.finding import Finding, read_findings
from landmint.export.forms.onnx import to_onnx
from landmint.runtime.bundle import Bundle
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet
from landmint.train.models import ModelConfig, create_model, load_model
from landmint.train.models.base import LandmarkModel

ABSENT = "something is not installed here"


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


def test_form_out_of_parity_fails_and_leaves_nothing(
    pip_net: LandmarkModel, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = to_onnx

    def wrong(model: LandmarkModel, path: Path) -> None:
        honest(model, path)
        graph = onnx.load(path)
        bias = next(t for t in graph.graph.initializer if t.name.endswith("heads.nb_x.bias"))
        moved: Any = numpy_helper.to_array(bias) + np.float32(2)
        bias.CopyFrom(numpy_helper.from_array(moved, bias.name))
        onnx.save(graph, path)

    monkeypatch.setattr(bundle_export, "to_onnx", wrong)
    config = ExportConfig(formats=("onnx",), parity_faces=1)
    with pytest.raises(LandmintError, match="first output that differs is 'nb_x'"):
        export_bundle(pip_net, faces, config, tmp_path / "b", {})
    assert not list(tmp_path.iterdir())


def test_unknown_format_is_refused() -> None:
    with pytest.raises(ValidationError, match="formats"):
        ExportConfig.model_validate({"formats": ["coreml"]})


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
