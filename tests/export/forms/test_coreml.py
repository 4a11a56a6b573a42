"""A saved Core ML program, computed by PyTorch, is the network; its files are equal each time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from landmint.export.forms.coreml import convert, export
from landmint.export.forms.onnx import to_onnx
from landmint.export.lint.coreml import ABSENT
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import sha256_file
from landmint.runtime.formats import FORMATS
from landmint.runtime.mlpackage import CONTRACT_KEY, GRAPH, package_of
from landmint.train.models.base import LandmarkModel
from tests.ml_program import Program, needs_coremltools

pytestmark = [pytest.mark.slow, needs_coremltools]

CONTRACT = Contract(
    "68",
    input_size=8,
    crop=CropRule((1.2, 1.2), True),
    mean=(0.0,) * 3,
    std=(255.0,) * 3,
    head=Head("heatmap", "argmax", 1.0),
    outputs=(Output("heatmaps", (68, 16, 16)),),
)


def graph(body: str, path: Path) -> Path:
    """Writes a graph from an image (1, 3, 8, 8) to heatmaps (1, 68, 16, 16)."""
    model = parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 18]>
        net (float[1, 3, 8, 8] image) => (float[1, 68, 16, 16] heatmaps) {{ {body} }}"""
    )
    weight = np.random.default_rng(0).normal(size=(272, 3, 1, 1)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    onnx.save(model, path)
    return path


def test_both_precisions_compute_what_the_network_computes(
    tiny: LandmarkModel, tmp_path: Path
) -> None:
    source = tmp_path / "net.onnx"
    to_onnx(tiny, source)
    files = {name: tmp_path / f"{name}{GRAPH}" for name in ("float32", "float16")}
    export(source, files)
    image = np.random.default_rng(0).normal(size=tiny.contract.input_shape).astype(np.float32)
    names = [output.name for output in tiny.contract.outputs]
    expected = onnxruntime.InferenceSession(source).run(names, {"image": image})
    for precision, share in (("float32", 1e-5), ("float16", 5e-3)):
        program = Program(files[precision])
        returned = program.run(image)
        assert list(returned) == names
        for name, values in zip(names, expected, strict=True):
            assert returned[name].dtype == np.float32 and returned[name].shape == values.shape
            assert np.abs(returned[name] - values).max() < share * np.abs(values).max()
        assert ("cast" in program.kinds) == (precision == "float16")


def test_files_name_contract_and_weights(
    pip_onnx: Path, pip_net: LandmarkModel, tmp_path: Path
) -> None:
    files = {name: tmp_path / "coreml" / f"{name}{GRAPH}" for name in ("float32", "float16")}
    export(pip_onnx, files)
    for name, path in files.items():
        assert read_contract(path) == pip_net.contract
        about = Program(path).model.description
        assert CONTRACT_KEY in about.metadata.userDefined
        assert not about.metadata.author and not about.metadata.license
        made = {str(f.relative_to(tmp_path)) for f in package_of(path).rglob("*") if f.is_file()}
        assert made == set(FORMATS["coreml"].files(tmp_path, f"coreml/{name}"))
    whole, half = (sum(f.stat().st_size for f in package_of(p).rglob("*")) for p in files.values())
    assert half < whole


def test_weights_are_those_of_onnx_to_the_bit(pip_onnx: Path, tmp_path: Path) -> None:
    export(pip_onnx, {"float32": tmp_path / f"float32{GRAPH}"})
    program = Program(tmp_path / f"float32{GRAPH}")
    stored = [np.asarray(value).tobytes() for value in program.parameters("const", "val")]
    model = onnx.load(pip_onnx)
    layers = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    assert layers
    for name in layers:
        assert numpy_helper.to_array(weights[name]).tobytes() in stored, name


def test_equal_networks_become_equal_files(pip_onnx: Path, tmp_path: Path) -> None:
    made = []
    for folder in ("one", "two"):
        export(pip_onnx, {"float16": tmp_path / folder / f"float16{GRAPH}"})
        files = sorted(f for f in (tmp_path / folder).rglob("*") if f.is_file())
        made.append([(str(f.relative_to(tmp_path / folder)), sha256_file(f)) for f in files])
    assert made[0] == made[1] and len(made[0]) == 3


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_a_pixel_shuffle_is_exact_in_both_orders(mode: str, tmp_path: Path) -> None:
    body = f'a = Conv (image, w) heatmaps = DepthToSpace <blocksize = 2, mode = "{mode}"> (a)'
    source, target = graph(body, tmp_path / "net.onnx"), tmp_path / f"net{GRAPH}"
    convert(source, target, CONTRACT, half=False)
    image = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(source).run(None, {"image": image})
    np.testing.assert_allclose(Program(target).run(image)["heatmaps"], expected, atol=1e-5)


def test_what_has_no_form_is_named(tmp_path: Path) -> None:
    body = "a = Conv (image, w) b = Softsign (a) heatmaps = DepthToSpace <blocksize = 2> (b)"
    with pytest.raises(LandmintError, match="could not be converted") as caught:
        convert(graph(body, tmp_path / "n.onnx"), tmp_path / f"n{GRAPH}", CONTRACT, half=False)
    assert "Softsign" in caught.value.reason
    assert not package_of(tmp_path / f"n{GRAPH}").exists()


def test_the_linter_knows_what_has_no_form() -> None:
    code = """
import json
from landmint.export.forms import coreml_worker
from onnx2coreml import supported_ops
print(json.dumps(sorted(supported_ops())))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    having = set(json.loads(done.stdout.splitlines()[-1]))
    assert "Conv" in having and not having & ABSENT


def test_a_file_that_is_no_graph_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no graph")
    with pytest.raises(LandmintError, match=r"net\.onnx could not be converted to Core ML"):
        convert(tmp_path / "net.onnx", tmp_path / f"net{GRAPH}", CONTRACT, half=False)


def test_another_contract_is_refused(pip_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(LandmintError) as caught:
        convert(pip_onnx, tmp_path / f"net{GRAPH}", CONTRACT, half=False)
    assert "the contract says" in caught.value.reason
