"""A bundle gets its INT8 variants, or one clear error and nothing on disk."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest

from landmint.export.embed import write_contract
from landmint.quantize import bundle_quantize
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import RANGES
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet

Make = Callable[..., FaceSet]


@pytest.fixture
def bundle(
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tmp_path: Path,
) -> Bundle:
    """ONNX in float32, an older INT8 variant, and an OpenVINO variant that was not built."""
    contract = contract_of("pip")

    def build(folder: Path) -> Manifest:
        for name in ("onnx/float32.onnx", "onnx/int8.onnx"):
            (folder / name).parent.mkdir(exist_ok=True)
            onnx.save(graph_of("pip"), folder / name)
            write_contract(folder / name, contract)
        variants = (
            Variant("onnx/float32", "onnxruntime", ("onnx/float32.onnx",), notes={"parity": "0"}),
            Variant("onnx/int8", "onnxruntime", ("onnx/int8.onnx",)),
            Variant("openvino/float32", "openvino", reason="openvino is not installed here"),
        )
        tools = {"torch": "2"}
        return Manifest("tiny", contract, variants, tools=tools, provenance={"recipe": "r"})

    return write_bundle(tmp_path / "float", build)


def settings(*formats: str) -> QuantizeConfig:
    return QuantizeConfig.model_validate({"formats": formats, "size": 4, "seed": 1})


@pytest.fixture
def fake_worker(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """Instead of quantising, copy the source; the requests that were made."""
    requests: list[Mapping[str, Any]] = []

    def run(module: str, request: Mapping[str, Any], fact: str) -> None:
        requests.append(request)
        if request["task"] == "decide":
            Path(request["ranges"]).write_text("{}")
            return
        target = Path(request["target"])
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"int8")
        if target.suffix == ".xml":
            target.with_suffix(".bin").write_bytes(b"weights")
        Path(request["notes"]).write_text(json.dumps({"displacement": "none"}))

    monkeypatch.setattr(bundle_quantize, "run_isolated", run)
    return requests


def test_no_face_goes_through_a_graph_of_another_contract(
    bundle: Bundle, make_faces: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the graph was run")

    monkeypatch.setattr(bundle_quantize, "features_of", never)
    contract = dataclasses.replace(bundle.manifest.contract, mean=(1.0, 2.0, 3.0))
    manifest = dataclasses.replace(bundle.manifest, contract=contract)
    other = dataclasses.replace(bundle, manifest=manifest)
    config = settings("onnx").model_copy(update={"strategy": "features"})
    with pytest.raises(LandmintError, match="another contract"):
        quantize_bundle(
            other, make_faces("train", 6), make_faces("test", 2), config, tmp_path / "b"
        )
    assert not (tmp_path / "b").exists()


class Steps(list[str]):
    """Notes the steps that are reported."""

    def at(self, done: int, total: int, note: str = "") -> None:
        self.append(f"{done}/{total} {note}")

    def step(self, note: str) -> None:
        self.append(note)


def test_float_variants_are_kept_and_int8_replaced(
    bundle: Bundle, make_faces: Make, fake_worker: list[Mapping[str, Any]], tmp_path: Path
) -> None:
    steps = Steps()
    quantize_bundle(
        bundle, make_faces("train", 6), make_faces("test", 2), settings("onnx", "openvino"),
        tmp_path / "int8", steps,
    )  # fmt: skip
    made = Bundle.open(tmp_path / "int8")
    assert made.variant("onnx/float32") == bundle.variant("onnx/float32")
    (file,) = made.variant("onnx/int8").files
    assert (made.path / file).read_bytes() == b"int8"
    assert len(made.manifest.variants) == 4
    assert made.variant("openvino/int8").reason == (
        "it is made from openvino/float32: openvino is not installed here"
    )
    assert made.manifest.provenance == {"recipe": "r"}
    assert made.manifest.tools["torch"] == "2"
    assert "onnxruntime" in made.manifest.tools
    assert [step.split()[0] for step in steps] == ["choose", "decide", "quantise", "quantise"]
    record = made.manifest.calibration
    assert record is not None
    assert (record["strategy"], record["seed"], record["size"]) == ("pose", 1, 4)
    assert len(record["images"]) == 4
    decide, quantise = fake_worker
    assert (decide["task"], decide["faces"]) == ("decide", [i["name"] for i in record["images"]])
    assert quantise["function"] == "landmint.quantize.forms.onnx:quantize"
    assert quantise["ranges"] == decide["ranges"]
    assert RANGES in made.manifest.files


def test_what_is_not_asked_for_is_left_out(
    bundle: Bundle, make_faces: Make, fake_worker: list[Mapping[str, Any]], tmp_path: Path
) -> None:
    made = quantize_bundle(
        bundle, make_faces("train", 4), make_faces("test", 2), settings("tflite"),
        tmp_path / "int8",
    )  # fmt: skip
    assert not (made.path / "onnx/int8.onnx").exists()
    variant = made.variant("tflite/int8")
    assert variant.layout == "NHWC"
    assert "the bundle has no such variant" in variant.reason
    assert not fake_worker


def test_the_same_ranges_serve_every_precision_that_is_asked_for(
    bundle: Bundle, make_faces: Make, fake_worker: list[Mapping[str, Any]], tmp_path: Path
) -> None:
    config = settings("onnx", "openvino").model_copy(update={"precisions": ("w8a16", "int8")})
    faces, test = make_faces("train", 4), make_faces("test", 2)
    made = quantize_bundle(bundle, faces, test, config, tmp_path / "both")
    names = [variant.name for variant in made.manifest.variants]
    assert names[-3:] == ["onnx/int8", "onnx/w8a16", "openvino/int8"]
    assert made.variant("onnx/w8a16").files == ("onnx/w8a16.onnx",)
    _, *requests = fake_worker
    functions = [request["function"].partition(":")[2] for request in requests]
    assert functions == ["quantize", "quantize_w8a16"]
    assert len({request["ranges"] for request in requests}) == 1
    assert len({request["notes"] for request in requests}) == 2
    again = quantize_bundle(made, faces, test, settings("onnx"), tmp_path / "again")
    assert [variant.name for variant in again.manifest.variants][-1] == "onnx/int8"
    assert not (again.path / "onnx/w8a16.onnx").exists()


def test_a_precision_that_no_format_has_is_refused(
    bundle: Bundle, make_faces: Make, tmp_path: Path
) -> None:
    config = settings("onnx", "openvino").model_copy(update={"precisions": ("int8", "int16x8")})
    with pytest.raises(LandmintError, match="no int16x8 can be made of onnx, openvino") as error:
        quantize_bundle(bundle, make_faces("train", 4), make_faces("test", 2), config, tmp_path)
    assert "tflite" in str(error.value)


def test_a_missing_library_is_a_reason(
    bundle: Bundle,
    make_faces: Make,
    fake_worker: list[Mapping[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle_quantize, "missing_packages", lambda *names: f"no {names[-1]}")
    made = quantize_bundle(
        bundle, make_faces("train", 4), make_faces("test", 2), settings("onnx"), tmp_path / "int8"
    )
    assert made.variant("onnx/int8").reason == "no onnxruntime"
    assert not fake_worker


def test_a_quantiser_that_fails_costs_its_own_variant_alone(
    bundle: Bundle,
    make_faces: Make,
    fake_worker: list[Mapping[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = vars(bundle_quantize)["run_isolated"]

    def run(module: str, request: Mapping[str, Any], fact: str) -> None:
        sound(module, request, fact)
        if request.get("engine") == "onnxruntime":
            raise LandmintError(fact, reason="no kernel\n  for GridSample", remedy="use another")

    monkeypatch.setattr(bundle_quantize, "run_isolated", run)
    quantize_bundle(
        bundle, make_faces("train", 4), make_faces("test", 2), settings("onnx", "tensorrt"),
        tmp_path / "int8",
    )  # fmt: skip
    made = Bundle.open(tmp_path / "int8")
    assert made.variant("onnx/int8").reason == (
        "onnx/float32 could not be quantised to onnx/int8; no kernel for GridSample; use another"
    )
    assert not made.variant("onnx/int8").files and "onnx/int8.onnx" not in made.manifest.files
    assert made.variant("onnx/float32").files
    assert made.variant("tensorrt/int8").files == ("tensorrt/int8.onnx",)


def test_int8_is_not_tried_where_the_format_was_refused(
    bundle: Bundle, make_faces: Make, fake_worker: list[Mapping[str, Any]], tmp_path: Path
) -> None:
    refused = Variant("tensorrt/float16", "tensorrt", reason="a weight reaches 1e9")
    variants = (*bundle.manifest.variants, refused)
    other = Bundle(bundle.path, dataclasses.replace(bundle.manifest, variants=variants))
    made = quantize_bundle(
        other, make_faces("train", 4), make_faces("test", 2), settings("tensorrt"),
        tmp_path / "int8",
    )  # fmt: skip
    reason = made.variant("tensorrt/int8").reason
    assert reason == "tensorrt/float16 was not built: a weight reaches 1e9"
    assert not fake_worker


def test_a_leak_leaves_nothing(bundle: Bundle, make_faces: Make, tmp_path: Path) -> None:
    faces = make_faces("train", 4)
    with pytest.raises(LandmintError, match="share a person with the evaluation set"):
        quantize_bundle(bundle, faces, faces, settings("onnx"), tmp_path / "int8")
    assert not (tmp_path / "int8").exists()


@pytest.mark.slow
def test_onnx_for_real(
    bundle: Bundle, make_faces: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = quantize_bundle(
        bundle, make_faces("train", 6), make_faces("test", 2), settings("onnx", "tensorrt"),
        tmp_path / "int8",
    )  # fmt: skip
    variant = made.variant("onnx/int8")
    assert read_contract(made.entry(variant)) == bundle.manifest.contract
    assert variant.notes["displacement"].endswith("(onnxruntime, u8)")
    graph = made.variant("tensorrt/int8")
    assert graph.files[-1] == "tensorrt/int8.onnx"
    assert "simulated displacement" in graph.notes
    assert Bundle.open(made.path) == made
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_int8_with_its_decode_in_the_graph(
    bundle: Bundle, make_faces: Make, tmp_path: Path
) -> None:
    float_twin = Variant("onnx-decoded/float32", "onnxruntime", reason="x", decoded=True)
    manifest = bundle.manifest
    asked = Bundle(
        bundle.path, dataclasses.replace(manifest, variants=(*manifest.variants, float_twin))
    )
    made = quantize_bundle(
        asked, make_faces("train", 6), make_faces("test", 2), settings("onnx"), tmp_path / "int8"
    )
    twin = made.variant("onnx-decoded/int8")
    assert read_contract(made.entry(twin)) == manifest.contract.decoded()
    assert "(onnxruntime, u8 11, f32 5)" in twin.notes["decode"], "the decode has five products"
    assert twin.notes["decode"].startswith("within")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no model", "float32.onnx is no whole ONNX file"),
        (onnx.ModelProto(ir_version=9).SerializeToString(), "carries no contract"),
    ],
    ids=["broken", "foreign"],
)
def test_a_source_that_is_no_model_of_ours_is_one_clear_error(
    bundle: Bundle,
    make_faces: Make,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    content: bytes,
    message: str,
) -> None:
    (bundle.path / "onnx/float32.onnx").write_bytes(content)
    with pytest.raises(LandmintError, match=message):
        quantize_bundle(
            bundle, make_faces("train", 4), make_faces("test", 2), settings("onnx"),
            tmp_path / "int8",
        )  # fmt: skip
    assert not (tmp_path / "int8").exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_failing_quantiser_is_one_clear_error(
    bundle: Bundle, make_faces: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = bundle.path / "onnx/float32.onnx"
    graph.write_bytes(onnx.ModelProto(ir_version=9).SerializeToString())
    write_contract(graph, bundle.manifest.contract)
    with pytest.raises(LandmintError, match="no ranges could be drawn for onnx"):
        quantize_bundle(
            bundle, make_faces("train", 4), make_faces("test", 2), settings("onnx"),
            tmp_path / "int8",
        )  # fmt: skip
    assert not (tmp_path / "int8").exists()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_explained_without_onnx(
    bundle: Bundle, make_faces: Make, tmp_path: Path
) -> None:
    config = settings("openvino").model_copy(update={"explain": True})
    with pytest.raises(LandmintError, match="nothing to explain without onnx"):
        quantize_bundle(
            bundle, make_faces("train", 4), make_faces("test", 2), config, tmp_path / "int8"
        )
    assert not (tmp_path / "int8").exists()
