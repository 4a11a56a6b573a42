"""Timing: warm-up settles or says that it did not; figures come with what they need."""

from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from landmint.runtime import latency
from landmint.runtime.engines.engine import Tensor
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import (
    Block,
    LatencyConfig,
    Launch,
    WarmUp,
    latency_ratio,
    summarise_latency,
    time_block,
    warm_up,
)

INPUTS = [np.zeros((1, 3, 4, 4), dtype=np.float32)]


class Clock:
    """Stands in for the module `time`: time passes only when a session runs."""

    def __init__(self) -> None:
        self.wall_ms = self.processor_ms = 0.0

    def perf_counter(self) -> float:
        return self.wall_ms / 1000

    def perf_counter_ns(self) -> int:
        return round(self.wall_ms * 1e6)

    def process_time_ns(self) -> int:
        return round(self.processor_ms * 1e6)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the module under test reads."""
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return clock


class Timed:
    """A session whose runs take the times that it is given, the last one for ever.

    Its process runs for half of each time and waits for the other half.
    """

    executed_precision = "none"

    def __init__(self, clock: Clock, *times_ms: float) -> None:
        self.clock, self.times_ms = clock, list(times_ms)

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        duration_ms = self.times_ms.pop(0) if len(self.times_ms) > 1 else self.times_ms[0]
        self.clock.wall_ms += duration_ms
        self.clock.processor_ms += duration_ms / 2
        return {}


def launch_of(*blocks: tuple[float, ...], cpu: float = 1.0, settled: bool = True) -> Launch:
    timed = tuple(Block(samples, cpu * sum(samples)) for samples in blocks)
    return Launch(20.0, WarmUp(9.0, 40, settled), timed)


def test_warm_up_keeps_the_first_run_apart(clock: Clock) -> None:
    config = LatencyConfig(warm_runs=5, warm_ms=1)
    told = warm_up(Timed(clock, 20, 0.3), INPUTS, config)
    assert told.first_ms == pytest.approx(20)
    assert told.settled
    assert told.runs == 21, "two windows of ten runs must agree"


def test_warm_up_lasts_as_long_as_the_config_says(clock: Clock) -> None:
    told = warm_up(Timed(clock, 1), INPUTS, LatencyConfig(warm_runs=5, warm_ms=100))
    assert told.settled and told.runs == pytest.approx(100, abs=1)
    assert clock.wall_ms == pytest.approx(100, abs=1)


def test_warm_up_ends_though_nothing_settles(clock: Clock) -> None:
    restless = Timed(clock, *(1.1**i for i in range(100)))
    config = LatencyConfig(warm_runs=5, warm_ms=1, warm_limit_s=0.2)
    told = warm_up(restless, INPUTS, config)
    assert not told.settled
    assert 200 <= clock.wall_ms < 250


@pytest.mark.parametrize("seed", range(5))
def test_other_work_does_not_prolong_the_warm_up(clock: Clock, seed: int) -> None:
    """Runs of which some are a quarter to three times longer; the quickest are what they were."""
    rng = np.random.default_rng(seed)
    slowed = np.repeat(rng.random(60) < 0.4, 3)  # bursts of three runs
    times_ms = 2 * (1 + slowed * rng.uniform(0.25, 2, slowed.size))
    config = LatencyConfig(warm_runs=5, warm_ms=1)
    told = warm_up(Timed(clock, 20, *times_ms), INPUTS, config)
    assert told.settled and told.runs == 21


def test_a_model_that_still_gets_faster_has_not_settled(clock: Clock) -> None:
    config = LatencyConfig(warm_runs=5, warm_ms=1)
    told = warm_up(Timed(clock, 20, *(2 + 8 * 0.97**i for i in range(300))), INPUTS, config)
    assert told.settled
    last_ms, ten_before_ms = (2 + 8 * 0.97 ** (told.runs - n) for n in (2, 12))
    assert ten_before_ms < 1.045 * last_ms and told.runs > 100


def test_a_block_is_long_enough_and_of_enough_runs(clock: Clock) -> None:
    config = LatencyConfig(block_ms=5, block_runs=3)
    quick = time_block(Timed(clock, 0.5), INPUTS, config)
    slow = time_block(Timed(clock, 4), INPUTS, config)
    assert quick.samples_ms == pytest.approx((0.5,) * 10)
    assert slow.samples_ms == pytest.approx((4,) * 3)
    assert slow.cpu_ms == pytest.approx(6)


def test_a_device_that_tells_no_processor_time() -> None:
    launch = launch_of((2.0, 3.0))
    untold = replace(launch, blocks=tuple(replace(b, cpu_ms=None) for b in launch.blocks))
    found = summarise_latency([launch, untold], one_thread=True)
    assert (found.cpu_ms, found.waiting, found.samples) == (None, 0, 4)
    assert not any("busy" in note for note in found.notes)


def test_figures_of_launches() -> None:
    found = summarise_latency(
        [launch_of((2.0, 3.0, 50.0), (3.0, 3.0, 4.0)), launch_of((3.0,))], one_thread=True
    )
    assert (found.load_ms, found.first_ms) == (20, 9)
    assert found.warm_ms == pytest.approx(3.0)
    assert found.interval is not None and found.interval.estimate == pytest.approx(3.0)
    assert found.samples == 7
    assert found.waiting == 0


def test_tails_need_their_samples() -> None:
    few = summarise_latency([launch_of(tuple(range(1, 64)))], one_thread=True)
    assert (few.p90_ms, few.p99_ms) == (None, None)
    assert few.notes[:2] == (
        "p90 needs 64 samples, there are 63",
        "p99 needs 662 samples, there are 63",
    )
    assert "no interval" in few.notes[2]
    many = summarise_latency([launch_of(tuple(range(1, 701)))], one_thread=True)
    assert (many.p90_ms, many.p99_ms) == (630, 693)


def test_a_busy_machine_is_told() -> None:
    busy = [launch_of((2.0,) * 10, cpu=0.6), launch_of((2.0,) * 10, cpu=0.6)]
    found = summarise_latency(busy, one_thread=True)
    assert found.waiting == pytest.approx(0.4)
    assert found.notes[-1] == "the machine was busy: the process waited 40% of the time"
    assert summarise_latency(busy, one_thread=False).waiting == 0  # others' time is in it
    unsettled = summarise_latency(
        [launch_of((2.0,), settled=False), launch_of((2.0,))], one_thread=True
    )
    assert "had not settled in 1 of 2 launches" in unsettled.notes[-1]


def test_the_ratio_is_paired_by_launch() -> None:
    rng = np.random.default_rng(0)
    base = np.exp(rng.normal(0, 0.3, 5))  # launches differ wildly, the two variants alike
    slow = [launch_of((float(2.2 * b),)) for b in base]
    fast = [launch_of((float(2.0 * b),)) for b in base]
    ratio = latency_ratio(slow, fast)
    assert ratio is not None
    assert ratio.low == pytest.approx(1.1) and ratio.high == pytest.approx(1.1)
    assert latency_ratio(slow, fast[:-1]) is None


def test_nothing_can_be_timed_in_no_time() -> None:
    with pytest.raises(LandmintError, match="launches = 0 in the latency settings"):
        LatencyConfig(launches=0)


def test_the_median_of_a_launch_ignores_a_hiccup() -> None:
    launch = launch_of((1.0, 1.1, 40.0), (1.0, 1.0, 1.2), (9.0, 9.0, 9.0))
    assert summarise_latency([launch], one_thread=True).warm_ms == pytest.approx(
        median((1.1, 1.0, 9.0))
    )
