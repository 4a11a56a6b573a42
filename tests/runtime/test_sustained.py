"""A sustained run: its phases, its throttling, and its file, from series that a test invented."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from landmint.runtime import latency, sustained
from landmint.runtime.conditions import Conditions
from landmint.runtime.engines.engine import Tensor
from landmint.runtime.errors import LandmintError
from landmint.runtime.measurement import Measurement, read_measurement, write_measurement
from landmint.runtime.sustained import Moment, Sustained, summarise_sustained, time_moment

FULL_MHZ, HELD_MHZ = 2400.0, 1500.0


def moments(
    seconds: int,
    clock: Callable[[int], float | None] = lambda second: FULL_MHZ,
    said: Callable[[int], tuple[str, ...]] = lambda second: (),
) -> list[Moment]:
    """A run of 2 ms at full clock, longer at a lower one; it heats up from 40 to 80 degrees."""
    rng = np.random.default_rng(0)
    made = []
    for second in range(seconds):
        longer = FULL_MHZ / (clock(second) or FULL_MHZ)
        samples = 2.0 * longer * np.exp(np.abs(rng.normal(0, 0.03, 400)))
        heat = 80 - 40 * np.exp(-second / 120)
        made.append(Moment(1e6 + 1.01 * second, tuple(samples), clock(second), heat, said(second)))
    return made


def held_after(second: int) -> Callable[[int], float]:
    return lambda now: FULL_MHZ if now < second else HELD_MHZ


def test_phases_against_scipy_and_numpy() -> None:
    made = moments(600, held_after(240))
    told = summarise_sustained(Sustained.of(10, made))
    assert told is not None
    assert [phase.name for phase in told.phases] == ["cold", "warm", "steady"]
    runs = [np.array(moment.samples_ms) for moment in made]
    begun = np.array([moment.begun_s - made[0].begun_s for moment in made])
    medians = np.array([np.median(r) for r in runs])
    fives = medians[begun >= 30][: (begun >= 30).sum() // 5 * 5].reshape(-1, 5).mean(axis=1)
    cut = min(range(len(fives) - 4), key=lambda d: stats.sem(fives[d:], ddof=0))
    steady = int(np.searchsorted(begun, 30)) + 5 * cut
    expected = {
        "cold": runs[0],
        "warm": np.concatenate([r for r, t in zip(runs, begun, strict=True) if 1 <= t < 30]),
        "steady": np.concatenate(runs[steady:]),
    }
    for phase in told.phases:
        samples = expected[phase.name]
        assert phase.runs == len(samples)
        assert phase.p50_ms == pytest.approx(np.sort(samples)[-(-len(samples) // 2) - 1], rel=1e-6)
        if phase.name == "cold":
            assert phase.p99_ms is None, "400 runs are too few"
        else:
            p99 = stats.scoreatpercentile(samples, 99, interpolation_method="higher")
            assert phase.p99_ms == pytest.approx(p99, rel=1e-3)
    last = told.phases[-1]
    assert 240 <= last.begun_s <= 1.01 * 245
    assert last.p50_ms / told.phases[0].p50_ms == pytest.approx(FULL_MHZ / HELD_MHZ, rel=0.02)
    work_s = sum(r.sum() for r in runs) / 1000
    assert told.seconds == pytest.approx(begun[-1] + runs[-1].sum() / 1000)
    assert told.working == pytest.approx(work_s / told.seconds)
    assert told.first_c == pytest.approx(40) and told.hottest_c == pytest.approx(80, abs=1)


def test_a_low_clock_is_throttling_when_it_lasts() -> None:
    told = summarise_sustained(Sustained.of(10, moments(600, held_after(240))))
    assert told is not None and told.tells_clock
    assert told.throttled_s == pytest.approx(240 * 1.01)
    assert told.throttled_by == "its clock: 1500 of 2400 MHz"

    def flicker(second: int) -> float:
        return HELD_MHZ if second % 10 < 4 and second > 20 else FULL_MHZ

    told = summarise_sustained(Sustained.of(10, moments(100, flicker)))
    assert told is not None and told.throttled_s is None and told.throttled_by == ""


def test_the_firmware_is_believed_at_once() -> None:
    def said(second: int) -> tuple[str, ...]:
        return ("frequency capped", "throttled") if second == 33 else ()

    told = summarise_sustained(Sustained.of(10, moments(100, lambda second: None, said)))
    assert told is not None and not told.tells_clock
    assert told.throttled_s == pytest.approx(33 * 1.01)
    assert told.throttled_by == "the firmware: frequency capped, throttled"


def test_a_machine_that_tells_nothing() -> None:
    bare = [dataclasses.replace(m, temperature_c=None, frequency_mhz=None) for m in moments(60)]
    told = summarise_sustained(Sustained.of(1, bare))
    assert told is not None
    assert (told.throttled_s, told.tells_clock, told.first_c, told.hottest_c) == (
        *(None, False),
        *(None, None),
    )
    assert told.phase("steady") is None, "thirty moments after the warm ones are too few"
    assert summarise_sustained(Sustained.of(1, [], "it died")) is None


def example(run: Sustained) -> Measurement:
    return Measurement("tiny", "tflite/int8", "litert", "measured", sustained=run)


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    run = Sustained.of(2, moments(90, said=lambda now: ("throttled",) * (now > 80)), "it was cut")
    read = read_measurement(write_measurement(tmp_path, example(run))).sustained
    assert read is not None
    for name, value in vars(run).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    size = (tmp_path / "tflite-int8.npz").stat().st_size
    assert size < 4.5 * len(run.samples_ms), "samples are compressed"
    nothing = read_measurement(write_measurement(tmp_path, example(Sustained.of(2, [], "it died"))))
    assert nothing.sustained is not None and nothing.sustained.cut == "it died"


def test_a_broken_file_is_one_message(tmp_path: Path) -> None:
    path = write_measurement(tmp_path, example(Sustained.of(2, moments(3))))
    arrays = tmp_path / "tflite-int8.npz"
    arrays.write_bytes(arrays.read_bytes()[:-100])
    with pytest.raises(LandmintError, match="missing, truncated or changed"):
        read_measurement(path)
    torn = dataclasses.replace(Sustained.of(2, moments(3)), runs=np.array([400, 400, 1]))
    with pytest.raises(LandmintError, match="is incomplete.*\n.*moments of shapes"):
        read_measurement(write_measurement(tmp_path, example(torn)))


class Clock:
    """Stands in for the module `time`, whose date is set back by a year at every look at it."""

    def __init__(self) -> None:
        self.now_s, self.date_s = 100.0, 1.8e9

    def time(self) -> float:
        self.date_s -= 3.15e7
        return self.date_s

    def monotonic(self) -> float:
        return self.now_s

    def perf_counter_ns(self) -> int:
        return round(self.now_s * 1e9)

    def process_time_ns(self) -> int:
        return 0


def test_a_moment_lasts_a_second_by_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    class Session:
        executed_precision = "none"

        def run(self, tensor: Tensor) -> dict[str, Tensor]:
            clock.now_s += 0.3
            return {}

    for module in (sustained, latency):
        monkeypatch.setattr(module, "time", clock)
    state = Conditions(temperature_c=61.0, throttled=("throttled",))
    monkeypatch.setattr(sustained, "read_conditions", lambda: state)
    monkeypatch.setattr(sustained, "frequency_mhz", lambda: 1800.0)
    moment = time_moment(Session(), [np.zeros(1, np.float32)])
    assert moment.begun_s == pytest.approx(100.0)
    assert moment.samples_ms == pytest.approx((300.0,) * 4)
    assert moment.frequency_mhz == pytest.approx(1800)
    assert moment.temperature_c == pytest.approx(61)
    assert moment.throttled == ("throttled",)
