"""Timing one loaded model: first run, warm-up until it settles, blocks of warm runs.

This side runs on the device and times; who takes turns with whom is decided where processes are
started, in `landmint.targets`. What is timed is `Session.run`, of the tensors that `predict` feeds
it: input tensor in, outputs out, copies included; cropping, normalising and decoding are not.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol, runtime_checkable

import numpy as np

from landmint.runtime.conditions import Conditions, preemptions
from landmint.runtime.engines.engine import Session, Tensor
from landmint.runtime.errors import LandmintError
from landmint.runtime.stats import Interval, launch_interval, quantile, samples_needed

# Warm-up has settled when two windows of runs, one after the other, are equally quick.
_WINDOW_RUNS = 10
_AGREEMENT = 0.04
_BUSY = 0.1


@dataclass(frozen=True)
class LatencyConfig:
    """How long and how often to time."""

    threads: int = 1
    """Threads that one inference may use."""
    launches: int = 3
    """Fresh processes of each variant; with fewer than two there is no interval."""
    samples: int = 700
    """Warm runs of each variant wanted over all launches; p99 needs 662."""
    seconds: float = 4.0
    """Time for each variant's warm runs over all launches; a slow variant gets fewer runs."""
    block_ms: float = 15.0
    """Least duration of one block of runs."""
    block_runs: int = 5
    """Least runs in one block."""
    warm_runs: int = 30
    """Least warm-up runs."""
    warm_ms: float = 250.0
    """Least warm-up time."""
    warm_limit_s: float = 8.0
    """Longest warm-up; a model that has not settled by then is timed as it is, and marked."""
    timeout_s: float = 300.0
    """Longest wait for one answer of a variant's process before it counts as hung."""
    seed: int = 0
    """Seed of the order in which variants take turns."""

    def __post_init__(self) -> None:
        """Refuse what cannot be timed.

        Raises:
            LandmintError: a count or a duration is not positive.
        """
        positive = dataclasses.asdict(self)
        del positive["seed"]
        for name, value in positive.items():
            if not value > 0:
                raise LandmintError(f"{name} = {value} in the latency settings must be positive")


@dataclass(frozen=True)
class WarmUp:
    """The runs before the timed ones."""

    first_ms: float
    """The first run after loading."""
    runs: int
    """Warm-up runs, the first included."""
    settled: bool
    """Whether the time of a run had settled."""


@dataclass(frozen=True)
class Block:
    """Warm runs, one after the other, while no other variant ran."""

    samples_ms: tuple[float, ...]
    """Each run."""
    cpu_ms: float | None
    """Processor time of this process over the block, all threads; None where it is not told."""
    preempted: tuple[int, ...] | None = None
    """Places in `samples_ms` of the runs in which the kernel took a core away from this process;
    None where the system does not tell."""
    others_ms: float | None = None
    """Processor time of everything else on the machine meanwhile, all cores, in steps of 10 ms."""
    frequency_mhz: float | None = None
    """Clock of the core at the end of the block."""


@dataclass(frozen=True)
class Launch:
    """One process of one variant."""

    load_ms: float
    """From the file to a model that is ready to run."""
    warm_up: WarmUp
    """Before the blocks."""
    blocks: tuple[Block, ...]
    """The timed runs, in order."""
    before: Conditions | None = None
    """The machine before the first block; None in measurements of an older landmint."""
    after: Conditions | None = None
    """The machine after the last block."""


@dataclass(frozen=True)
class Latency:
    """The latency of one variant, from its launches; in milliseconds."""

    load_ms: float
    """Median over launches."""
    first_ms: float
    """Median over launches."""
    warm_ms: float
    """Median of a launch's block medians; then the geometric mean over launches."""
    interval: Interval | None
    """Confidence interval of `warm_ms`, over launches; None for a single launch."""
    cpu_ms: float | None
    """Processor time of a run, all threads: hardly moved by other work on the machine. None where
    it is not told."""
    p90_ms: float | None
    """Over all samples; None when there are too few."""
    p99_ms: float | None
    """Over all samples; None when there are too few."""
    samples: int
    """Warm runs."""
    waiting: float
    """Share of the time that the process did not run; high on a machine with other work. 0 where
    it cannot be told: with several threads, on a GPU, or without the processor time."""
    notes: tuple[str, ...]
    """Why a figure is not given or is in doubt."""


@runtime_checkable
class SelfTimed(Protocol):
    """A session that another program runs, in processes of its own, and times by its own clock."""

    def warm_up(self, inputs: Sequence[Tensor], config: LatencyConfig) -> WarmUp:
        """As the function `warm_up` does."""
        ...

    def time_block(self, inputs: Sequence[Tensor], config: LatencyConfig) -> Block:
        """As the function `time_block` does; it may be longer, where a process starts slowly."""
        ...


def warm_up(session: Session, inputs: Sequence[Tensor], config: LatencyConfig) -> WarmUp:
    """Run until the time of a run has settled, within the limits of the config.

    Settled: the quickest of the last ten runs and the quickest of the ten before agree within 4 %.
    Other work makes runs longer, never shorter, so it hardly moves the quickest; means it moves for
    as long as it lasts. Processor time counts as well as the clock's: on a busy machine the clock
    alone would never settle.
    """
    if isinstance(session, SelfTimed):
        return session.warm_up(inputs, config)
    begin = time.perf_counter()
    first_ms = _timed(session, inputs[0])[0]
    clock, processor = _Settling(), _Settling()
    runs = 1
    while True:
        elapsed_s = time.perf_counter() - begin
        settled = clock.settled or processor.settled
        enough = runs >= config.warm_runs and elapsed_s * 1000 >= config.warm_ms
        if (enough and settled) or elapsed_s >= config.warm_limit_s:
            return WarmUp(first_ms, runs, settled)
        wall_ms, cpu_ms = _timed(session, inputs[runs % len(inputs)])
        clock.add(wall_ms)
        processor.add(cpu_ms)
        runs += 1


def has_settled(times_ms: Iterable[float]) -> bool:
    """Whether the times of runs, the first left out, had settled at their end, as in `warm_up`."""
    settling = _Settling()
    for ms in times_ms:
        settling.add(ms)
    return settling.settled


class _Settling:
    """The last runs of one series, and whether their time still changes."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=2 * _WINDOW_RUNS)

    def add(self, value: float) -> None:
        self._last.append(value)

    @property
    def settled(self) -> bool:
        runs = list(self._last)
        if len(runs) < 2 * _WINDOW_RUNS:
            return False
        before, after = min(runs[:_WINDOW_RUNS]), min(runs[_WINDOW_RUNS:])
        return abs(after - before) <= _AGREEMENT * before


def time_block(session: Session, inputs: Sequence[Tensor], config: LatencyConfig) -> Block:
    """One block, at least as long and of at least as many runs as the config says."""
    if isinstance(session, SelfTimed):
        return session.time_block(inputs, config)
    samples: list[float] = []
    preempted: list[int] = []
    block_ms = cpu_ms = 0.0
    switches = preemptions()
    while len(samples) < config.block_runs or block_ms < config.block_ms:
        before = switches
        run_ms, run_cpu_ms = _timed(session, inputs[len(samples) % len(inputs)])
        switches = preemptions()
        if switches != before:
            preempted.append(len(samples))
        samples.append(run_ms)
        block_ms += run_ms
        cpu_ms += run_cpu_ms
    return Block(tuple(samples), cpu_ms, None if switches is None else tuple(preempted))


def _timed(session: Session, tensor: Tensor) -> tuple[float, float]:
    """Milliseconds by the clock, and of this process on processors."""
    cpu, begin = time.process_time_ns(), time.perf_counter_ns()
    session.run(tensor)
    wall = time.perf_counter_ns() - begin
    return wall / 1e6, (time.process_time_ns() - cpu) / 1e6


def launch_median(launch: Launch) -> float:
    """Median over blocks of the block medians, in milliseconds."""
    return median(median(block.samples_ms) for block in launch.blocks)


def summarise_latency(launches: Sequence[Launch], one_thread: bool) -> Latency:
    """The figures of one variant's launches.

    Args:
        launches: at least one.
        one_thread: whether one thread of the process does all the work; where several do, or a
            GPU, its processor time does not tell how long it waited.
    """
    samples = np.array([ms for launch in launches for b in launch.blocks for ms in b.samples_ms])
    medians = [launch_median(launch) for launch in launches]
    cpu_ms = _mean_cpu_ms(launches, len(samples))
    waiting = 0.0
    if one_thread and cpu_ms is not None:
        waiting = max(0.0, 1 - cpu_ms / float(samples.mean()))
    return Latency(
        load_ms=median(launch.load_ms for launch in launches),
        first_ms=median(launch.warm_up.first_ms for launch in launches),
        warm_ms=float(np.exp(np.log(medians).mean())),
        interval=launch_interval(medians),
        cpu_ms=cpu_ms,
        p90_ms=quantile(samples, 0.90) if len(samples) >= samples_needed(0.90) else None,
        p99_ms=quantile(samples, 0.99) if len(samples) >= samples_needed(0.99) else None,
        samples=len(samples),
        waiting=waiting,
        notes=tuple(_notes(launches, len(samples), waiting)),
    )


def _mean_cpu_ms(launches: Sequence[Launch], runs: int) -> float | None:
    """Processor time of a run; None unless every block tells its own."""
    spans = [block.cpu_ms for launch in launches for block in launch.blocks]
    known = [ms for ms in spans if ms is not None]
    return sum(known) / runs if len(known) == len(spans) else None


def _notes(launches: Sequence[Launch], samples: int, waiting: float) -> Iterator[str]:
    for share in (0.90, 0.99):
        if samples < samples_needed(share):
            yield f"p{share * 100:.0f} needs {samples_needed(share)} samples, there are {samples}"
    if len(launches) < 2:
        yield "one launch: no interval, since launches differ more than runs of one launch"
    unsettled = sum(not launch.warm_up.settled for launch in launches)
    if unsettled:
        yield f"warm-up had not settled in {unsettled} of {len(launches)} launches"
    if waiting > _BUSY:
        yield f"the machine was busy: the process waited {waiting:.0%} of the time"


def latency_ratio(numerator: Sequence[Launch], denominator: Sequence[Launch]) -> Interval | None:
    """How much slower one variant is than another, paired by the launches where they took turns.

    Compares the median of block minima: other work on the machine lengthens some runs of a block,
    seldom all. Tails are not seen. None for fewer than two launches, or unequal numbers of them.
    """
    if len(numerator) != len(denominator):
        return None
    pairs = zip(numerator, denominator, strict=True)
    return launch_interval([_quickest(a) / _quickest(b) for a, b in pairs])


def _quickest(launch: Launch) -> float:
    return median(min(block.samples_ms) for block in launch.blocks)
