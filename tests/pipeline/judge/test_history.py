"""A candidate against its device's own history: Student's prediction interval, and what refuses."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from landmint.pipeline.judge import history
from landmint.pipeline.judge.gate import Verdict, exit_code
from landmint.pipeline.judge.history import judge_against_history, slowdown
from landmint.pipeline.judge.judgement import VERDICT_FILES, Judgement
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.machine import Machine
from landmint.runtime.measurement import Measurement, not_measured

PI = Machine("4x Cortex-A76", "aarch64", 4, "Raspberry Pi 5", ("asimd",), governor="performance")


def _session(ms: float, day: int, **fields: object) -> Measurement:
    launch = Launch(40.0, WarmUp(9.0, 60, True), (Block((ms, ms), 2 * ms),))
    content: dict[str, object] = {
        "bundle": "pfld",
        "variant": "tflite/int8",
        "engine": "litert",
        "status": "measured",
        "engine_version": "litert 2.1",
        "executed_precision": "i8 53, f32 2",
        "target": "host",
        "session": f"2026-01-{day + 1:02}T12:00:00+00:00",
        "machine": PI,
        "launches": (launch, launch),
    }
    return Measurement(**{**content, **fields})  # type: ignore[arg-type]


def _past(count: int, spread: float = 0.01, **fields: object) -> list[Measurement]:
    """Sessions whose logarithms have this standard deviation exactly, and the mean ln 2."""
    logs = np.random.default_rng(5).normal(size=count)
    logs = math.log(2) + spread * (logs - logs.mean()) / logs.std(ddof=1)
    return [_session(math.exp(value), day, **fields) for day, value in enumerate(logs)]


def _verdict(candidate: Measurement, past: list[Measurement]) -> Verdict:
    (verdict,) = judge_against_history([candidate], past)
    return verdict


def test_the_interval_is_student_s_by_scipy() -> None:
    past = np.log([2.0, 2.1, 1.95, 2.02, 2.2, 1.99, 2.0, 2.05])
    interval, surely_over = slowdown(math.log(2.3), past, 0.01)
    scale = scipy.stats.sem(past) * math.sqrt(len(past) + 1)
    student = scipy.stats.t(len(past) - 1, loc=math.log(2.3) - past.mean(), scale=scale)
    assert interval.low == pytest.approx(math.exp(student.ppf(0.025)))
    assert interval.high == pytest.approx(math.exp(student.ppf(0.975)))
    assert surely_over == pytest.approx(math.exp(student.ppf(0.01)))


def test_a_session_in_a_hundred_is_a_false_alarm_and_95_intervals_hold() -> None:
    rng = np.random.default_rng(2)
    alarms = held = 0
    for _ in range(4000):
        logs = rng.normal(0, 0.03, 11)
        interval, surely_over = slowdown(logs[10], logs[:10], 0.01)
        alarms += surely_over > 1
        held += interval.low <= 1 <= interval.high
    assert scipy.stats.binomtest(alarms, 4000, 0.01).pvalue > 0.001
    assert scipy.stats.binomtest(held, 4000, 0.95).pvalue > 0.001


def test_a_slowdown_of_the_detectable_size_shows_nine_times_in_ten() -> None:
    rng = np.random.default_rng(4)
    shown = 0
    for _ in range(3000):
        logs = rng.normal(0, 0.02, 21)
        known = 0.02 * (logs[:20] - logs[:20].mean()) / logs[:20].std(ddof=1)
        interval, _ = slowdown(0.0, known, 0.01)
        slower = math.log(1.01 + interval.detectable)
        shown += slowdown(logs[20] + slower, logs[:20], 0.01)[1] > 1.01
    assert shown / 3000 == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(
    ("ms", "status", "code"),
    [(2.0, "pass", 0), (1.5, "pass", 0), (2.06, "inconclusive", 4), (2.12, "regression", 1)],
)
def test_the_four_sides_of_the_band(ms: float, status: str, code: int) -> None:
    verdict = _verdict(_session(ms, 20), _past(14))
    assert verdict.status == status
    assert exit_code([verdict]) == code
    (check,) = verdict.checks
    assert check.value == pytest.approx(ms / 2)
    assert "compared with this device's own history of 14 sessions, not paired" in check.reason
    assert check.detectable is not None and 0.03 < check.detectable < 0.06


@pytest.mark.parametrize("sessions", [0, 1, 7])
def test_too_few_sessions(sessions: int) -> None:
    past = [_session(2.0 + day / 1000, day) for day in range(sessions)]
    verdict = _verdict(_session(9.0, 20), past)
    assert verdict.status == "inconclusive"
    assert f"{sessions} sessions, not paired; {8 - sessions} more are needed" in (
        verdict.checks[0].reason
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"engine_version": "litert 2.2"}, "another engine version: litert 2.2 against "),
        ({"executed_precision": "f32"}, "another executed precision: f32 against "),
        ({"threads": 2}, "another threads: 2 against "),
        ({"machine": dataclasses.replace(PI, board="Raspberry Pi 4")}, "another processor: Rasp"),
        ({"machine": dataclasses.replace(PI, flags=("neon",))}, "another instruction sets: neon"),
    ],
)
def test_what_cannot_be_compared_is_not_measured(fields: dict[str, object], reason: str) -> None:
    verdict = _verdict(_session(2.0, 20, **fields), _past(14))
    assert verdict.status == "not measured"
    assert exit_code([verdict]) == 3
    start = f"none of its 14 earlier sessions can be compared with it: {reason}"
    assert verdict.reason.startswith(start)


def test_load_and_other_packages_make_no_other_machine() -> None:
    busy = dataclasses.replace(PI, load=3.0, kernel="6.9", python="3.13", packages={"numpy": "3"})
    assert _verdict(_session(2.0, 20, machine=busy), _past(14)).status == "pass"


def test_only_earlier_comparable_sessions_of_the_same_variant_count() -> None:
    others = [_session(9.0, day, variant="onnx/int8") for day in range(14)]
    others += [_session(9.0, day, bundle="pipnet") for day in range(14)]
    others += [_session(9.0, day, target="pi") for day in range(14)]
    others += [_session(9.0, day, engine_version="litert 1") for day in range(14)]
    later = [_session(9.0, day) for day in range(20, 29)]
    check = _verdict(_session(2.0, 20), [*later, *others, *_past(14)]).checks[0]
    assert "14 sessions" in check.reason
    assert check.value == pytest.approx(1.0)


def test_the_latest_sessions_count() -> None:
    old = [dataclasses.replace(_session(9.0, 0), session=f"2025-{i:02}") for i in range(1, 10)]
    past = [*_past(history.MOST_SESSIONS), *old]
    check = _verdict(_session(2.0, 27), past).checks[0]
    assert f"{history.MOST_SESSIONS} sessions" in check.reason
    assert check.value == pytest.approx(1.0)


def test_false_alarms_are_shared_by_the_variants() -> None:
    past, candidate = _past(14), _session(2.083, 20)
    assert _verdict(candidate, past).status == "regression"
    more = [_session(2.0, 20, variant=f"onnx/v{i}") for i in range(9)]
    first, *_ = judge_against_history([candidate, *more], past)
    assert first.status == "inconclusive"


def test_what_was_not_timed_is_not_measured() -> None:
    missing = not_measured("pfld", "tensorrt/int8", "tensorrt", "no GPU")
    untimed = _session(2.0, 20, launches=())
    reference = _session(2.0, 20, variant="torch/float32", launches=(), machine=None)
    verdicts = judge_against_history([missing, untimed, reference], _past(14))
    assert [(v.status, v.reason) for v in verdicts] == [
        ("not measured", "no GPU"),
        ("not measured", "latency was not measured"),
    ]


def test_every_text_of_a_verdict_names_the_figure(tmp_path: Path) -> None:
    verdicts = judge_against_history([_session(2.12, 20)], _past(14))
    judgement = Judgement("pfld", verdicts)
    judgement.write(tmp_path)
    for name in VERDICT_FILES:
        assert (tmp_path / name).read_text(encoding="utf-8"), name
    assert "latency over its history | 1.060× [1.037, 1.084]" in judgement.text
    assert "own history of 14 sessions, not paired" in judgement.text
    assert "landmint_latency_history{" in (tmp_path / "metrics.prom").read_text(encoding="utf-8")
