"""A visit measures what runs, says of the rest why not, and stores raw samples."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import sha256_file
from landmint.runtime.latency import LatencyConfig, latency_ratio
from landmint.runtime.measurement import read_measurements
from landmint.targets import Link, load_target
from landmint.targets.host import HostTarget
from landmint.targets.measure import measure_bundle
from landmint.targets.pipe import PipeLink

Crops = Callable[[int], Path]
QUICK = LatencyConfig(
    launches=2, samples=20, seconds=0.2, block_ms=1, block_runs=3, warm_ms=5, timeout_s=600
)


class CrashingTarget(HostTarget):
    """A host on which one variant dies when it is timed."""

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        if variant != "onnx/float32":
            return super().start(bundle, variant, threads, timeout_s)
        code = 'import os; print("{\\"ok\\": true}", flush=True); input(); os.abort()'
        return PipeLink([sys.executable, "-c", code], {}, timeout_s)


class Steps(list[str]):
    """Notes the steps that are reported."""

    def at(self, done: int, total: int, note: str = "") -> None:
        self.append(f"{done}/{total} {note}")

    def step(self, note: str) -> None:
        self.append(note)


def test_on_the_host(bundle: Bundle, write_crops: Crops, tmp_path: Path) -> None:
    steps = Steps()
    folder = tmp_path / "measurements"
    found = measure_bundle(load_target("host"), bundle, (), write_crops(30), QUICK, folder, steps)
    by_name = {measurement.variant: measurement for measurement in found}
    assert set(by_name) == {"onnx/float32", "onnx/broken", "null/float32", "tensorrt/int8"}
    assert steps[-1] == "1/1 measured"

    onnx = by_name["onnx/float32"]
    assert onnx.status == "measured" and onnx.executed_precision == "f32"
    assert onnx.points is not None and onnx.points.shape == (30, 68, 2)
    assert onnx.faces[:2] == ("face0", "face1")
    assert len(onnx.launches) == 2
    assert all(len(block) >= 3 for block in onnx.blocks_ms)
    assert sum(map(len, onnx.blocks_ms)) >= 20
    assert onnx.machine is not None and onnx.engine_version.startswith("onnxruntime ")
    assert onnx.peak_memory_mib is not None and onnx.baseline_memory_mib is not None
    assert onnx.peak_memory_mib > onnx.baseline_memory_mib > 1
    assert onnx.size_bytes == (bundle.path / "onnx/float32.onnx").stat().st_size
    assert onnx.notes == {"weights": "float32"}
    assert onnx.files == {"onnx/float32.onnx": bundle.manifest.files["onnx/float32.onnx"]}

    assert by_name["tensorrt/int8"].status == "not measured"
    assert "tensorrt is not installed here" in by_name["tensorrt/int8"].reason
    assert "broken.onnx is no whole ONNX file" in by_name["onnx/broken"].reason

    assert latency_ratio(onnx.launches, by_name["null/float32"].launches) is not None
    stored = {measurement.variant: measurement for measurement in read_measurements(folder)}
    np.testing.assert_array_equal(stored["onnx/float32"].points, onnx.points)
    assert stored["onnx/float32"].launches == onnx.launches
    assert stored["onnx/broken"].reason == by_name["onnx/broken"].reason


def test_a_crash_stops_nothing_else(bundle: Bundle, write_crops: Crops, tmp_path: Path) -> None:
    found = measure_bundle(
        CrashingTarget(),
        bundle,
        ("onnx/float32", "null/float32"),
        write_crops(3),
        QUICK,
        tmp_path / "m",
    )
    assert [measurement.status for measurement in found] == ["not measured", "measured"]
    assert "died of SIGABRT" in found[0].reason


BUILDING = """
import json, os, sys
print(json.dumps({"ok": True, "builds": True}), flush=True)
for line in sys.stdin:
    if json.loads(line)["do"] == "load":
        answer = {"ok": False, "error": {"fact": "no GPU here"}, "exit_code": 3}
    elif sys.argv[1] == "crash":
        os.abort()
    elif sys.argv[1] == "refuse":
        answer = {"ok": False, "error": {"fact": "invented 1 refused the graph"}, "exit_code": 2}
    else:
        built = {"builder": "invented 1", "layers": {"CONVOLUTION half": 2, "QUANTIZE int8": 1},
                 "weighted": 2, "float_layers": ["a"], "plan_bytes": 77}
        answer = {"ok": True, "built": built if sys.argv[1] == "build" else None}
    print(json.dumps(answer), flush=True)
"""


class BuildingTarget(HostTarget):
    """A host whose agent can build and not run, or fails at that as well."""

    def __init__(self, does: str) -> None:
        super().__init__()
        self._does = does

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        return PipeLink([sys.executable, "-c", BUILDING, self._does], {}, timeout_s)


@pytest.mark.parametrize(
    ("does", "status", "reason"),
    [
        ("build", "built, not run", "no GPU here"),
        ("nothing", "not measured", "no GPU here"),
        ("refuse", "not measured", "invented 1 refused the graph"),
        ("crash", "not measured", "no GPU here; then the agent died of SIGABRT"),
    ],
)
def test_what_can_be_built_where_it_cannot_run(
    bundle: Bundle, write_crops: Crops, tmp_path: Path, does: str, status: str, reason: str
) -> None:
    names, folder = ("onnx/float32",), tmp_path / "m"
    measure_bundle(BuildingTarget(does), bundle, names, write_crops(3), QUICK, folder)
    (stored,) = read_measurements(folder)
    assert stored.why_not == ("it was built, not run: " if does == "build" else "") + reason
    assert (stored.status, stored.reason, stored.points) == (status, reason, None)
    assert (stored.built is not None) == (does == "build")
    if stored.built is not None:
        assert stored.built.notes["float layers"] == "1 of 2: a"
        assert stored.built.notes["pairs"] == "1 QuantizeLinear, 0 DequantizeLinear"


class WatchedTarget(HostTarget):
    """A host that remembers the agents that it started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Link] = []

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        self.started.append(super().start(bundle, variant, threads, timeout_s))
        return self.started[-1]


@pytest.mark.parametrize("step", ["landmarks", "warm-up"])
def test_an_interrupt_leaves_no_agent_and_no_file(
    bundle: Bundle, write_crops: Crops, tmp_path: Path, step: str
) -> None:
    class Interrupt(Steps):
        def at(self, done: int, total: int, note: str = "") -> None:
            if step in note:
                raise KeyboardInterrupt

    target, folder = WatchedTarget(), tmp_path / "measurements"
    with pytest.raises(KeyboardInterrupt):
        names = ("onnx/float32", "null/float32")
        measure_bundle(target, bundle, names, write_crops(3), QUICK, folder, Interrupt())
    assert target.started and not folder.exists()
    for link in target.started:
        with pytest.raises(NotMeasuredError, match="the agent ended"):
            link.ask({"do": "memory"}, QUICK.timeout_s)


def test_a_dry_run_is_marked(bundle: Bundle, write_crops: Crops, tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, launches=1)
    names = ("onnx/float32", "null/float32")
    found = measure_bundle(load_target("null"), bundle, names, write_crops(4), config, tmp_path)
    assert {(m.status, m.engine, m.target) for m in found} == {("measured", "null", "null")}
    manifest = sha256_file(bundle.path / "manifest.json")
    assert {m.bundle_sha256 for m in found} == {manifest}


def test_unusable_crops(bundle: Bundle, write_crops: Crops, tmp_path: Path) -> None:
    crops = write_crops(3)
    with pytest.raises(LandmintError, match="holds 0 crops for 0 names"):
        measure_bundle(load_target("null"), bundle, (), write_crops(0), QUICK, tmp_path)
    crops.write_bytes(crops.read_bytes()[:100])
    with pytest.raises(LandmintError, match="does not hold crops, matrices and names"):
        measure_bundle(load_target("null"), bundle, (), crops, QUICK, tmp_path)
    with pytest.raises(LandmintError, match="has no variant 'x/y'"):
        measure_bundle(load_target("null"), bundle, ("x/y",), crops, QUICK, tmp_path)
