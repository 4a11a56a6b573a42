"""Measures a bundle on a target: first the landmarks of every variant, then its latency.

For latency each variant is started several times in a process of its own (a launch). Within a
launch, blocks of runs of all variants alternate in random order, so that other work on the machine
slows all of them alike. Raw samples are stored; nothing is judged.
"""

import dataclasses
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from landmint.runtime.agent import Answer, Request
from landmint.runtime.bundle import Bundle, Variant
from landmint.runtime.engines import ENGINES
from landmint.runtime.engines.engine import Operator
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.latency import Block, LatencyConfig, Launch, WarmUp
from landmint.runtime.machine import Machine
from landmint.runtime.measurement import Measurement, write_measurement
from landmint.runtime.progress import SILENT, Progress
from landmint.runtime.scratch import scratch_folder
from landmint.targets.target import Link, Target

"""Told the steps done, the steps in all, and what comes next."""

_TIMED_FACES = 4
_FACE_S = 2.0  # a face that takes longer on average counts as a hang


def measure_bundle(
    target: Target,
    bundle: Bundle,
    variants: Sequence[str],
    crops: Path,
    config: LatencyConfig,
    folder: Path,
    progress: Progress = SILENT,
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

    Returns:
        the measurements, in the order of `variants`. A variant that was not built, cannot run
        there, crashes or hangs is "not measured", with the reason; the others go on.

    Raises:
        LandmintError: there is no such variant, or the crops cannot be read.
    """
    known = [v.name for v in bundle.manifest.variants if v.engine in ENGINES]
    subjects = [_Subject(bundle.variant(name), bundle.plans) for name in variants or known]
    session = datetime.now(UTC).isoformat(timespec="seconds")
    with scratch_folder() as scratch:
        faces = _Faces.read(crops, scratch, target)
        visit = _Visit(target, target.push(bundle.path), faces, config, subjects, progress)
        try:
            visit.predict_all(scratch)
            for number in range(config.launches):
                visit.launch(number)
        finally:
            visit.close()
    progress.at(1, 1, "measured")
    measurements = tuple(visit.measurement(bundle, subject, session) for subject in subjects)
    for measurement in measurements:
        write_measurement(folder, measurement)
    return measurements


@dataclass(frozen=True)
class _Faces:
    """The crops, as files on the target."""

    names: tuple[str, ...]
    crops: str
    timed: str
    """A file with the few faces that timed models are fed: all would add to their memory."""

    @staticmethod
    def read(crops: Path, scratch: Path, target: Target) -> "_Faces":
        try:
            with crops.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                names = tuple(str(name) for name in arrays["names"])
                pixels, matrices = arrays["crops"], arrays["matrices"]
        except Exception as error:  # numpy and zipfile have many ways to refuse a file
            raise LandmintError(
                f"{crops} does not hold crops, matrices and names",
                reason=f"{type(error).__name__}: {error}",
                remedy="measure again",
            ) from None
        if not names or len(pixels) != len(names):
            raise LandmintError(f"{crops} holds {len(pixels)} crops for {len(names)} names")
        few = scratch / "timed.npz"
        np.savez(few, crops=pixels[:_TIMED_FACES], matrices=matrices[:_TIMED_FACES])
        return _Faces(names, target.push(crops), target.push(few))


@dataclass(eq=False)
class _Subject:
    """One variant, and what has been measured of it so far."""

    variant: Variant
    plans: bool
    failure: str = ""
    hello: Answer = field(default_factory=dict)
    precision: str = ""
    operators: tuple[Operator, ...] = ()
    points: Any = None
    launches: list[Launch] = field(default_factory=list)
    memory: Answer = field(default_factory=dict)


@dataclass(eq=False)
class _Turn:
    """One subject's process in one launch."""

    subject: _Subject
    link: Link
    load_ms: float = 0.0
    warm_up: WarmUp | None = None
    blocks: list[Block] = field(default_factory=list)

    def samples(self) -> int:
        return sum(len(block.samples_ms) for block in self.blocks)

    def spent_s(self) -> float:
        return sum(sum(block.samples_ms) for block in self.blocks) / 1000


class _Visit:
    def __init__(
        self,
        target: Target,
        bundle: str,
        faces: _Faces,
        config: LatencyConfig,
        subjects: Sequence[_Subject],
        progress: Progress,
    ) -> None:
        self._target = target
        self._bundle = bundle
        self._faces = faces
        self._config = config
        self._subjects = subjects
        self._progress = progress
        self._random = random.Random(config.seed)
        self._links: list[Link] = []
        self._lock = threading.Lock()
        self._done = 0
        self._total = len(subjects) * (1 + 2 * config.launches)

    def predict_all(self, scratch: Path) -> None:
        """Compute the landmarks of every variant; as many at once as the target allows."""

        def predict(subject: _Subject) -> None:
            self._predict(subject, scratch)
            self._step(f"{subject.variant.name}: landmarks")

        self._together(predict, self._subjects, self._target.parallel // self._config.threads)

    def _predict(self, subject: _Subject, scratch: Path) -> None:
        name = subject.variant.name.replace("/", "-")
        remote, here = f"{self._faces.timed}.{name}.npy", scratch / f"{name}.npy"
        with _failing(subject):
            link = self._start(subject)
            try:
                subject.hello = link.hello
                self._ask(link, {"do": "load", "plans": subject.plans})
                request = {"do": "predict", "crops": self._faces.crops, "points": remote}
                link.ask(request, self._config.timeout_s + _FACE_S * len(self._faces.names))
                self._note_precision(subject, link)
            finally:
                link.close()
            self._target.pull(remote, here)
            subject.points = np.load(here, allow_pickle=False)

    def _note_precision(self, subject: _Subject, link: Link) -> None:
        """Ask which precision ran; a failure to tell is noted, and does not end the variant."""
        try:
            answer = self._ask(link, {"do": "precision"})
            subject.precision = str(answer["executed_precision"])
            subject.operators = tuple(Operator(**operator) for operator in answer["operators"])
        except NotMeasuredError:
            raise
        except LandmintError as error:
            subject.precision = f"unknown: {error.reason or error.fact}"

    def launch(self, number: int) -> None:
        """Start all variants that have not failed: load, warm up, time blocks in turns."""
        turns = self._start_all()
        turns.sort(key=lambda turn: turn.subject.variant.name)  # the seed alone makes the order
        self._random.shuffle(turns)
        for turn in turns:
            with _failing(turn.subject):
                self._warm(turn)
            self._step(f"{turn.subject.variant.name}: warm-up {number + 1}")
        self._take_turns([turn for turn in turns if not turn.subject.failure])
        for turn in turns:
            with _failing(turn.subject):
                self._finish(turn)
            self._step(f"{turn.subject.variant.name}: times {number + 1}")
        self.close()

    def close(self) -> None:
        """End every agent that still runs."""
        while self._links:
            self._links.pop().close()

    def _start_all(self) -> list[_Turn]:
        """Start the processes side by side; nothing is timed yet."""
        turns: list[_Turn] = []

        def start(subject: _Subject) -> None:
            with _failing(subject):
                turns.append(_Turn(subject, self._start(subject)))

        alive = [subject for subject in self._subjects if not subject.failure]
        self._together(start, alive, self._target.parallel)
        return turns

    def _together(
        self, work: Callable[[_Subject], None], subjects: Sequence[_Subject], workers: int
    ) -> None:
        """Do the work for each variant, some at once; on an interrupt the agents end first."""
        with ThreadPoolExecutor(max(1, workers)) as pool:
            futures = [pool.submit(work, subject) for subject in subjects]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise

    def _warm(self, turn: _Turn) -> None:
        turn.load_ms = self._ask(turn.link, {"do": "load", "plans": turn.subject.plans})["load_ms"]
        request = {"do": "warm", "crops": self._faces.timed, "config": self._settings()}
        answer = self._ask(turn.link, request)
        turn.warm_up = WarmUp(answer["first_ms"], answer["runs"], answer["settled"])

    def _take_turns(self, turns: list[_Turn]) -> None:
        """Time one block of each, in a new random order every round, until all have enough."""
        samples = self._config.samples / self._config.launches
        seconds = self._config.seconds / self._config.launches
        request = {"do": "block", "config": self._settings()}
        while turns:
            self._random.shuffle(turns)
            for turn in turns:
                with _failing(turn.subject):
                    answer = self._ask(turn.link, request)
                    turn.blocks.append(Block(tuple(answer["samples_ms"]), answer["cpu_ms"]))
            turns = [
                turn
                for turn in turns
                if not turn.subject.failure
                and turn.samples() < samples
                and turn.spent_s() < seconds
            ]

    def _finish(self, turn: _Turn) -> None:
        if turn.subject.failure or turn.warm_up is None:
            return
        turn.subject.memory = self._ask(turn.link, {"do": "memory"})
        turn.subject.launches.append(Launch(turn.load_ms, turn.warm_up, tuple(turn.blocks)))

    def measurement(self, bundle: Bundle, subject: _Subject, session: str) -> Measurement:
        """The measurement of a variant, after the visit."""
        variant = subject.variant
        draft = Measurement(
            bundle=bundle.manifest.name,
            variant=variant.name,
            engine=variant.engine,
            status="not measured",
            reason=subject.failure,
            bundle_sha256=bundle.sha256,
            threads=self._config.threads,
            target=self._target.name,
            session=session,
            files={name: bundle.manifest.files[name] for name in variant.files},
            notes=variant.notes,
            size_bytes=bundle.size_bytes(variant),
        )
        if subject.failure:
            return draft
        return dataclasses.replace(
            draft,
            status="measured",
            engine=subject.hello["engine"],
            engine_version=subject.hello["engine_version"],
            executed_precision=subject.precision,
            operators=subject.operators,
            machine=Machine.from_json(subject.hello["machine"]),
            peak_memory_mib=subject.memory["peak_memory_mib"],
            baseline_memory_mib=subject.memory["baseline_memory_mib"],
            launches=tuple(subject.launches),
            faces=self._faces.names,
            points=subject.points,
        )

    def _start(self, subject: _Subject) -> Link:
        threads, timeout_s = self._config.threads, self._config.timeout_s
        link = self._target.start(self._bundle, subject.variant.name, threads, timeout_s)
        self._links.append(link)
        return link

    def _ask(self, link: Link, request: Request) -> Answer:
        return link.ask(request, self._config.timeout_s)

    def _settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self._config)

    def _step(self, what: str) -> None:
        with self._lock:  # landmarks are predicted in threads
            self._done += 1
            self._progress.at(self._done, self._total, what)


@contextmanager
def _failing(subject: _Subject) -> Iterator[None]:
    """Note an error of the body with the variant, and let the others go on."""
    try:
        yield
    except LandmintError as error:
        subject.failure = subject.failure or str(error)
