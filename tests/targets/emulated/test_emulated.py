"""Real engines on emulated processors: landmarks against this machine's, instructions, no times."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.crop import Floats, Image
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.measurement import Measurement, read_measurement
from landmint.runtime.predict import predict_crops
from landmint.targets import load_target
from landmint.targets.measure import measure_bundle
from landmint.train import zoo

pytestmark = pytest.mark.slow
FORMS = {"tflite": "litert", "onnx": "onnxruntime"}
MATRICES = np.broadcast_to(np.eye(3)[:2], (2, 2, 3))
QUICK = LatencyConfig(launches=1, samples=1, seconds=0.01)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The INT8 forms of the smallest shipped network, each as a bundle."""
    return {
        form: _bundle(tmp_path_factory.mktemp(form) / "pfld", form, engine)
        for form, engine in FORMS.items()
    }


def _bundle(folder: Path, form: str, engine: str) -> Bundle:
    source, name = zoo.folder() / f"pfld.{form}", f"{form}/int8.{form}"

    def fill(folder: Path) -> Manifest:
        (folder / form).mkdir()
        (folder / name).write_bytes(source.read_bytes())
        contract = read_contract(source)
        variant = Variant(f"{form}/int8", engine, (name,), layout=contract.layout)
        return Manifest("pfld", contract.with_layout("NCHW"), (variant,))

    return write_bundle(folder, fill)


def measured(target: str, bundle: Bundle, folder: Path) -> Measurement:
    size = bundle.manifest.contract.input_size
    path = folder / "crops.npz"
    folder.mkdir(exist_ok=True)
    np.savez(path, crops=smooth_crops(size), matrices=MATRICES, names=np.array(["a", "b"]))
    (one,) = measure_bundle(load_target(target), bundle, (), path, QUICK, folder)
    assert one.status == "measured", one.reason
    return one


def smooth_crops(size: int) -> Image:
    """Two crops without a face, but smooth, as faces are."""
    pixels = np.add.outer(np.arange(size), np.arange(size)) % 256
    crops = [np.stack([each] * 3, axis=-1) for each in (pixels, pixels[::-1])]
    return np.stack(crops).astype(np.uint8)


class NodeByNode(OnnxRuntimeEngine):
    """Q/DQ pairs around layers in float, as they stand in the file: no kernel adds in 16 bits."""

    def _options(self, threads: int) -> Any:
        options = super()._options(threads)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return options


def exact_points(bundle: Bundle) -> Floats:
    """The landmarks of an INT8 ONNX file by sums that cannot overflow, on any processor."""
    (variant,) = bundle.manifest.variants
    contract = bundle.contract_of(variant)
    session = NodeByNode().load(bundle.entry(variant), contract, 1)
    return predict_crops(session, contract, smooth_crops(contract.input_size), MATRICES)[0]


@pytest.mark.usefixtures("emulated")
def test_arm_kernels_of_int8(shipped: dict[str, Bundle], tmp_path: Path) -> None:
    a76 = {
        form: measured("emulated-rpi5", shipped[form], tmp_path / f"{form}-a76") for form in FORMS
    }
    a53 = measured("emulated-rpi3", shipped["tflite"], tmp_path / "a53")
    # XNNPACK's INT8 is the same to the bit on all processors. ONNX Runtime's sums overflow on x86
    # processors without VNNI, which this may be one of, so its kernels here are no measure.
    here = measured("host", shipped["tflite"], tmp_path / "tflite").points
    assert apart_px(a76["tflite"].points, here) < 0.01
    assert apart_px(a76["onnx"].points, exact_points(shipped["onnx"])) < 1.0
    assert apart_px(a53.points, a76["tflite"].points) < 0.01
    for one in a76.values():
        assert all(run.dot for run in one.instructions)
    assert all(run.dot == 0 and run.mlal for run in a53.instructions)
    check_counts(a76["tflite"])
    check_no_times(a76["onnx"], tmp_path / "onnx-a76")


def apart_px(points: Floats | None, others: Floats | None) -> float:
    """The greatest distance along an axis between the same landmarks of both."""
    assert points is not None and others is not None
    return float(np.abs(points - others).max())


def check_counts(one: Measurement) -> None:
    """Two faces take the same kernels, and each dot product is one of four multiplications."""
    first, second = one.instructions
    assert abs(first.total - second.total) < 1e-3 * first.total
    for name in ("simd", "fmla", "mlal", "dot"):
        assert abs(getattr(first, name) - getattr(second, name)) <= 1e-4 * getattr(first, name)
    assert first.dot and first.simd and first.total > first.simd > first.dot


def check_no_times(one: Measurement, folder: Path) -> None:
    """Nothing that could be taken for a latency is kept, and the file says why."""
    for again in (one, read_measurement(folder / "onnx-int8.json")):
        assert again.latency is None and not again.launches
        assert "says nothing about the board" in again.no_times
        assert again.operators and all(operator.ms is None for operator in again.operators)
        assert again.peak_memory_mib is None
        assert again.instructions == one.instructions
        assert again.machine is not None and again.machine.cpu == "4x Cortex-A76"


@pytest.mark.usefixtures("emulated_x86")
def test_a_processor_without_vnni(shipped: dict[str, Bundle], tmp_path: Path) -> None:
    haswell = measured("emulated-x86-avx2", shipped["tflite"], tmp_path)
    assert haswell.machine is not None and haswell.machine.int8_saturates
    assert all(run.total > 0 and run.dot is None for run in haswell.instructions)
