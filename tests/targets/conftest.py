"""A bundle of one tiny model that every machine with ONNX Runtime can run, and faces for it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.embedded import ONNX_KEY
from landmint.targets.profile import Profile
from tests.targets.sshd import Device, device

CONTRACT = Contract(
    markup="68",
    input_size=32,
    crop=CropRule((1.2, 1.2), True),
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
    head=Head("heatmap", "argmax", 1.0),
    outputs=(Output("heatmaps", (68, 4, 4)),),
)
VARIANTS = (
    Variant("onnx/float32", "onnxruntime", ("onnx/float32.onnx",), notes={"weights": "float32"}),
    Variant("onnx/broken", "onnxruntime", ("onnx/broken.onnx",)),
    Variant("null/float32", "null", ("onnx/float32.onnx",)),
    Variant("tensorrt/int8", "tensorrt", reason="tensorrt is not installed here"),
    Variant("torch/float32", "torch", ("onnx/float32.onnx",)),
)


def _write_onnx(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    weights = np.random.default_rng(0).standard_normal((68, 3, 8, 8)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["image", "weights"], ["heatmaps"], strides=[8, 8])],
        "tiny",
        [onnx.helper.make_tensor_value_info("image", 1, [1, 3, 32, 32])],
        [onnx.helper.make_tensor_value_info("heatmaps", 1, [1, 68, 4, 4])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.helper.set_model_props(model, {ONNX_KEY: json.dumps(CONTRACT.to_json())})
    onnx.save(model, path)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    def fill(folder: Path) -> Manifest:
        (folder / "onnx").mkdir()
        _write_onnx(folder / "onnx/float32.onnx")
        (folder / "onnx/broken.onnx").write_bytes(b"no graph")
        return Manifest(name="tiny", contract=CONTRACT, variants=VARIANTS)

    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", fill)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """The loopback as a device that is reached by ssh."""
    with device(tmp_path_factory.mktemp("sshd") / "board") as running:
        yield running


@pytest.fixture
def ssh_profile(board: Device) -> Profile:
    return board.profile()


@pytest.fixture
def write_crops(tmp_path: Path) -> Callable[[int], Path]:
    """Write so many random faces, as the measure stage does."""

    def write(count: int) -> Path:
        rng = np.random.default_rng(0)
        path = tmp_path / "crops.npz"
        np.savez(
            path,
            crops=rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
            matrices=np.tile(np.array([[2.0, 0, 5], [0, 2, 7]]), (count, 1, 1)),
            names=np.array([f"face{i}" for i in range(count)]),
        )
        return path

    return write
