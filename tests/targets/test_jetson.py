"""A Jetson over ssh, by a real sshd and stand-ins for its tools: TensorRT by trtexec."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.measurement import Measurement, read_measurement
from landmint.targets.measure import measure_bundle
from landmint.targets.ssh import SshTarget
from tests.targets.conftest import CONTRACT
from tests.targets.jetson import CLOCKS, NVPMODEL, STATS, pretend_jetson, write_graph
from tests.targets.sshd import Device, device

pytestmark = pytest.mark.slow
VARIANTS = (
    Variant("onnx/float32", "onnxruntime", ("int8.onnx",)),
    Variant("tensorrt/int8", "tensorrt", ("int8.onnx",), notes={"float layers": "0 of 1: none"}),
    Variant("tensorrt/float16", "tensorrt", ("half.onnx",), notes={"float layers": "0 of 1: none"}),
)
CONFIG = LatencyConfig(launches=1, samples=20, warm_runs=5, warm_ms=1, block_ms=0.1)


@pytest.fixture
def quantised(tmp_path: Path) -> Bundle:
    """One graph for two engines, and one in float whose notes say that it is not."""

    def fill(folder: Path) -> Manifest:
        write_graph(folder / "int8.onnx", True, CONTRACT)
        write_graph(folder / "half.onnx", False, CONTRACT)
        return Manifest(name="tiny", contract=CONTRACT, variants=VARIANTS)

    return write_bundle(tmp_path / "bundle", fill)


def _measure(board: Device, bundle: Bundle, crops: Path, folder: Path) -> list[Measurement]:
    target = SshTarget(board.profile(engines=("tensorrt", "onnxruntime")))
    names = [variant.name for variant in VARIANTS]
    measured = measure_bundle(target, bundle, names, crops, CONFIG, folder)
    assert [m.reason for m in measured] == ["", "", ""]
    return [read_measurement(folder / f"{name.replace('/', '-')}.json") for name in names]


@pytest.mark.parametrize(("version", "name"), [(100300, "10.3.0"), (110100, "11.1.0")])
def test_tensorrt_is_measured_where_only_trtexec_is(
    version: int,
    name: str,
    quantised: Bundle,
    write_crops: Callable[[int], Path],
    tmp_path: Path,
) -> None:
    with device(tmp_path / "board") as jetson:
        pretend_jetson(jetson.tools, version)
        plain, int8, half = _measure(jetson, quantised, write_crops(2), tmp_path / "measured")
    assert int8.engine_version == half.engine_version == f"trtexec {name}"
    assert int8.points is not None and plain.points is not None
    np.testing.assert_allclose(int8.points, plain.points, atol=1e-3)
    assert int8.executed_precision == "i8"
    assert half.executed_precision == "f16; not as decided: conv + relu in f16"
    latency = int8.latency
    assert latency is not None and latency.samples >= 20
    assert int8.peak_memory_mib is None and plain.peak_memory_mib is not None
    assert int8.machine is not None
    assert int8.machine.power == {"nvpmodel -q": NVPMODEL, "jetson_clocks --show": CLOCKS}
    before = int8.launches[0].before
    assert before is not None and before.tegrastats == STATS


def test_a_probe_tells_which_tensorrt_is_there(tmp_path: Path) -> None:
    with device(tmp_path / "board") as jetson:
        target = SshTarget(jetson.profile(engines=("tensorrt",)))
        without = {each.what: each for each in target.probe()}
        pretend_jetson(jetson.tools, 100300)
        found = {each.what: each.state for each in target.probe()}
        assert found["TensorRT"].startswith(f"by {jetson.tools}/trtexec, since ")
        jetson.pretend("python3", "echo 10.3.0")
        profile = jetson.profile(engines=("tensorrt",), settings={"python": "python3"})
        by_python = {each.what: each.state for each in SshTarget(profile).probe()}
    assert "nvidia-jetpack" in without["TensorRT"].remedy and "power mode" not in without
    assert found["power mode"].startswith("15W")
    assert by_python["TensorRT"] == "10.3.0, by Python"
