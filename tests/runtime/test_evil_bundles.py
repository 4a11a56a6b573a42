"""Bundles of strangers: whatever is wrong is one clear message, and nothing outside is touched."""

import contextlib
import copy
import dataclasses
import html
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from landmint.export.protobuf import with_entry
from landmint.pipeline import cli
from landmint.pipeline.linting import lint_path
from landmint.pipeline.opening import open_model
from landmint.runtime.agent import Agent
from landmint.runtime.bundle import MANIFEST, Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.embedded import find_contract
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import sha256_file, write_json
from landmint.runtime.mlpackage import CONTRACT_KEY, METADATA

RUNTIME = Path(__file__).parents[2] / "runtime"
CONTRACT = Contract(
    markup="68",
    input_size=16,
    crop=CropRule((1.2, 1.2), True),
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)
Content = dict[str, Any]
FILE = "null/weights"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A sound bundle in a folder of its own, and beside it a file that nobody may touch."""

    def fill(folder: Path) -> Manifest:
        (folder / "null").mkdir()
        (folder / FILE).write_bytes(b"none")
        return Manifest("tiny", CONTRACT, (Variant("null/float32", "null", (FILE,)),))

    (tmp_path / "sentinel").write_bytes(b"untouched")
    return write_bundle(tmp_path / "bundle", fill).path


def rewrite(bundle: Path, change: Callable[[Content], object]) -> None:
    """Change the manifest, with no care for what it says."""
    content = json.loads((bundle / MANIFEST).read_text())
    change(content)
    (bundle / MANIFEST).write_text(json.dumps(content))


def names(path: str) -> Callable[[Path], None]:
    """A variant and the list of hashes name a path."""

    def change(bundle: Path) -> None:
        target = bundle / path
        sha256 = sha256_file(target) if target.is_file() else "0" * 64

        def both(content: Content) -> None:
            content["files"][path] = sha256
            content["variants"][0]["files"] = [path]

        rewrite(bundle, both)

    return change


def only_hashed(bundle: Path) -> None:
    """The list of hashes alone names a file outside, as what a quantiser copies."""
    sha256 = sha256_file(bundle / "../sentinel")
    rewrite(bundle, lambda content: content["files"].update({"../sentinel": sha256}))


def without_hash(bundle: Path) -> None:
    """A variant names a file that is in no list of hashes."""
    (bundle / "other").write_bytes(b"none")
    rewrite(bundle, lambda content: content["variants"][0].update(files=["other"]))


def linked_file(bundle: Path) -> None:
    """A listed file is a link to one outside."""
    (bundle / "link").symlink_to("../sentinel")
    names("link")(bundle)


def linked_folder(bundle: Path) -> None:
    """A listed file lies in a folder that is a link to one outside."""
    (bundle.parent / "elsewhere").mkdir()
    (bundle.parent / "elsewhere/weights").write_bytes(b"none")
    (bundle / "folder").symlink_to("../elsewhere")
    names("folder/weights")(bundle)


def circle(bundle: Path) -> None:
    """A listed file is a link to itself."""
    (bundle / "circle").symlink_to("circle")
    names("circle")(bundle)


def linked_manifest(bundle: Path) -> None:
    """The manifest itself is a link to a file outside."""
    (bundle / MANIFEST).rename(bundle.parent / "elsewhere.json")
    (bundle / MANIFEST).symlink_to("../elsewhere.json")


def text(content: str) -> Callable[[Path], None]:
    """The manifest is this text."""

    def change(bundle: Path) -> None:
        (bundle / MANIFEST).write_text(content)

    return change


def not_text(bundle: Path) -> None:
    """The manifest is no UTF-8."""
    (bundle / MANIFEST).write_bytes(b"\xff\xfe\x00")


def sets(*path: Any, to: Any) -> Callable[[Path], None]:
    """One value of the manifest is another."""

    def change(bundle: Path) -> None:
        def set_it(content: Content) -> None:
            place: Any = content
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = to

        rewrite(bundle, set_it)

    return change


def deep(levels: int) -> Any:
    """A list in a list in a list."""
    content: list[Any] = []
    for _ in range(levels):
        content = [content]
    return content


EVIL: dict[str, Callable[[Path], None]] = {
    "path upwards": names("../sentinel"),
    "path down and upwards": names("null/../../sentinel"),
    "absolute path": names("/etc/hostname"),
    "Windows path": names("..\\sentinel"),
    "drive": names("C:/sentinel"),
    "the manifest as a file": names(MANIFEST),
    "path with a line break": names("null/we\nights"),
    "empty path": names(""),
    "path of a dot": names("./null/weights"),
    "hash of a file outside": only_hashed,
    "file without a hash": without_hash,
    "link out": linked_file,
    "folder that is a link out": linked_folder,
    "link to itself": circle,
    "manifest that is a link out": linked_manifest,
    "empty manifest": text(""),
    "a list": text("[]"),
    "a number": text("1"),
    "null": text("null"),
    "no text": not_text,
    "nested too deep to parse": text("[" * 100_000),
    "nested deep": sets("provenance", to={"a": deep(500)}),
    "too many digits": text('{"schema": ' + "9" * 5000 + "}"),
    "schema of another day": sets("schema", to=99),
    "contract is a word": sets("contract", to="98"),
    "contract is missing": lambda bundle: rewrite(bundle, lambda c: c.pop("contract")),
    "no neighbours": sets("contract", "head", to={"kind": "pip", "neighbours": []}),
    "endless scale": sets("contract", "crop", "scale", to=float("inf")),
    "scale of many digits": sets("contract", "crop", "scale", to=10**400),
    "mean is no number": sets("contract", "mean", 0, to=float("nan")),
    "std is 1e300": sets("contract", "std", 0, to=1e300),
    "another markup": sets("contract", "markup", to="98"),
    "huge input": sets("contract", "input_size", to=10**9),
    "unknown field in the contract": sets("contract", "rotation", to=1),
    "unknown field": sets("extra", to=1),
    "unknown field of a variant": sets("variants", 0, "extra", to=1),
    "name is a list": sets("name", to=[]),
    "variants are an object": sets("variants", to={}),
    "variant is a list": sets("variants", 0, to=[]),
    "variant name is an object": sets("variants", 0, "name", to={}),
    "variant name without a slash": sets("variants", 0, "name", to="null"),
    "variant name upwards": sets("variants", 0, "name", to="../x/y"),
    "files of a variant are numbers": sets("variants", 0, "files", to=[1]),
    "files of a variant are a word": sets("variants", 0, "files", to=FILE),
    "layout is null": sets("variants", 0, "layout", to=None),
    "hash is a number": sets("files", FILE, to=0),
    "hash is wrong": sets("files", FILE, to="0" * 64),
    "files are a list": sets("files", to=[FILE]),
    "too many files": sets("files", to={f"f{i}": "" for i in range(2000)}),
    "tools are numbers": sets("tools", to={"onnx": 1}),
}


@pytest.mark.parametrize("name", EVIL)
def test_it_is_refused_with_one_message(name: str, bundle: Path) -> None:
    EVIL[name](bundle)
    with pytest.raises(LandmintError) as caught:
        Bundle.open(bundle)
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 2000
    assert (bundle.parent / "sentinel").read_bytes() == b"untouched"


@pytest.mark.parametrize("name", ["hash of a file outside", "path upwards", "link out"])
def test_it_is_refused_unverified_too(name: str, bundle: Path) -> None:
    EVIL[name](bundle)
    with pytest.raises(LandmintError):
        Bundle.open(bundle, verify=False)


def test_a_link_inside_is_no_harm(bundle: Path) -> None:
    (bundle / "link").symlink_to(FILE)
    names("link")(bundle)
    assert Bundle.open(bundle).entry(Bundle.open(bundle).variant("null/float32")).is_file()


def test_a_manifest_of_too_many_bytes_is_not_parsed(bundle: Path) -> None:
    with (bundle / MANIFEST).open("ab") as file:
        file.truncate(2**30)  # a sparse file
    with pytest.raises(LandmintError, match="has more than"):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    "name", ["a list", "nested too deep to parse", "contract is a word", "path upwards"]
)
def test_the_agent_answers_in_one_line_of_json(name: str, bundle: Path) -> None:
    EVIL[name](bundle)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "landmint.runtime", "serve", str(bundle), "null/float32"],
        input="",
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(RUNTIME)},
        timeout=600,  # only a hang takes so long
    )
    (line,) = done.stdout.splitlines()
    answer = json.loads(line)
    assert answer["ok"] is False and answer["error"]["fact"]
    assert done.returncode == answer["exit_code"] == 2
    assert "Traceback" not in done.stderr


PARAM = "7767517\n1 1\nInput a 0 1 image\n"


def with_contract(suffix: str, contract: Contract) -> bytes:
    """The least file of a kind that carries a contract."""
    text = json.dumps(contract.to_json())
    if suffix == ".onnx":
        key = b"landmint.contract"
        value = text.encode()
        size = len(value)
        told = bytes([size & 127 | 128, size >> 7])
        entry = b"\x0a" + bytes([len(key)]) + key + b"\x12" + told + value
        size = len(entry)
        return b"\x08\x09\x72" + bytes([size & 127 | 128, size >> 7]) + entry
    if suffix == ".xml":
        told_xml = (
            f'<rt_info><landmint><contract value="{html.escape(text)}"/></landmint></rt_info>'
        )
        return f"<net><layers/>{told_xml}</rt_info></net>".encode()
    if suffix == ".safetensors":
        header = json.dumps({"__metadata__": {"contract": text}}).encode()
        return len(header).to_bytes(8, "little") + header
    if suffix == ".param":
        return f"{PARAM}landmint.contract {text}\n".encode()
    if suffix == ".mlmodel":
        return with_entry(b"\x08\x08", METADATA, CONTRACT_KEY, text)
    file = io.BytesIO(b"TFL3")
    with zipfile.ZipFile(file, "a") as attached:
        attached.writestr("landmint_contract.json", text)
    return file.getvalue()


KINDS = (".onnx", ".xml", ".tflite", ".param", ".mlmodel", ".safetensors")


@pytest.fixture
def carrying(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a bundle of an artefact of a kind that carries its contract."""

    def make(suffix: str) -> Path:
        def fill(folder: Path) -> Manifest:
            (folder / f"model{suffix}").write_bytes(with_contract(suffix, CONTRACT))
            variant = Variant("null/float32", "null", (f"model{suffix}",))
            return Manifest("tiny", CONTRACT, (variant,))

        return write_bundle(tmp_path / f"of{suffix}", fill).path

    return make


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize(
    ("change", "field"),
    [
        (sets("contract", "crop", "scale", to=1.3), "crop"),
        (sets("contract", "mean", to=[1.0, 0.0, 0.0]), "mean"),
        (sets("contract", "color", to="BGR"), "color"),
        (sets("contract", "input_size", to=32), "input_size"),
        (sets("variants", 0, "layout", to="NHWC"), "layout"),
    ],
)
def test_the_contract_inside_the_artefact_is_compared(
    suffix: str, change: Callable[[Path], None], field: str, carrying: Callable[[str], Path]
) -> None:
    path = carrying(suffix)
    bundle = Bundle.open(path)
    bundle.check_artefact(bundle.variant("null/float32"))
    change(path)
    changed = Bundle.open(path)
    with pytest.raises(LandmintError, match=rf"another contract[\s\S]*differ in {field}"):
        changed.check_artefact(changed.variant("null/float32"))


BARE = {
    ".onnx": b"\x08\x09",
    ".xml": b"<net><layers/></net>",
    ".tflite": b"TFL3",
    ".param": PARAM.encode(),
    ".mlmodel": b"\x08\x08",
    ".safetensors": (2).to_bytes(8, "little") + b"{}",
    ".bin": b"an engine may open what is called so",
}


@pytest.mark.parametrize("suffix", BARE)
def test_an_artefact_without_a_contract_is_refused(suffix: str, tmp_path: Path) -> None:
    def fill(folder: Path) -> Manifest:
        (folder / f"model{suffix}").write_bytes(BARE[suffix])
        variant = Variant("onnx/float32", "onnxruntime", (f"model{suffix}",))
        return Manifest("tiny", CONTRACT, (variant,))

    bundle = write_bundle(tmp_path / "b", fill)
    with pytest.raises(LandmintError) as caught:
        bundle.check_artefact(bundle.variant("onnx/float32"))
    assert f"model{suffix} carries no contract" in caught.value.fact
    assert caught.value.reason and caught.value.remedy


@pytest.mark.parametrize("name", ["onnx/float32", "tensorrt/int8"])
def test_the_linter_judges_no_graph_of_another_contract(name: str, tmp_path: Path) -> None:
    """Also where a plan is what the engine would open."""
    other = dataclasses.replace(CONTRACT, input_size=32)

    def fill(folder: Path) -> Manifest:
        (folder / "graph.onnx").write_bytes(with_contract(".onnx", other))
        (folder / "plan.engine").write_bytes(b"code")
        variant = Variant(name, "onnxruntime", ("plan.engine", "graph.onnx"))
        return Manifest("tiny", CONTRACT, (variant,))

    with pytest.raises(LandmintError, match="another contract"):
        lint_path(write_bundle(tmp_path / "b", fill).path, ["onnx", "tensorrt"])


@pytest.mark.parametrize("suffix", KINDS)
def test_the_agent_and_predict_do_not_load_it(suffix: str, carrying: Callable[[str], Path]) -> None:
    path = carrying(suffix)
    sets("contract", "crop", "scale", to=1.3)(path)
    answer = Agent(path, "null/float32", threads=1).handle({"do": "load"})
    assert answer["ok"] is False and "another contract" in answer["error"]["fact"]
    with pytest.raises(LandmintError, match="another contract"):
        open_model(path, "null/float32")


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_artefact_is_no_traceback(suffix: str, share: float, tmp_path: Path) -> None:
    whole = with_contract(suffix, CONTRACT)
    path = tmp_path / f"model{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with contextlib.suppress(LandmintError):
        assert find_contract(path) is None


def test_entities_in_an_ir_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_bytes(b'<!DOCTYPE n [<!ENTITY a "aaaa">]>' + with_contract(".xml", CONTRACT))
    with pytest.raises(LandmintError, match="entities"):
        find_contract(path)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../../sentinel", "'../../sentinel'"),
        ("/etc/hostname", "'/etc/hostname'"),
        ("elsewhere.bin", "keeps tensors in 'elsewhere.bin'"),
        ("weights.bin", ""),
    ],
)
@pytest.mark.parametrize("place", ["initializer", "constant", "subgraph"])
def test_tensors_of_onnx_lie_inside_and_have_a_hash(
    location: str, message: str, place: str, tmp_path: Path
) -> None:
    tensor = onnx.TensorProto(
        name="w", dims=[1], data_type=1, data_location=onnx.TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value=location)
    graph = onnx.GraphProto(name="g", initializer=[tensor])
    if place != "initializer":
        node = onnx.NodeProto(op_type="Constant", output=["w"])
        attribute = node.attribute.add(name="value")
        if place == "constant":
            attribute.t.CopyFrom(tensor)
        else:
            attribute.g.CopyFrom(graph)
        graph = onnx.GraphProto(name="g", node=[node])
    model = onnx.ModelProto(ir_version=9, graph=graph)

    def fill(folder: Path) -> Manifest:
        (folder / "onnx").mkdir()
        (folder / "onnx/float32.onnx").write_bytes(model.SerializeToString())
        (folder / "onnx/weights.bin").write_bytes(bytes(4))
        variant = Variant("onnx/float32", "onnxruntime", ("onnx/float32.onnx",))
        return Manifest("tiny", CONTRACT, (variant,))

    bundle = Bundle.open(write_bundle(tmp_path / "b", fill).path)
    if message:
        with pytest.raises(LandmintError, match=message):
            bundle.entry(bundle.variant("onnx/float32"))
        with pytest.raises(LandmintError, match=message):
            lint_path(bundle.path, ["onnx"])
    else:
        assert bundle.entry(bundle.variant("onnx/float32")).is_file()


def test_a_plan_runs_only_where_it_is_asked_for(tmp_path: Path) -> None:
    def fill(folder: Path) -> Manifest:
        (folder / "int8.engine").write_bytes(b"code")
        return Manifest("tiny", CONTRACT, (Variant("tensorrt/int8", "null", ("int8.engine",)),))

    path = write_bundle(tmp_path / "b", fill).path
    agent = Agent(path, "tensorrt/int8", threads=1)
    refused = agent.handle({"do": "load"})
    assert refused["exit_code"] == 3 and "TensorRT plan" in refused["error"]["fact"]
    assert agent.handle({"do": "load", "plans": True})["ok"]
    with pytest.raises(NotMeasuredError, match="add --plans"):
        open_model(path, "tensorrt/int8")
    assert open_model(path, "tensorrt/int8", plans=True).name == "tensorrt/int8"


VERBS = {
    "measure": ("measure", "{bundle}", "--out", "{out}"),
    "quantize": ("quantize", "{bundle}", "--out", "{out}"),
    "predict": ("predict", "{photo}", "--model", "{bundle}", "--box", "1,1,9,9", "--out", "{out}"),
    "export --lint": ("export", "{bundle}", "--lint"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "name", ["hash of a file outside", "folder that is a link out", "nested deep", "a list"]
)
def test_every_verb_refuses_it(verb: str, name: str, bundle: Path, tmp_path: Path) -> None:
    EVIL[name](bundle)
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((20, 20, 3), np.uint8))
    before = sorted(tmp_path.rglob("*"))
    places = {"bundle": bundle, "out": tmp_path / "out", "photo": tmp_path / "photo.png"}
    result = CliRunner().invoke(cli.app, [part.format(**places) for part in VERBS[verb]])
    assert result.exit_code == 2
    assert result.stderr.startswith("landmint: ") and "landmint failed" not in result.stderr
    assert (tmp_path / "sentinel").read_bytes() == b"untouched"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_quantiser_has_nothing_to_copy_outside(bundle: Path, tmp_path: Path) -> None:
    """What was copied came from the list of hashes: one with a path upwards cannot be made."""
    only_hashed(bundle)
    with pytest.raises(LandmintError, match="'../sentinel'"):
        Manifest.from_json(json.loads((bundle / MANIFEST).read_text()))


def test_a_manifest_is_read_as_it_was_written(bundle: Path) -> None:
    before = json.loads((bundle / MANIFEST).read_text())
    manifest = Bundle.open(bundle).manifest
    write_json(bundle / MANIFEST, manifest.to_json())
    assert json.loads((bundle / MANIFEST).read_text()) == before
    assert copy.deepcopy(manifest) == manifest
