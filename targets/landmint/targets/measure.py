"""Measures a bundle on a target: first the landmarks of every variant, then its latency.

For latency each variant is started several times in a process of its own (a launch). Within a
launch, blocks of runs of all variants alternate in random order, so that other work on the machine
slows all of them alike. Where minutes are asked for, each variant then runs for so long without a
pause. On a target whose times say nothing, instructions are counted instead. Raw samples are
stored; nothing is judged.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from landmint.runtime.bundle import Bundle
from landmint.runtime.engines import ENGINES
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.measurement import Measurement, write_measurement
from landmint.runtime.progress import SILENT, Progress
from landmint.runtime.scratch import scratch_folder
from landmint.targets.sustained import sustain
from landmint.targets.target import Target
from landmint.targets.visit import Faces, Subject, Turn, Visit


def measure_bundle(
    target: Target,
    bundle: Bundle,
    variants: Sequence[str],
    crops: Path,
    config: LatencyConfig,
    folder: Path,
    progress: Progress = SILENT,
    minutes: float = 0.0,
) -> tuple[Measurement, ...]:
    """Measure variants on a target and write one measurement each.

    Args:
        target: where to run.
        bundle: what to run.
        variants: names; none means every variant whose engine the runtime knows.
        crops: npz of crops (N, S, S, 3) uint8, matrices (N, 2, 3) from crop to image pixels, and
            names (N,) of the faces.
        config: how to time.
        folder: where the measurements are written, once the visit is over.
        progress: called at every step.
        minutes: how long each variant runs without a pause afterwards, of `check_minutes`; not at
            all when 0.

    Returns:
        the measurements, in the order of `variants`. A variant that was not built, cannot run
        there, crashes or hangs is "not measured", with the reason; the others go on.

    Raises:
        LandmintError: there is no such variant, or the crops cannot be read.
    """
    known = [v.name for v in bundle.manifest.variants if v.engine in ENGINES]
    chosen = [bundle.variant(name) for name in variants or known]
    session = datetime.now(UTC).isoformat(timespec="seconds")
    with scratch_folder() as scratch:
        faces = Faces.read(crops, scratch, target)
        place = target.push(bundle.path)
        subjects = [Subject(v.name, bundle, v, target, place) for v in chosen]
        launches = 0 if target.no_times else config.launches
        steps = _Steps(len(subjects) * (1 + 2 * launches), progress)
        visit = Visit(faces, config, subjects, steps.add)
        try:
            visit.predict_all(scratch)
            for number in range(launches):
                _launch(visit, number, config)
            for subject in visit.alive if minutes else ():
                sustain(subject, faces, minutes, config.threads, config.timeout_s, progress)
        finally:
            visit.close()
    progress.at(1, 1, "measured")
    measurements = tuple(visit.measurement(subject, session) for subject in subjects)
    for measurement in measurements:
        write_measurement(folder, measurement)
    return measurements


class _Steps:
    """Counts the steps that are over."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done = 0
        self._total = total
        self._progress = progress

    def add(self, note: str) -> None:
        self._done += 1
        self._progress.at(self._done, self._total, note)


def _launch(visit: Visit, number: int, config: LatencyConfig) -> None:
    """Start all variants that have not failed: load, warm up, time blocks in turns."""
    turns = visit.start_all()
    visit.random.shuffle(turns)
    for turn in turns:
        visit.warm(turn)
        visit.step(f"{turn.subject.label}: warm-up {number + 1}")
    waiting = [turn for turn in turns if not turn.subject.failure]
    while waiting:
        visit.take_turns(waiting)
        waiting = [turn for turn in waiting if not _has_enough(turn, config)]
    for turn in turns:
        visit.finish(turn)
        visit.step(f"{turn.subject.label}: times {number + 1}")
    visit.close()


def _has_enough(turn: Turn, config: LatencyConfig) -> bool:
    """Whether a turn has its share of the runs or of the seconds, or has failed."""
    samples = sum(len(block.samples_ms) for block in turn.blocks)
    spent_s = sum(sum(block.samples_ms) for block in turn.blocks) / 1000
    return (
        bool(turn.subject.failure)
        or samples >= config.samples / config.launches
        or spent_s >= config.seconds / config.launches
    )
