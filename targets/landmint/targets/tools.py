"""Readers of what other benchmark tools report, to hold landmint's figures against theirs.

Each takes the text that a tool printed or wrote and returns the same record. Nothing is run here;
`benchmarks/agreement.py` does that.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from landmint.runtime.errors import LandmintError

_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class ToolLatency:
    """The latency of one model by another tool, in milliseconds; None for what it does not tell."""

    median_ms: float | None = None
    """Of the runs after the warm-up."""
    mean_ms: float | None = None
    """Of the same runs."""
    min_ms: float | None = None
    """Of the same runs."""
    max_ms: float | None = None
    """Of the same runs."""
    percentiles_ms: Mapping[int, float] = field(default_factory=dict)
    """Other percentiles that it tells, by their number."""
    runs: int | None = None
    """How many runs these are of."""
    first_ms: float | None = None
    """The first run after loading."""
    load_ms: float | None = None
    """From the file to a model that is ready to run."""
    rounded_to_ms: float = 0.0
    """The tool rounds its figures to multiples of this; 0 for figures of many digits."""


def read_benchmark_model(text: str) -> ToolLatency:
    """What TFLite's benchmark_model prints.

    Its warm-up prints the same line as its runs; the last one counts. Older builds tell no median.

    Raises:
        LandmintError: it holds no timings.
    """
    per_run = read_benchmark_model_series(text)[-1]
    runs = int(per_run["count"])
    only = per_run.get("curr") if runs == 1 else None
    init = re.search(rf"Init: ({_NUMBER}), First inference: ({_NUMBER})", text)
    return _checked(
        "benchmark_model",
        ToolLatency(
            median_ms=per_run.get("median", only),
            mean_ms=per_run.get("avg", only),
            min_ms=per_run.get("min", only),
            max_ms=per_run.get("max", only),
            percentiles_ms={int(k[1:]): v for k, v in per_run.items() if re.fullmatch(r"p\d+", k)},
            runs=runs,
            first_ms=float(init[2]) / 1000 if init else per_run.get("first"),
            load_ms=float(init[1]) / 1000 if init else None,
        ),
    )


def read_benchmark_model_series(text: str) -> list[dict[str, float]]:
    """The lines of timings that benchmark_model prints: of its warm-up, then of its runs.

    Returns:
        for each line its `count` of runs, and times in milliseconds by benchmark_model's own names:
        `first`, `curr` (the last), `min`, `max`, `avg`. A single run is told as `curr` alone.

    Raises:
        LandmintError: it holds no timings.
    """
    lines = re.findall(r"\bcount=\d+ .*", text)
    if not lines:
        raise _nothing("benchmark_model", "no line with count=")
    series = []
    for line in lines:
        values = {key: float(value) for key, value in re.findall(rf"(\w+)=({_NUMBER})", line)}
        times = {key: us / 1000 for key, us in values.items()}
        series.append({**times, "count": values["count"]})
    return series


def read_litert_benchmark(text: str) -> ToolLatency:
    """The file that litert-benchmark writes to `--result_json`.

    Raises:
        LandmintError: it is no such file.
    """
    latency = _part("litert-benchmark", text, "latency")
    get = _getter(latency, "_ms")
    return _checked(
        "litert-benchmark",
        ToolLatency(
            median_ms=get("median"),
            mean_ms=get("avg"),
            min_ms=get("min"),
            max_ms=get("max"),
            percentiles_ms={n: ms for n in (5, 95) if (ms := get(f"p{n}")) is not None},
            runs=int(latency["num_runs"]) if "num_runs" in latency else None,
            first_ms=get("warmup_first"),
            load_ms=get("init"),
            rounded_to_ms=0.01,
        ),
    )


def read_benchmark_app(text: str) -> ToolLatency:
    """The file that OpenVINO's benchmark_app writes with `-json_stats`, whose values are strings.

    Raises:
        LandmintError: it is no such file.
    """
    results = _part("benchmark_app", text, "execution_results")
    get = _getter(results, "")
    named = {re.fullmatch(r"latency \((\d+) percentile\) \(ms\)", key): key for key in results}
    loading = [get("read model time (ms)"), get("compile model time (ms)")]
    runs = get("total number of iterations")
    return _checked(
        "benchmark_app",
        ToolLatency(
            median_ms=get("latency (ms)"),
            mean_ms=get("avg latency"),
            min_ms=get("min latency"),
            max_ms=get("max latency"),
            percentiles_ms={int(m[1]): ms for m, k in named.items() if m and (ms := get(k))},
            runs=None if runs is None else int(runs),
            first_ms=get("first inference time (ms)"),
            load_ms=None if None in loading else sum(ms for ms in loading if ms is not None),
            rounded_to_ms=0.01,
        ),
    )


def read_trtexec(text: str) -> ToolLatency:
    """What trtexec prints, or the file of its `--exportTimes`.

    It is the latency with the copies to and from the GPU, as landmint times it: for TensorRT 11,
    trtexec has to be given `--includeDataTransfers --noCudaGraph --noSpinWait`.

    Raises:
        LandmintError: it holds no latency.
    """
    if re.match(r"\s*\[\s*[{\]]", text):  # a log begins with a bracket too
        return _read_trtexec_times(text)
    # "H2D Latency:" and "D2H Latency:" are other lines.
    line = re.search(r"^(?:\[[^\]\n]*\]\s*)*Latency: (.*)$", text, re.MULTILINE)
    if line is None:
        raise _nothing("trtexec", "no line with Latency:")
    values = dict(re.findall(rf"([\w()%]+) = ({_NUMBER}) ms", line[1]))
    tails = {k: float(v) for k, v in values.items() if k.startswith("percentile(")}
    get = _getter(values, "")
    return _checked(
        "trtexec",
        ToolLatency(
            median_ms=get("median"),
            mean_ms=get("mean"),
            min_ms=get("min"),
            max_ms=get("max"),
            percentiles_ms={int(re.sub(r"\D", "", key)): ms for key, ms in tails.items()},
        ),
    )


def _read_trtexec_times(text: str) -> ToolLatency:
    try:
        times = np.array([float(run["latencyMs"]) for run in json.loads(text)])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _nothing("trtexec", f"{type(error).__name__}: {error}") from None
    if not len(times):
        raise _nothing("trtexec", "no run")
    return _checked(
        "trtexec",
        ToolLatency(
            median_ms=float(np.median(times)),
            mean_ms=float(times.mean()),
            min_ms=float(times.min()),
            max_ms=float(times.max()),
            percentiles_ms={n: float(np.percentile(times, n)) for n in (90, 95, 99)},
            runs=len(times),
        ),
    )


READERS: Mapping[str, Callable[[str], ToolLatency]] = MappingProxyType(
    {
        "benchmark_model": read_benchmark_model,
        "litert-benchmark": read_litert_benchmark,
        "benchmark_app": read_benchmark_app,
        "trtexec": read_trtexec,
    }
)
"""The reader of each tool, by the tool's command."""


def _part(tool: str, text: str, key: str) -> dict[str, Any]:
    """One object of a JSON file."""
    try:
        part = json.loads(text)[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _nothing(tool, f"{type(error).__name__}: {error}") from None
    if not isinstance(part, dict):
        raise _nothing(tool, f"'{key}' is no object")
    return part


def _getter(values: Mapping[str, Any], suffix: str) -> Callable[[str], float | None]:
    def get(key: str) -> float | None:
        try:
            return float(values[f"{key}{suffix}"])
        except KeyError:
            return None
        except (TypeError, ValueError):
            return math.nan  # which is refused

    return get


def _checked(tool: str, latency: ToolLatency) -> ToolLatency:
    """The latency itself, unless a figure of it cannot be a time or its median and mean are absent.

    A model too fast for the tool's rounding may take 0 ms.
    """
    figures = (latency.median_ms, latency.mean_ms, latency.min_ms, latency.max_ms, latency.load_ms)
    known = [ms for ms in (*figures, *latency.percentiles_ms.values()) if ms is not None]
    if latency.median_ms is None and latency.mean_ms is None:
        raise _nothing(tool, "neither median nor mean")
    if not all(math.isfinite(ms) and ms >= 0 for ms in known):
        raise _nothing(tool, "a time that is negative or no number")
    return latency


def _nothing(tool: str, reason: str) -> LandmintError:
    return LandmintError(
        f"this is no report of {tool}",
        reason=reason,
        remedy=f"give what {tool} printed or wrote, whole",
        choices=sorted(READERS),
    )
