"""A bundle of one tiny model that every machine with ONNX Runtime can run, and faces for it."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.embedded import ONNX_KEY
from landmint.runtime.errors import NotMeasuredError
from landmint.targets.emulated.cpus import CPUS
from landmint.targets.emulated.kit import find_qemu, set_up
from landmint.targets.profile import Profile
from tests.conftest import MakeOnce
from tests.targets.adbd import Phone, adb_server, phone
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An adb server of the module's own."""
    with adb_server(tmp_path_factory.mktemp("adb")):
        yield


@pytest.fixture
def handset(server: None, tmp_path: Path) -> Iterator[Phone]:
    """A phone that adb reaches: a folder of this machine."""
    with phone(tmp_path / "it's a $(phone)") as connected:
        yield connected


@pytest.fixture
def adb_profile(handset: Phone) -> Profile:
    return handset.profile()


@pytest.fixture
def labgrid_profile(board: Device) -> Profile:
    pytest.importorskip("labgrid")
    return board.labgrid_profile()


@pytest.fixture(scope="session")
def _caches(make_once: MakeOnce) -> Mapping[str, Path | str]:
    """The cache with the kit of each processor, or why there is none; the suite makes it once."""
    caches: dict[str, Path | str] = {}
    for cpu in ("cortex-a76", "haswell"):

        def fill(folder: Path, cpu: str = cpu) -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_CACHE_HOME", str(folder))
                set_up(CPUS[cpu])

        try:
            find_qemu(CPUS[cpu])
            caches[cpu] = make_once(f"kit-{cpu}", fill)
        except NotMeasuredError as error:
            caches[cpu] = " ".join(str(error).split())
    return caches


def _kit(cpu: str, caches: Mapping[str, Path | str], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = caches[cpu]
    if isinstance(cache, str):
        pytest.skip(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def emulated(_caches: Mapping[str, Path | str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated Arm boards are set up; without QEMU, apt or pip the test is skipped."""
    _kit("cortex-a76", _caches, monkeypatch)


@pytest.fixture
def emulated_x86(_caches: Mapping[str, Path | str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise the emulated PC."""
    _kit("haswell", _caches, monkeypatch)


@pytest.fixture
def emulated_profile(emulated: None) -> Profile:
    return Profile("emulated", "of the suite", "emulated", settings={"cpu": "cortex-a76"})


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
