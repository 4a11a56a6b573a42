"""`export --lint` on a checkpoint, an ONNX file and a bundle."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from typer.testing import CliRunner, Result

from landmint.export.embed import write_contract
from landmint.pipeline import cli
from landmint.pipeline.linting import lint_path
from landmint.runtime.bundle import Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError
from landmint.train.models import ModelConfig, create_model, save_model


def graph(operator: str) -> onnx.ModelProto:
    model = parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 18]>
        net (float[1, 8, 4, 4] image) => (float[1, 8, 4, 4] y) {{
          a = Conv (image, w) b = {operator} y = Conv (b, w)
        }}"""
    )
    weight = np.random.default_rng(0).normal(size=(8, 8, 1, 1)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def ask(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["export", "--lint", *map(str, words)])


def test_an_onnx_file_and_its_exit_codes(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(graph("Relu (a)"), path)
    sound = ask(path)
    assert (sound.exit_code, sound.stdout) == (0, "net.onnx: nothing found\n")
    onnx.save(graph("Tanh (a)"), path)
    warned = ask(path)
    assert warned.exit_code == 0
    assert "onnx-float-operator" in warned.stdout
    assert "b: Tanh runs in float" in warned.stdout
    onnx.save(graph("Erf (a)"), path)
    failed = ask(path)
    assert failed.exit_code == 2
    assert "1 error, " in failed.stdout


def test_findings_are_written_as_sarif_by_the_path_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    onnx.save(graph("Tanh (a)"), "nets/net.onnx")
    assert ask("nets/net.onnx", "--out", "lint").exit_code == 0
    content = json.loads(Path("lint/lint.sarif").read_text(encoding="utf-8"))
    results = content["runs"][0]["results"]
    assert "onnx-float-operator" in {result["ruleId"] for result in results}
    places = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results}
    assert places == {"nets/net.onnx"}


def test_only_the_formats_of_the_recipe_are_judged(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(graph("Erf (a)"), path)
    assert {one.target for one in lint_path(path, ["openvino"])[path.name]} == {"openvino"}


def test_a_checkpoint_is_judged_by_the_graph_that_would_be_exported(tmp_path: Path) -> None:
    shape = np.random.default_rng(0).random((68, 2))
    config = ModelConfig(name="pfld", width=0.25, input_size=32)
    save_model(create_model(config, shape), tmp_path / "model.safetensors")
    found = lint_path(tmp_path / "model.safetensors", ["onnx"])["model.safetensors"]
    assert "output-grid" in {one.rule for one in found}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.safetensors"]


def test_a_bundle_has_its_pairs_judged_for_their_own_target(tmp_path: Path) -> None:
    head, outputs = Head("coordinates"), (Output("coordinates", (136,)),)
    contract = Contract("68", 4, CropRule((1.2, 1.2), True), (0, 0, 0), (1, 1, 1), head, outputs)

    def build(folder: Path) -> Manifest:
        names = ("onnx/float32", "onnx/int8", "tensorrt/int8")
        pair = graph("Relu (a)")
        nodes = parser.parse_graph(
            """g (float[1, 8, 4, 4] y) => (float[1, 8, 4, 4] out) <float s = {0.1}, uint8 z = {3}> {
                 q = QuantizeLinear (y, s, z) out = DequantizeLinear (q, s, z)
            }"""
        )
        pair.graph.node.extend(nodes.node)
        pair.graph.initializer.extend(nodes.initializer)
        pair.graph.output[0].name = "out"
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            onnx.save(graph("Relu (a)") if name == names[0] else pair, folder / f"{name}.onnx")
            write_contract(folder / f"{name}.onnx", contract)
        variants = (Variant(name, "onnxruntime", (f"{name}.onnx",)) for name in names)
        return Manifest("net", contract, tuple(variants))

    write_bundle(tmp_path / "b", build)
    found = lint_path(tmp_path / "b", ["onnx", "tensorrt"])
    rules = {name: {one.rule for one in findings} for name, findings in found.items()}
    assert rules["onnx/float32.onnx"] == {"output-grid"}, "of coordinates in 8 bits"
    assert not rules["onnx/int8.onnx"]
    assert {"tensorrt-1-symmetric", "tensorrt-10-half"} <= rules["tensorrt/int8.onnx"]


@pytest.mark.parametrize("name", ["no.onnx", "no.safetensors", "."])
def test_what_is_none_of_these_is_one_message(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ask(name)
    assert result.exit_code == 2
    assert result.stderr.startswith("landmint: ")


def test_a_truncated_onnx_file_is_named(tmp_path: Path) -> None:
    onnx.save(graph("Relu (a)"), tmp_path / "net.onnx")
    content = (tmp_path / "net.onnx").read_bytes()
    (tmp_path / "net.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(LandmintError, match="no whole ONNX file"):
        lint_path(tmp_path / "net.onnx", ["onnx"])


def test_exporting_needs_a_folder() -> None:
    result = CliRunner().invoke(cli.app, ["export", "model.safetensors"])
    assert result.exit_code == 2
    assert "--lint" in result.stderr
