"""Foreign TFLite files and OpenVINO IRs: their own format follows, and computes what they do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from landmint.export.bundle_export import export_bundle
from landmint.export.config import ExportConfig
from landmint.export.importing.imported import read_imported
from landmint.runtime.bundle import Bundle
from landmint.runtime.decode import decode
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import FaceSet
from tests.export.importing.conftest import SIZE, foreign_onnx, write_contract
from tests.export.importing.flat import foreign_tflite

Rows = NDArray[np.float32]
PIXELS = 'order = "planar"\nunit = "pixels"'


def _picture() -> Rows:
    noise = np.random.default_rng(0).normal(size=(1, 3, SIZE, SIZE))
    return noise.astype(np.float32)


def _ir(folder: Path) -> tuple[Path, Callable[[Rows], Rows]]:
    """An IR with an open batch, of channels last, that returns (3, 68) pixels."""
    foreign_onnx(folder / "net.onnx", layout="NHWC", shape=(3, 68))
    model = openvino.Core().read_model(folder / "net.onnx")
    openvino.save_model(model, folder / "net.xml", compress_to_fp16=False)
    (folder / "net.onnx").unlink()
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return folder / "net.xml", lambda x: np.array(compiled([x.transpose(0, 2, 3, 1)])["points"])


def _tflite(folder: Path) -> tuple[Path, Callable[[Rows], Rows]]:
    """A .tflite without a signature that returns (1, 1, 1, 204): 3 x 68 pixels."""
    path = foreign_tflite(folder / "net.tflite")

    def run(tensor: Rows) -> Rows:
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], tensor.transpose(0, 2, 3, 1)
        )
        interpreter.invoke()
        (points, _) = interpreter.get_output_details()
        return np.array(interpreter.get_tensor(points["index"]))

    return path, run


@pytest.mark.parametrize(("make", "form"), [(_ir, "openvino"), (_tflite, "tflite")])
def test_its_own_format_follows(
    make: Callable[[Path], tuple[Path, Callable[[Rows], Rows]]],
    form: str,
    faces: FaceSet,
    tmp_path: Path,
) -> None:
    path, run = make(tmp_path)
    origin = read_imported(path, write_contract(tmp_path / "c.toml", "NHWC", PIXELS))
    config = ExportConfig(formats=("onnx", form), parity_faces=2)
    export_bundle(origin, faces, config, tmp_path / "b", {})
    bundle = Bundle.open(tmp_path / "b")
    names = [variant.name for variant in bundle.manifest.variants]
    assert names == ["original/float32", f"{form}/float32", "onnx/float32"]
    assert "does not become ONNX" in bundle.variant("onnx/float32").reason
    variant = bundle.variant(f"{form}/float32")
    bundle.check_artefact(variant)
    assert "over 2 crops" in variant.notes["parity"]

    contract = bundle.contract_of(variant)
    session = load_engine(variant.engine).load(bundle.entry(variant), contract, threads=1)
    picture = _picture()
    own = picture.transpose(0, 2, 3, 1) if form == "tflite" else picture
    points, _ = decode(contract, session.run(np.ascontiguousarray(own)))
    expected = run(picture).reshape(3, 68)[:2].T
    np.testing.assert_allclose(points[0], expected, atol=1e-3)


def test_weights_that_are_missing(tmp_path: Path) -> None:
    path, _ = _ir(tmp_path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(LandmintError, match="has no weights"):
        read_imported(path, write_contract(tmp_path / "c.toml", "NHWC"))


@pytest.mark.parametrize("suffix", [".tflite", ".xml"])
def test_files_that_are_broken(suffix: str, tmp_path: Path) -> None:
    path = (tmp_path / "net").with_suffix(suffix)
    path.with_suffix(".bin").write_bytes(b"")
    for content in (b"", b"no model at all, but long enough for a header"):
        path.write_bytes(content)
        with pytest.raises(LandmintError, match="cannot open"):
            read_imported(path, write_contract(tmp_path / "c.toml", "NHWC"))


def test_a_file_of_int8(tmp_path: Path) -> None:
    path = foreign_tflite(tmp_path / "net.tflite", whole=True)
    with pytest.raises(LandmintError, match="import the float network"):
        read_imported(path, write_contract(tmp_path / "c.toml", "NHWC"))
