"""A target without engines and clocks: its agents answer with block times that a test wrote."""

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from landmint.runtime.agent import Answer, Request
from landmint.runtime.errors import NotMeasuredError
from landmint.runtime.machine import Machine
from landmint.targets.target import Link

Times = Callable[[], list[float]]
"""The runs of the next block, in ms."""


class ScriptedTarget:
    """Times by variant, longer by the slowdown that is asked for; a variant without times dies."""

    name = "scripted"
    parallel = 2
    no_times = ""

    def __init__(self, times: Mapping[str, Times], version: str = "scripted 1") -> None:
        self.times = times
        self.version = version
        self.operators: Mapping[str, list[dict[str, object]]] = {}
        self.shift_px = 0.0
        """How far landmarks lie up and left of the origin, where they are otherwise."""
        self.is_crowded: Callable[[], bool] = lambda: False
        """Whether the next run is preempted; asked for each."""
        self.is_throttled: Callable[[], bool] = lambda: False
        """Whether the firmware holds the processor back."""
        self.temperature_c: Callable[[], float | None] = lambda: None
        """Asked for at each look at the machine."""
        self.moments: Iterator[Answer] = iter(())
        """Of a sustained run; the agent dies where they end."""
        self.requests: list[tuple[str, str]] = []
        self.draws: list[float] = []
        """Which cores each load asked for."""
        self.open = 0
        self.started = 0

    def push(self, local: Path) -> str:
        return str(local.resolve())

    def pull(self, remote: str, local: Path) -> None:
        if Path(remote) != local.resolve():
            shutil.copyfile(remote, local)

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        self.open += 1
        self.started += 1
        return _ScriptedLink(self, variant)


class _ScriptedLink:
    def __init__(self, target: ScriptedTarget, variant: str) -> None:
        self._target = target
        self._variant = variant
        self._closed = False
        self._longer = 1.0
        machine = Machine("scripted", "x86_64", 2)
        self.hello = {"engine": "scripted", "engine_version": target.version} | {
            "machine": machine.to_json()
        }

    def ask(self, request: Request, timeout_s: float) -> Answer:
        self._target.requests.append((self._variant, request["do"]))
        answer: Answer = getattr(self, f"_{request['do']}")(request)
        return {"ok": True, **answer}

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._target.open -= 1

    def _load(self, request: Request) -> Answer:
        self._target.draws.append(request.get("draw", math.nan))
        self._longer = 1 + float(request.get("slowdown", 0))
        return {"load_ms": 1.0}

    def _predict(self, request: Request) -> Answer:
        with np.load(request["crops"]) as arrays:
            faces = len(arrays["names"])
        np.save(request["points"], np.full((faces, 68, 2), -self._target.shift_px))
        return {"faces": faces}

    def _precision(self, request: Request) -> Answer:
        operators = self._target.operators.get(self._variant, [])
        return {"executed_precision": "f32", "operators": operators}

    def _warm(self, request: Request) -> Answer:
        return {"first_ms": 9.0, "runs": 30, "settled": True}

    def _block(self, request: Request) -> Answer:
        if self._variant not in self._target.times:
            raise NotMeasuredError(f"{self._variant} died")
        samples = [ms * self._longer for ms in self._target.times[self._variant]()]
        preempted = [i for i in range(len(samples)) if self._target.is_crowded()]
        return {"samples_ms": samples, "cpu_ms": sum(samples), "preempted": preempted}

    def _conditions(self, request: Request) -> Answer:
        throttled = ["throttled"] if self._target.is_throttled() else []
        heat = self._target.temperature_c()
        return {"governor": "performance", "throttled": throttled, "temperature_c": heat}

    def _sustain(self, request: Request) -> Answer:
        for moment in self._target.moments:
            return moment
        raise NotMeasuredError(f"{self._variant} died")

    def _memory(self, request: Request) -> Answer:
        return {"peak_memory_mib": 10.0, "baseline_memory_mib": 5.0}
