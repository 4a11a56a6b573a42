"""Tests the gate on this machine: a build against itself, as it is and slowed down by real work.

What it counts are whole gates, with looks, confirmation and all. A gate of a build with itself that
ends in a regression is a false alarm.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from landmint.pipeline.builds import Build, Pair
from landmint.pipeline.gating import Places, sides_of, write_crops
from landmint.pipeline.judge.comparing import compare
from landmint.pipeline.judge.gate import VerdictStatus, worst
from landmint.pipeline.judge.paired import PairedRules
from landmint.pipeline.measure_config import MeasureConfig
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import write_json, write_text
from landmint.runtime.machine import Machine, identify
from landmint.runtime.progress import Progress
from landmint.runtime.scratch import scratch_folder
from landmint.runtime.stats import proportion_bounds
from landmint.targets.paired import PAIRED_LATENCY, Side, paired_visit
from landmint.train.faces.face import FaceSet

SLOWDOWNS = (0.0, 0.03, 0.05, 0.10)
"""None, for false alarms, and those whose detection is counted."""


@dataclass(frozen=True)
class Gate:
    """One gate."""

    status: VerdictStatus
    """How it ended."""
    seconds: float
    """How long it took."""
    log_ratios: tuple[float, ...]
    """What each launch told, confirmation included."""


@dataclass(frozen=True)
class Trials:
    """Gates of one variant with one slowdown."""

    slowdown: float
    """Work added to the candidate, as a share of a run."""
    gates: tuple[Gate, ...]
    """Each of them."""

    def count(self, status: VerdictStatus) -> int:
        """How many ended so."""
        return sum(gate.status == status for gate in self.gates)

    @property
    def regressions(self) -> int:
        """How many ended in a regression: false alarms without a slowdown, detections with one."""
        return self.count("regression")

    @property
    def rate(self) -> tuple[float, float, float]:
        """Share of regressions, with the bounds of its exact 95 % interval."""
        low, high = proportion_bounds(self.regressions, len(self.gates))
        return self.regressions / len(self.gates), low, high

    @property
    def ratio(self) -> float:
        """Median ratio that the launches saw."""
        return math.exp(median(value for gate in self.gates for value in gate.log_ratios))


@dataclass(frozen=True)
class SelfTest:
    """The gate's own figures for one variant on one machine."""

    variant: str
    """Its name."""
    machine: Machine
    """Which machine."""
    trials: tuple[Trials, ...]
    """One for each slowdown."""

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return dataclasses.asdict(self)


def run_self_tests(
    build: Build,
    pairs: Sequence[Pair],
    repeats: int,
    faces: FaceSet,
    config: MeasureConfig,
    rules: PairedRules,
    progress: Progress,
    slowdowns: Sequence[float] = SLOWDOWNS,
) -> tuple[SelfTest, ...]:
    """Gate variants of a build against themselves.

    Args:
        build: its bundle.
        pairs: each variant with itself.
        repeats: gates for each slowdown.
        faces: of the build's markup.
        config: target, threads, and the seed of the first gate.
        rules: of the gate.
        progress: told of every gate.
        slowdowns: work added to the candidate, as shares of a run.

    Raises:
        LandmintError: no repeat is asked for, or there are no faces.
        NotMeasuredError: a variant does not run here.
    """
    if repeats < 1:
        raise LandmintError(f"a self-test of {repeats} gates", reason="one at least is needed")
    places, machine = Places.of(config.target), identify()
    tests = []
    with scratch_folder() as scratch:
        crops = write_crops(scratch / "crops.npz", faces, build)
        for pair in pairs:
            trials = []
            for slowdown in slowdowns:
                sides = sides_of(pair, (build, build), places, slowdown)
                gates = []
                for number in range(repeats):
                    progress.step(f"{pair.name} +{slowdown:.0%}: gate {number + 1} of {repeats}")
                    gates.append(_gate(sides, crops, config, rules, number))
                trials.append(Trials(slowdown, tuple(gates)))
            tests.append(SelfTest(pair.name, machine, tuple(trials)))
    return tuple(tests)


def _gate(
    sides: tuple[Side, Side], crops: Path, config: MeasureConfig, rules: PairedRules, number: int
) -> Gate:
    seed = config.seed + number
    latency = dataclasses.replace(PAIRED_LATENCY, threads=config.threads, seed=seed)
    begin = time.monotonic()
    with paired_visit(*sides, crops, latency) as visit:
        [checks] = compare([visit], rules)
        if visit.failure:
            raise NotMeasuredError("the gate cannot be tested here", reason=visit.failure)
        log_ratios = tuple(launch.log_ratio for launch in visit.launches)
    status = worst([check.status for check in checks])
    return Gate(status, time.monotonic() - begin, log_ratios)


def self_test_table(tests: Sequence[SelfTest]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| variant | slowdown | measured | gates | regression (95 % interval) | inconclusive "
        "| pass | median time, s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for test in tests:
        for trials in test.trials:
            share, low, high = trials.rate
            cells = (
                test.variant,
                f"{trials.slowdown:.0%}",
                f"{trials.ratio - 1:+.1%}",
                f"{len(trials.gates)}",
                f"{share:.1%} [{low:.1%}, {high:.1%}]",
                f"{trials.count('inconclusive')}",
                f"{trials.count('pass')}",
                f"{median(gate.seconds for gate in trials.gates):.0f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_self_tests(tests: Sequence[SelfTest], folder: Path) -> None:
    """Write every gate as JSON, and the table."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"schema": 1, "tests": [test.to_json() for test in tests]}
    write_json(folder / "self-test.json", content)
    write_text(folder / "self-test.md", self_test_table(tests))
