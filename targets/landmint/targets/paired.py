"""A paired visit: two builds on one machine, launch by launch, block by block.

In each launch a fresh process of each build loads and warms up, both on the same core; then pairs
of short blocks follow, each pair in random order. A caller asks for launches until it knows enough.
Nothing is judged. The method: docs/gate.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import NotMeasuredError
from landmint.runtime.hygiene import BACK_OFF_S
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.measurement import Measurement
from landmint.runtime.paired import PairedLaunch
from landmint.runtime.progress import SILENT, Progress
from landmint.runtime.scratch import scratch_folder
from landmint.targets.target import Target
from landmint.targets.visit import Faces, Subject, Visit

PAIRS = 28
"""Pairs of blocks in one launch."""
PAIRED_LATENCY = LatencyConfig(block_ms=4.0, block_runs=2, warm_runs=20, warm_ms=100.0)
"""Blocks as short as can be: what other work does to the machine seldom changes within a pair. Two
runs, since the first finds the caches as the other build left them. Twelve launches hold the 662
runs that p99 needs. The warm-up need not be long, as both builds have the same."""


@dataclass(frozen=True)
class Side:
    """One of the two builds."""

    bundle: Bundle
    """Where it lies."""
    variant: str
    """Which variant of the bundle."""
    target: Target
    """What runs it. The targets of both sides are the same machine; they may differ in Python."""
    slowdown: float = 0.0
    """Work added to every run, as a share of the run's own time; only for testing the gate."""


@contextmanager
def paired_visit(
    baseline: Side,
    candidate: Side,
    crops: Path,
    config: LatencyConfig = PAIRED_LATENCY,
    progress: Progress = SILENT,
) -> Iterator["PairedVisit"]:
    """Yield a visit with two builds to a machine; afterwards no process of it is left.

    Args:
        baseline: the build that is compared with.
        candidate: the build that is judged.
        crops: npz of crops (N, S, S, 3) uint8, matrices (N, 2, 3) from crop to image pixels, and
            names (N,) of the faces.
        config: how to warm up and how long a block is; its counts of launches, samples and seconds
            are not used.
        progress: told of every step.

    Raises:
        LandmintError: a bundle has no such variant, or the crops cannot be read.

    Example:
        >>> with paired_visit(baseline, candidate, crops) as visit:  # doctest: +SKIP
        ...     visit.predict()
        ...     ratios = [launch.log_ratio for launch in visit.measure(12)]
    """
    with scratch_folder() as scratch:
        faces = Faces.read(crops, scratch, candidate.target)
        sides = _subject("baseline", baseline), _subject("candidate", candidate)
        visit = Visit(faces, config, sides, progress.step)
        try:
            yield PairedVisit(visit, scratch)
        finally:
            visit.close()


class PairedVisit:
    """Two builds on one machine."""

    def __init__(self, visit: Visit, scratch: Path) -> None:
        """Use `paired_visit`; nothing is started yet.

        Args:
            visit: of two subjects, the baseline first.
            scratch: a folder for files of the visit.
        """
        self._visit = visit
        self._scratch = scratch
        self._session = datetime.now(UTC).isoformat(timespec="seconds")
        self.spoiled: list[str] = []
        """Why launches were tried again, one entry for each that does not count."""

    @property
    def failure(self) -> str:
        """Why the comparison cannot go on, and on which side; empty while it can."""
        failed = [subject for subject in self._visit.subjects if subject.failure]
        reasons = (self._visit.measurement(side, self._session).why_not for side in failed)
        return "; ".join(f"the {s.label}: {why}" for s, why in zip(failed, reasons, strict=True))

    def predict(self) -> None:
        """Compute the landmarks of both builds on all faces, and ask what precision ran."""
        self._visit.predict_all(self._scratch)

    def measure(self, launches: int) -> tuple[PairedLaunch, ...]:
        """Launch both builds so often, or until one of them fails; returns these launches.

        Raises:
            NotMeasuredError: times on this target say nothing.
        """
        if reasons := [s.target.no_times for s in self._visit.subjects if s.target.no_times]:
            raise NotMeasuredError("no launch is timed there", reason=reasons[0])
        before = self._completed
        for _ in range(launches):
            if self.failure:
                break
            self._launch()
        return self.launches[before:]

    @property
    def launches(self) -> tuple[PairedLaunch, ...]:
        """Every launch that came to its end on both sides."""
        pairs = zip(*(subject.launches for subject in self._visit.subjects), strict=False)
        return tuple(PairedLaunch(a, b) for a, b in pairs)

    def measurements(self) -> tuple[Measurement, Measurement]:
        """Baseline and candidate, raw; "not measured", with the reason, where a side failed."""
        baseline, candidate = self._visit.subjects
        return (
            self._visit.measurement(baseline, self._session),
            self._visit.measurement(candidate, self._session),
        )

    @property
    def _completed(self) -> int:
        return min(len(subject.launches) for subject in self._visit.subjects)

    def _launch(self) -> None:
        """One launch of both builds; one that the machine spoiled is tried again after a wait."""
        for pause_s in (*BACK_OFF_S, None):
            self._try_launch()
            fault = "" if self.failure else self.launches[-1].fault
            if not fault:
                return
            self.spoiled.append(fault)
            for subject in self._visit.subjects:
                subject.launches.pop()
            if pause_s is not None:
                self._visit.step(f"launch {self._completed + 1} waits {pause_s:g} s: {fault}")
                sleep(pause_s)
        for subject in self._visit.subjects:
            subject.failure = f"{len(BACK_OFF_S) + 1} launches in a row were spoiled: {fault}"

    def _try_launch(self) -> None:
        turns = self._visit.start_all()
        self._visit.random.shuffle(turns)
        for turn in turns:
            self._visit.warm(turn)
        for _ in range(PAIRS):
            if self.failure:
                break
            self._visit.take_turns(turns)
        for turn in turns:
            self._visit.finish(turn)
        self._visit.close()
        self._visit.step(f"{self._visit.subjects[1].variant.name}: launch {self._completed}")


def _subject(label: str, side: Side) -> Subject:
    place = side.target.push(side.bundle.path)
    variant = side.bundle.variant(side.variant)
    return Subject(label, side.bundle, variant, side.target, place, side.slowdown)
