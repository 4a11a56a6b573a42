"""What other tools report, in their own words."""

import json

import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.targets.tools import (
    READERS,
    read_benchmark_app,
    read_benchmark_model,
    read_benchmark_model_series,
    read_litert_benchmark,
    read_trtexec,
)

BENCHMARK_MODEL = """\
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds
INFO: count=7 first=99999 curr=88888 min=77777 max=99999 avg=88888 std=12
INFO: Running benchmark for at least 50 iterations and at least 1 seconds
INFO: Timings (microseconds): count=50 first=79449 curr=81350 min=77385 max=88213 avg=79732 std=1929
INFO: Inference timings in us: Init: 12345, First inference: 81000, Warmup (avg): 80000, \
Inference (avg): 79732
INFO: Overall peak memory footprint (MB) via periodic monitoring: 12.5
"""
TRTEXEC = """\
[01/01/2026-10:00:00] [I] === Performance summary ===
[01/01/2026-10:00:00] [I] Throughput: 234.19 qps
[01/01/2026-10:00:00] [I] Enqueue Time: min = 1 ms, max = 2 ms, mean = 1.5 ms, median = 1.4 ms
[01/01/2026-10:00:00] [I] H2D Latency: min = 0.1 ms, max = 0.2 ms, mean = 0.1 ms, median = 0.1 ms
[01/01/2026-10:00:00] [I] Latency: min = 4.27838 ms, max = 5.82495 ms, mean = 4.29966 ms, \
median = 4.29718 ms, percentile(90%) = 4.30725 ms, percentile(99%) = 4.4 ms
[01/01/2026-10:00:00] [I] GPU Compute Time: min = 4 ms, max = 5 ms, mean = 4 ms, median = 4 ms
"""
LITERT = {
    "model": "m.tflite",
    "model_size_mb": 1.1,
    "fully_accelerated": True,
    "num_threads": 1,
    "latency": {
        **{"init_ms": 3.1, "warmup_first_ms": 2.0, "avg_ms": 1.35, "min_ms": 1.3, "max_ms": 2.2},
        **{"median_ms": 1.34, "p5_ms": 1.31, "p95_ms": 1.6, "num_runs": 200},
    },
}
BENCHMARK_APP = {
    "configuration_setup": {"topology": "net"},
    "execution_results": {
        "read model time (ms)": "7.68",
        "compile model time (ms)": "49.38",
        "first inference time (ms)": "2.85",
        "total number of iterations": "16367",
        "latency (ms)": "0.15",
        **{"avg latency": "0.18", "min latency": "0.14", "max latency": "9.01"},
        "throughput": "5455.50",
    },
}


def test_the_series_of_benchmark_model() -> None:
    warm, runs = read_benchmark_model_series(BENCHMARK_MODEL)
    assert (warm["count"], runs["count"]) == pytest.approx((7, 50))
    assert (runs["first"], runs["curr"]) == pytest.approx((79.449, 81.35))
    (same,) = read_benchmark_model_series("INFO: count=2 curr=512(all same)\n")
    assert (same["count"], same["curr"]) == pytest.approx((2, 0.512))
    with pytest.raises(LandmintError, match="no report of benchmark_model"):
        read_benchmark_model_series("INFO: count=0")


def test_benchmark_model_tells_its_runs_after_its_warm_up() -> None:
    latency = read_benchmark_model(BENCHMARK_MODEL)
    assert latency.runs == 50
    assert latency.mean_ms == pytest.approx(79.732)
    assert (latency.min_ms, latency.max_ms) == pytest.approx((77.385, 88.213))
    assert (latency.load_ms, latency.first_ms) == pytest.approx((12.345, 81.0))
    assert latency.median_ms is None


def test_newer_builds_of_benchmark_model_tell_percentiles() -> None:
    line = "count=50 first=7 curr=8 min=6 max=9 avg=7.5e+00 std=1 p5=6.1 median=7.4 p95=8.8"
    latency = read_benchmark_model(line)
    assert latency.median_ms == pytest.approx(0.0074)
    assert latency.percentiles_ms == pytest.approx({5: 0.0061, 95: 0.0088})
    assert latency.first_ms == pytest.approx(0.007)


def test_a_single_run_of_benchmark_model_has_one_figure() -> None:
    latency = read_benchmark_model("count=1 curr=1500")
    assert latency.mean_ms == latency.median_ms == pytest.approx(1.5)


def test_trtexec_is_read_with_the_copies_and_without_other_lines() -> None:
    latency = read_trtexec(TRTEXEC)
    assert latency.median_ms == pytest.approx(4.29718)
    assert (latency.mean_ms, latency.min_ms, latency.max_ms) == pytest.approx(
        (4.29966, 4.27838, 5.82495)
    )
    assert latency.percentiles_ms == pytest.approx({90: 4.30725, 99: 4.4})


def test_the_times_of_every_run_of_trtexec() -> None:
    times = np.random.default_rng(0).gamma(9, 0.5, 300)
    runs = [{"startEnqMs": 1.0, "computeMs": t / 2, "latencyMs": t} for t in times.tolist()]
    latency = read_trtexec(json.dumps(runs))
    assert latency.runs == 300
    assert latency.median_ms == pytest.approx(sorted(times)[149] / 2 + sorted(times)[150] / 2)
    assert latency.percentiles_ms[99] == pytest.approx(np.percentile(times, 99))


def test_litert_benchmark() -> None:
    latency = read_litert_benchmark(json.dumps(LITERT))
    assert (latency.median_ms, latency.mean_ms) == pytest.approx((1.34, 1.35))
    assert (latency.load_ms, latency.first_ms, latency.runs) == pytest.approx((3.1, 2.0, 200))
    assert latency.percentiles_ms == pytest.approx({5: 1.31, 95: 1.6})
    assert latency.rounded_to_ms == pytest.approx(0.01)


def test_benchmark_app_whose_numbers_are_strings() -> None:
    latency = read_benchmark_app(json.dumps(BENCHMARK_APP))
    assert latency.median_ms == pytest.approx(0.15)
    assert (latency.mean_ms, latency.min_ms, latency.max_ms) == pytest.approx((0.18, 0.14, 9.01))
    assert latency.load_ms == pytest.approx(57.06)
    assert latency.runs == 16367


def test_benchmark_app_asked_for_another_percentile_tells_no_median() -> None:
    results = {"latency (90 percentile) (ms)": "0.20", "avg latency": "0.18"}
    latency = read_benchmark_app(json.dumps({"execution_results": results}))
    assert latency.median_ms is None
    assert latency.percentiles_ms == pytest.approx({90: 0.2})


@pytest.mark.parametrize("tool", READERS)
@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "null", "[" * 9999, "count= first", "Latency: none", '[{"a": 1}]'),
        '{"latency": 1, "execution_results": []}',
        '{"latency": {"avg_ms": "fast"}, "execution_results": {"avg latency": "fast"}}',
        '{"latency": {"avg_ms": -1}, "execution_results": {"avg latency": "-1"}}',
        "count=5 avg=-3",
        "Latency: mean = -1 ms",
        '[{"latencyMs": NaN}]',
    ],
)
def test_what_is_no_report_is_one_message(tool: str, text: str) -> None:
    with pytest.raises(LandmintError, match=f"this is no report of {tool}"):
        READERS[tool](text)
