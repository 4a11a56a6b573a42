"""A visit to a target: agents of several subjects predict, then take turns in being timed.

How many launches there are, and when a launch has enough blocks, is for the caller to decide: see
`landmint.targets.measure` and `landmint.targets.paired`. Nothing is judged.
"""

import dataclasses
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from landmint.runtime.agent import Answer, Request
from landmint.runtime.bundle import Bundle, Variant
from landmint.runtime.conditions import Conditions
from landmint.runtime.engines.built import Built
from landmint.runtime.engines.engine import Operator
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.instructions import Instructions
from landmint.runtime.latency import Block, LatencyConfig, Launch, WarmUp
from landmint.runtime.machine import Machine
from landmint.runtime.measurement import Measurement
from landmint.runtime.sustained import Sustained
from landmint.runtime.typed_json import read_as
from landmint.targets.target import Link, Target

_Item = TypeVar("_Item")
_Fields = TypeVar("_Fields")

_TIMED_FACES = 4
_FACE_S = 5.0  # a face that takes longer on average counts as a hang; trtexec needs seconds


@dataclass(frozen=True)
class Faces:
    """The crops, as files on the target."""

    names: tuple[str, ...]
    """Of the faces, in order."""
    crops: str
    """A file of all crops."""
    timed: str
    """A file with the few faces that timed models are fed: all would add to their memory."""

    @staticmethod
    def read(crops: Path, scratch: Path, target: Target) -> "Faces":
        """Copy crops to the target.

        Args:
            crops: npz of crops (N, S, S, 3) uint8, matrices (N, 2, 3) from crop to image pixels,
                and names (N,) of the faces.
            scratch: a folder here for the file of the timed faces.
            target: where to.

        Raises:
            LandmintError: the file cannot be read, or holds no faces.
        """
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
        return Faces(names, target.push(crops), target.push(few))


@dataclass(eq=False)
class Subject:
    """One variant of a bundle on a target, and what has been measured of it so far."""

    label: str
    """What it is called in progress messages; no two subjects of a visit are called alike."""
    bundle: Bundle
    """Its bundle."""
    variant: Variant
    """Which variant."""
    target: Target
    """Where it runs. All subjects of a visit run on the same machine."""
    place: str
    """The bundle's folder on the target."""
    slowdown: float = 0.0
    """Work added to every run, as a share of the run's own time; only for testing the gate."""
    failure: str = ""
    """Why it is not measured; empty while nothing has failed."""
    built: Built | None = None
    """What was built of it, where it can be built but not run."""
    hello: Answer = field(default_factory=dict)
    """The agent's greeting."""
    precision: str = ""
    """Number formats that really ran."""
    operators: tuple[Operator, ...] = ()
    """Operators of one inference."""
    points: Any = None
    """(N, L, 2) landmarks in image pixels."""
    instructions: tuple[Instructions, ...] = ()
    """Counted, where the target counts them."""
    launches: list[Launch] = field(default_factory=list)
    """Times, one entry for each launch that came to its end."""
    sustained: Sustained | None = None
    """Minutes without a pause; None where nobody asked for them."""
    memory: Answer = field(default_factory=dict)
    """The agent's last answer about its memory."""


@dataclass(eq=False)
class Turn:
    """One subject's process in one launch."""

    subject: Subject
    """Whose."""
    link: Link
    """The way to talk to it."""
    load_ms: float = 0.0
    """From the file to a model that is ready to run."""
    warm_up: WarmUp | None = None
    """Before the blocks; None until it is over."""
    before: Conditions | None = None
    """The machine after the warm-up."""
    blocks: list[Block] = field(default_factory=list)
    """Timed so far."""


class Visit:
    """The agents of one visit; `close` ends all that still run."""

    def __init__(
        self,
        faces: Faces,
        config: LatencyConfig,
        subjects: Sequence[Subject],
        tell: Callable[[str], None],
    ) -> None:
        """Start nothing yet.

        Args:
            faces: on the target.
            config: how to warm up and how long a block is.
            subjects: what to measure, all on one machine.
            tell: called with each step that is over.
        """
        self.subjects = tuple(subjects)
        self.random = random.Random(config.seed)
        self._faces = faces
        self._config = config
        self._tell = tell
        self._links: list[Link] = []
        self._draw = 0.0
        self._lock = threading.Lock()
        self._parallel = min((s.target.parallel for s in subjects), default=1)

    @property
    def alive(self) -> list[Subject]:
        """The subjects that have not failed."""
        return [subject for subject in self.subjects if not subject.failure]

    def predict_all(self, scratch: Path) -> None:
        """Compute the landmarks of every subject; as many at once as the target allows."""

        def predict(subject: Subject) -> None:
            self._predict(subject, scratch)
            self.step(f"{subject.label}: landmarks")

        self.together(predict, self.subjects, self._parallel // self._config.threads or 1)

    def _predict(self, subject: Subject, scratch: Path) -> None:
        name = f"{self.subjects.index(subject)}.npy"
        remote, here = f"{self._faces.timed}.{name}", scratch / name
        with failing(subject):
            link = self._start(subject)
            try:
                self._load(subject, link)
                request = {"do": "predict", "crops": self._faces.crops, "points": remote}
                link.ask(request, self._config.timeout_s + _FACE_S * len(self._faces.names))
                self._note_precision(subject, link)
                if subject.target.no_times:
                    self._count(subject, link)
            finally:
                link.close()
            subject.target.pull(remote, here)
            subject.points = np.load(here, allow_pickle=False)

    def _load(self, subject: Subject, link: Link) -> None:
        """Load the model; where it cannot run there, note what can be built of it."""
        try:
            self._ask(link, {"do": "load", "plans": subject.bundle.plans})
        except NotMeasuredError as cannot:
            if subject.hello.get("builds"):
                subject.built = self._build(link, cannot)
            raise

    def _build(self, link: Link, cannot: NotMeasuredError) -> Built | None:
        """What can be built of a model that cannot run.

        Raises:
            LandmintError: the graph was refused, or the builder ended the agent.
        """
        try:
            answer = self._ask(link, {"do": "build"})
        except NotMeasuredError as ended:
            fact = f"{cannot.fact}; then {ended.fact}"
            raise NotMeasuredError(fact, reason=cannot.reason or ended.reason) from None
        return None if answer.get("built") is None else read_answer(Built, answer["built"])

    def _note_precision(self, subject: Subject, link: Link) -> None:
        """Ask which precision ran; a failure to tell is noted, and does not end the variant."""
        try:
            answer = self._ask(link, {"do": "precision"})
            subject.precision = str(answer["executed_precision"])
            subject.operators = tuple(Operator(**operator) for operator in answer["operators"])
        except NotMeasuredError:
            raise
        except LandmintError as error:
            subject.precision = f"unknown: {error.reason or error.fact}"

    def _count(self, subject: Subject, link: Link) -> None:
        """Count instructions in place of times; times that engines told of operators go."""
        answer = self._ask(link, {"do": "count", "crops": self._faces.timed})
        subject.instructions = tuple(Instructions(**run) for run in answer["runs"])
        subject.operators = tuple(dataclasses.replace(o, ms=None) for o in subject.operators)

    def start_all(self) -> list[Turn]:
        """Start a process for each subject that has not failed, side by side; nothing is timed.

        All processes of a launch will be held to the same cores, which are drawn anew each time.
        """
        turns: list[Turn] = []
        self._draw = self.random.random()

        def start(subject: Subject) -> None:
            with failing(subject):
                turns.append(Turn(subject, self._start(subject)))

        self.together(start, self.alive)
        turns.sort(key=lambda turn: turn.subject.label)  # the seed alone makes the order
        return turns

    def warm(self, turn: Turn) -> None:
        """Load the model and run it until the time of a run has settled."""
        with failing(turn.subject):
            load: dict[str, Any] = {"do": "load", "plans": turn.subject.bundle.plans}
            load["draw"] = self._draw
            if turn.subject.slowdown:
                load["slowdown"] = turn.subject.slowdown
            turn.load_ms = self._ask(turn.link, load)["load_ms"]
            request = {"do": "warm", "crops": self._faces.timed, "config": self._settings()}
            turn.warm_up = read_answer(WarmUp, self._ask(turn.link, request))
            turn.before = self._conditions(turn)

    def together(
        self, work: Callable[[_Item], None], items: Sequence[_Item], workers: int = 0
    ) -> None:
        """Do the work for each item, some at once; on an interrupt the agents end first.

        Args:
            work: what to do.
            items: for which.
            workers: how many at once; as many as the target allows when absent.
        """
        with ThreadPoolExecutor(max(1, workers or self._parallel)) as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise

    def take_turns(self, turns: list[Turn]) -> None:
        """Time one block of each, in a new random order."""
        self.random.shuffle(turns)
        request = {"do": "block", "config": self._settings()}
        for turn in turns:
            with failing(turn.subject):
                turn.blocks.append(read_answer(Block, self._ask(turn.link, request)))

    def finish(self, turn: Turn) -> None:
        """Note memory and times of a launch with its subject, unless that has failed."""
        if turn.subject.failure or turn.warm_up is None:
            return
        with failing(turn.subject):
            turn.subject.memory = self._ask(turn.link, {"do": "memory"})
            after, blocks = self._conditions(turn), tuple(turn.blocks)
            launch = Launch(turn.load_ms, turn.warm_up, blocks, turn.before, after)
            turn.subject.launches.append(launch)

    def close(self) -> None:
        """End every agent that still runs."""
        while self._links:
            self._links.pop().close()

    def measurement(self, subject: Subject, session: str) -> Measurement:
        """The measurement of a subject, after the visit."""
        bundle, variant = subject.bundle, subject.variant
        draft = Measurement(
            bundle=bundle.manifest.name,
            variant=variant.name,
            engine=variant.engine,
            status="built, not run" if subject.built else "not measured",
            reason=subject.failure,
            built=subject.built,
            bundle_sha256=bundle.sha256,
            threads=self._config.threads,
            target=subject.target.name,
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
            peak_memory_mib=subject.memory.get("peak_memory_mib"),
            baseline_memory_mib=subject.memory.get("baseline_memory_mib"),
            launches=tuple(subject.launches),
            sustained=subject.sustained,
            no_times=subject.target.no_times,
            instructions=subject.instructions,
            faces=self._faces.names,
            points=subject.points,
        )

    def step(self, what: str) -> None:
        """Report a step that is over."""
        with self._lock:  # landmarks are predicted in threads
            self._tell(what)

    def _start(self, subject: Subject) -> Link:
        threads, timeout_s = self._config.threads, self._config.timeout_s
        link = subject.target.start(subject.place, subject.variant.name, threads, timeout_s)
        self._links.append(link)
        subject.hello = link.hello
        return link

    def _conditions(self, turn: Turn) -> Conditions:
        return read_answer(Conditions, self._ask(turn.link, {"do": "conditions"}))

    def _ask(self, link: Link, request: Request) -> Answer:
        return link.ask(request, self._config.timeout_s)

    def _settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self._config)


def read_answer(kind: type[_Fields], answer: Answer) -> _Fields:
    """An agent's answer as the dataclass that it holds the fields of.

    Raises:
        LandmintError: it holds something else.
    """
    try:
        fields = {key: value for key, value in answer.items() if key != "ok"}
        return read_as(kind, fields, "an answer")
    except ValueError as error:
        raise LandmintError("the agent gave another answer", reason=str(error)) from None


@contextmanager
def failing(subject: Subject) -> Iterator[None]:
    """Note an error of the body with the subject, and let the others go on."""
    try:
        yield
    except LandmintError as error:
        subject.failure = subject.failure or str(error)
