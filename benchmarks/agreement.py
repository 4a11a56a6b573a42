"""landmint's latency against that of tools that people trust, on the same file and settings.

In each round landmint and the tool take turns, in random order, each in a process of its own that
runs one thread, both on the core of that round. A round gives one ratio of their medians, and one
of their quickest runs, which other work on the machine hardly lengthens; intervals are over rounds,
since runs inside one process are not independent. Compared are
`benchmark_app` for OpenVINO, `litert-benchmark` for LiteRT, and for ONNX Runtime a loop around
`InferenceSession.run`. What is not installed is not measured.

    python benchmarks/agreement.py runs/demo/bundle --rounds 10
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import MappingProxyType

import numpy as np

from landmint.pipeline.judge.comparison import side_of
from landmint.pipeline.progress import Screen
from landmint.pipeline.text import markdown_table, milliseconds, times
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.machine import usable_cores
from landmint.runtime.progress import Progress
from landmint.runtime.scratch import scratch_folder
from landmint.runtime.stats import Interval, launch_interval
from landmint.targets import load_target
from landmint.targets.measure import measure_bundle
from landmint.targets.tools import ToolLatency, read_benchmark_app, read_litert_benchmark

GOAL = 0.03
"""How far landmint's median may be from the tool's, as a share of it."""
_COLUMNS = (
    *("variant", "against", "landmint, ms", "tool, ms", "ratio of medians [95 %]", "within 3 %"),
    *("ratio of quickest runs [95 %]", "within 3 %"),
)
_FACES = 4
_TIMEOUT_S = 600
_LOOP = """
import json, sys, time
import numpy, onnxruntime

path, warm_up, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
(tensor,) = session.get_inputs()
feed = {tensor.name: numpy.random.default_rng(0).random(tensor.shape, dtype=numpy.float32)}
seconds = []
for _ in range(warm_up + runs):
    begin = time.perf_counter()
    session.run(None, feed)
    seconds.append(time.perf_counter() - begin)
print(json.dumps([1000 * s for s in seconds[warm_up:]]))
"""
Tool = Callable[[Path, int, Path], ToolLatency]
"""From an artefact, a number of runs and an empty folder to the latency."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=300, help="of each process")
    options = parser.parse_args(arguments)
    try:
        with Screen().bar("agreement") as bar:
            rows = agreement(Bundle.open(options.bundle), options.rounds, options.runs, bar)
        print(markdown_table(_COLUMNS, rows))
    except LandmintError as error:
        print(f"agreement: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def agreement(bundle: Bundle, rounds: int, runs: int, progress: Progress) -> list[list[str]]:
    """One row for each variant that a tool can run too.

    Raises:
        LandmintError: the bundle is broken.
    """
    rows = []
    built = [variant.name for variant in bundle.manifest.variants if variant.files]
    names = [name for name in built if name.split("/")[0] in TOOLS]
    for name in names:
        label, tool = TOOLS[name.split("/")[0]]
        try:
            pairs = []
            for number in range(rounds):
                progress.at(number, rounds, name)
                pairs.append(_round(bundle, name, tool, runs, number))
        except NotMeasuredError as error:
            rows.append([name, label, "", "", f"not measured: {error.fact}", "", "", ""])
            continue
        ours, theirs = (
            median(side.median_ms for side in sides) for sides in zip(*pairs, strict=True)
        )
        rows.append([name, label, milliseconds(ours), milliseconds(theirs)])
        for ratios in (
            [own.median_ms / other.median_ms for own, other in pairs],
            [own.quickest_ms / other.quickest_ms for own, other in pairs],
        ):
            interval = launch_interval(ratios)
            rows[-1] += [" ".join(times(interval)), _within(interval)]
    return rows


@dataclass(frozen=True)
class _Side:
    """What one process took."""

    median_ms: float
    quickest_ms: float


def _within(ratio: Interval | None) -> str:
    if ratio is None:
        return "one round cannot tell"
    low, high = side_of(ratio, 1 - GOAL), side_of(ratio, 1 + GOAL)
    if (low, high) == ("above", "below"):
        return "yes"
    return "no" if low == "below" or high == "above" else "undecided"


def _round(bundle: Bundle, name: str, tool: Tool, runs: int, seed: int) -> tuple[_Side, _Side]:
    """Landmint's process and the tool's.

    Raises:
        NotMeasuredError: one of the two does not run.
    """
    entry = bundle.file(bundle.variant(name).files[0])
    sides: dict[str, _Side] = {}
    order = ["landmint", "tool"]
    random.Random(seed).shuffle(order)
    with scratch_folder() as scratch, _one_core(seed):
        (scratch / "tool").mkdir()
        for turn in order:
            if turn == "landmint":
                sides[turn] = _landmint(bundle, name, runs, scratch)
            else:
                sides[turn] = _side(tool(entry, runs, scratch / "tool"))
    return sides["landmint"], sides["tool"]


@contextmanager
def _one_core(number: int) -> Iterator[None]:
    """Hold this process, and those that it starts, to one core: cores are not equally quick."""
    cores = usable_cores()
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    os.sched_setaffinity(0, {cores[number % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _side(latency: ToolLatency) -> _Side:
    if not latency.median_ms or not latency.min_ms:
        raise NotMeasuredError("the tool tells no median or no minimum above 0")
    return _Side(latency.median_ms, latency.min_ms)


def _landmint(bundle: Bundle, name: str, runs: int, scratch: Path) -> _Side:
    size = bundle.manifest.contract.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (_FACES, size, size, 3), dtype=np.uint8)
    crops = scratch / "crops.npz"
    names = [str(number) for number in range(_FACES)]
    np.savez(crops, crops=pixels, matrices=np.tile(np.eye(2, 3), (_FACES, 1, 1)), names=names)
    config = LatencyConfig(launches=1, samples=runs, seconds=_TIMEOUT_S)
    (measurement,) = measure_bundle(
        load_target("host"), bundle, [name], crops, config, scratch / "measured"
    )
    if measurement.latency is None:
        raise NotMeasuredError(f"{name} does not run here", reason=measurement.reason)
    samples = [ms for launch in measurement.launches for b in launch.blocks for ms in b.samples_ms]
    return _Side(measurement.latency.warm_ms, min(samples))


def _benchmark_app(entry: Path, runs: int, folder: Path) -> ToolLatency:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": "1",
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": "NO",
    }
    (folder / "settings.json").write_text(json.dumps({"CPU": settings}), encoding="utf-8")
    _run(
        *("benchmark_app", "-m", str(entry), "-d", "CPU", "-api", "sync", "-niter", str(runs)),
        *("-hint", "none", "-load_config", str(folder / "settings.json"), "-json_stats"),
        *("-report_type", "no_counters", "-report_folder", str(folder)),
    )
    return read_benchmark_app((folder / "benchmark_report.json").read_text(encoding="utf-8"))


def _litert_benchmark(entry: Path, runs: int, folder: Path) -> ToolLatency:
    result = folder / "result.json"
    _run(
        *("litert-benchmark", "--model", str(entry), "--num_threads", "1", "--warmup_runs", "100"),
        *("--num_runs", str(runs), "--result_json", str(result)),
    )
    return read_litert_benchmark(result.read_text(encoding="utf-8"))


def _plain_loop(entry: Path, runs: int, folder: Path) -> ToolLatency:
    samples = json.loads(_run(sys.executable, "-c", _LOOP, str(entry), "100", str(runs)))
    return ToolLatency(median_ms=median(samples), min_ms=min(samples), runs=runs)


def _run(command: str, *arguments: str) -> str:
    """Run a command of this environment and return what it prints.

    Raises:
        NotMeasuredError: there is no such command, or it fails.
    """
    beside = Path(sys.executable).parent / command  # or the command itself, if it is a path
    place = str(beside) if beside.is_file() else shutil.which(command)
    if place is None:
        raise NotMeasuredError(f"{command} is not installed")
    try:
        done = subprocess.run(
            [place, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotMeasuredError(f"{command} takes longer than {_TIMEOUT_S} s") from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NotMeasuredError(f"{command} fails: {' '.join(last)}")
    return done.stdout


TOOLS: Mapping[str, tuple[str, Tool]] = MappingProxyType(
    {
        "onnx": ("a plain loop", _plain_loop),
        "openvino": ("benchmark_app", _benchmark_app),
        "tflite": ("litert-benchmark", _litert_benchmark),
    }
)
"""What each format is compared with."""

if __name__ == "__main__":
    sys.exit(main())
