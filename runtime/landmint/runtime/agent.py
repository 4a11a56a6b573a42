"""The agent: a process on the target that runs one variant, on requests by lines of JSON.

A request is an object {"do": NAME, ...}; the answer is one line, {"ok": true, ...} or
{"ok": false, "error": {...}}. After a request that failed the agent is ready for the next one. It
ends when its standard input is closed.
"""

import dataclasses
import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.bundle import Bundle
from landmint.runtime.conditions import frequency_mhz, others_ms, read_conditions
from landmint.runtime.engines import load_engine
from landmint.runtime.engines.built import Builder
from landmint.runtime.engines.engine import Engine, EngineSession, Tensor
from landmint.runtime.engines.tensorrt_layers import against_decision
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import atomic_path
from landmint.runtime.instructions import count_instructions
from landmint.runtime.latency import LatencyConfig, SelfTimed, time_block, warm_up
from landmint.runtime.machine import identify, memory_mib, reset_peak_memory
from landmint.runtime.predict import input_of, predict_crops
from landmint.runtime.slowed import SlowedSession
from landmint.runtime.sustained import time_moment

Request = Mapping[str, Any]
Answer = dict[str, Any]

# Faces that a timed model is fed in turn: real ones, since zeros may be faster than pixels.
_TIMED_FACES = 4
_COUNTED_FACES = 2  # counts hardly differ from face to face


class Agent:
    """One variant of one bundle, loaded on request."""

    def __init__(self, bundle: Path, variant: str, threads: int, engine: str | Engine = "") -> None:
        """Open the bundle and import the engine; the model itself is not loaded yet.

        Args:
            bundle: its folder; every file is checked against its hash.
            variant: its name.
            threads: that one inference may use.
            engine: another engine than the variant's own, such as "null" for a dry run; or one
                that is no library of this process, itself.

        Raises:
            LandmintError: the bundle is broken, or has no such variant.
            NotMeasuredError: the variant was not built, or the engine is not installed.
        """
        if threads < 1:
            raise LandmintError(f"{threads} threads", reason="an inference needs at least one")
        opened = Bundle.open(bundle)
        self._variant = opened.variant(variant)
        self._bundle = opened
        self._entry = opened.entry(self._variant)
        self._contract = opened.contract_of(self._variant)
        if isinstance(engine, str):
            engine = load_engine(engine or self._variant.engine)
        self._engine = engine
        self._threads = threads
        self._session: EngineSession | None = None
        self._inputs: list[Tensor] = []
        self._baseline_mib: float | None = None

    def hello(self) -> Answer:
        """The greeting: engine, its version, whether it builds what cannot run, the machine."""
        return {
            "ok": True,
            "engine": self._engine.name,
            "engine_version": self._engine.version,
            "builds": isinstance(self._engine, Builder),
            "machine": identify().to_json(),
        }

    def handle(self, request: Request) -> Answer:
        """Carry out a request; an error becomes an answer."""
        try:
            name = request["do"]
            if name not in _ACTIONS:
                raise LandmintError(f"unknown request '{name}'", choices=_ACTIONS)
            answer: Answer = getattr(self, name)(request)
            return {"ok": True, **answer}
        except LandmintError as error:
            return refusal(error)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            return refusal(LandmintError(f"request {request!r} is not understood", reason=reason))
        except Exception as error:  # engines raise types of their own
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return refusal(LandmintError(f"{self._variant.name} failed", reason=reason))

    def load(self, request: Request) -> Answer:
        """Load the model -> load_ms.

        {plans: whether a TensorRT plan may run, false by default; slowdown: work added to every
        run, as a share of its own time, 0 by default: for testing the gate}
        """
        self._session = None
        plans = request.get("plans") is True
        dataclasses.replace(self._bundle, plans=plans).check_artefact(self._variant)
        reset_peak_memory()
        self._baseline_mib = memory_mib("VmRSS")
        begin = time.perf_counter()
        self._session = self._engine.load(self._entry, self._contract, self._threads)
        load_ms = (time.perf_counter() - begin) * 1000
        if slowdown := float(request.get("slowdown", 0)):
            if isinstance(self._session, SelfTimed):
                raise LandmintError(f"no work can be added to runs of {self._engine.version}")
            self._session = SlowedSession(self._session, slowdown)
        return {"load_ms": load_ms}

    def build(self, request: Request) -> Answer:
        """Build what cannot run here: {} -> built: the fields of Built; null if nothing is."""
        self._bundle.check_artefact(self._variant)
        built = self._engine.build(self._entry) if isinstance(self._engine, Builder) else None
        return {"built": None if built is None else dataclasses.asdict(built)}

    def predict(self, request: Request) -> Answer:
        """Landmarks of every face: {crops: npz, points: npy to write} -> faces."""
        crops, matrices = _read_crops(Path(request["crops"]))
        points, _ = predict_crops(self._loaded(), self._contract, crops, matrices)
        with atomic_path(Path(request["points"])) as fresh, fresh.open("wb") as file:
            np.save(file, points)
        return {"faces": len(points)}

    def warm(self, request: Request) -> Answer:
        """Warm up: {crops: npz, config: fields of LatencyConfig} -> the fields of WarmUp."""
        self._inputs = self._timed_inputs(request)
        config = LatencyConfig(**request["config"])
        return dataclasses.asdict(warm_up(self._loaded(), self._inputs, config))

    def block(self, request: Request) -> Answer:
        """Time a block: {config: fields of LatencyConfig} -> the fields of Block."""
        if not self._inputs:
            raise LandmintError("a block was asked for before the warm-up")
        config = LatencyConfig(**request["config"])
        before = others_ms()
        block = time_block(self._loaded(), self._inputs, config)
        after, clock_mhz = others_ms(), frequency_mhz()
        if isinstance(self._loaded(), SelfTimed):  # the process that ran is no other work
            after = None
        others = None if before is None or after is None else max(0.0, after - before)
        return {**dataclasses.asdict(block), "others_ms": others, "frequency_mhz": clock_mhz}

    def sustain(self, request: Request) -> Answer:
        """Run for a moment, without a warm-up: {crops: npz} -> the fields of Moment."""
        session = self._loaded()
        if isinstance(session, SelfTimed):
            raise NotMeasuredError(
                f"{self._variant.name} does not run without a pause",
                reason="the program that runs it starts anew for every block",
            )
        self._inputs = self._inputs or self._timed_inputs(request)
        return dataclasses.asdict(time_moment(session, self._inputs))

    def conditions(self, request: Request) -> Answer:
        """State of the machine: {} -> the fields of Conditions."""
        return dataclasses.asdict(read_conditions())

    def memory(self, request: Request) -> Answer:
        """Memory of this process: {} -> peak_memory_mib, baseline_memory_mib; null if untold."""
        if isinstance(self._session, SelfTimed):  # another process has the model
            return {"peak_memory_mib": None, "baseline_memory_mib": None}
        return {
            "peak_memory_mib": memory_mib("VmHWM"),
            "baseline_memory_mib": self._baseline_mib,
        }

    def precision(self, request: Request) -> Answer:
        """What ran: {} -> executed_precision, operators. May run the model."""
        session = self._loaded()
        ran, operators = session.executed_precision, session.operators
        if departed := against_decision(self._variant.notes, operators):
            ran += f"; not as decided: {departed}"
        return {
            "executed_precision": ran,
            "operators": [dataclasses.asdict(operator) for operator in operators],
        }

    def count(self, request: Request) -> Answer:
        """Count instructions, where an emulator does: {crops: npz} -> runs, one a face."""
        crops, _ = _read_crops(Path(request["crops"]), _COUNTED_FACES)
        session = self._loaded()
        inputs = [input_of(session, self._contract, crop) for crop in crops]
        runs = count_instructions(lambda number: session.run(inputs[number]), len(inputs))
        return {"runs": [dataclasses.asdict(run) for run in runs]}

    def _timed_inputs(self, request: Request) -> list[Tensor]:
        """The faces of a request, as the loaded model takes them."""
        crops, _ = _read_crops(Path(request["crops"]), _TIMED_FACES)
        if not len(crops):
            raise LandmintError("there are no faces to time with")
        return [input_of(self._loaded(), self._contract, crop) for crop in crops]

    def _loaded(self) -> EngineSession:
        if self._session is None:
            raise LandmintError("the model is not loaded", remedy='ask {"do": "load"} first')
        return self._session


_ACTIONS = (
    *("load", "build", "predict", "warm", "block", "sustain"),
    *("conditions", "memory", "precision", "count"),
)
"""The requests, each a method of the agent."""


def refusal(error: LandmintError) -> Answer:
    """An error as an answer."""
    parts = {"fact": error.fact, "reason": error.reason, "remedy": error.remedy}
    return {
        "ok": False,
        "error": {**parts, "choices": list(error.choices)},
        "exit_code": error.exit_code,
    }


def serve(agent: Agent, requests: TextIO, answers: TextIO) -> None:
    """Greet, then answer each line until the requests end or nobody reads the answers."""
    try:
        _say(answers, agent.hello())
        for line in requests:
            if line.strip():
                _say(answers, _answer(agent, line))
    except BrokenPipeError:
        return


def _answer(agent: Agent, line: str) -> Answer:
    try:
        request = json.loads(line)
    except json.JSONDecodeError as error:
        return refusal(LandmintError("a request is not JSON", reason=str(error)))
    if not isinstance(request, dict):
        return refusal(LandmintError(f"a request must be an object, not {line.strip()[:80]}"))
    return agent.handle(request)


def _say(answers: TextIO, answer: Answer) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _read_crops(
    path: Path, count: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Crops (N, S, S, 3) and matrices (N, 2, 3) of a file; the first `count` only, if given.

    Raises:
        LandmintError: the file is missing, truncated, or lacks an array.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["crops"][:count], arrays["matrices"][:count]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LandmintError(
            f"{path} does not hold crops and matrices",
            reason=f"{type(error).__name__}: {error}",
        ) from None
