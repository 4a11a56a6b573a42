"""The agent of a phone: it runs here, and has benchmark_model run there."""

import dataclasses
from pathlib import Path

from landmint.runtime.agent import Agent, Answer, Request
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import LatencyConfig
from landmint.targets.adb.session import PhoneEngine, PhoneSession


class PhoneAgent(Agent):
    """Answers as an agent on the phone would."""

    def __init__(self, bundle: Path, variant: str, threads: int, engine: PhoneEngine) -> None:
        """Open the bundle here, as `Agent` does; nothing runs yet."""
        super().__init__(bundle, variant, threads, engine)
        self._bench = engine.bench

    def hello(self) -> Answer:
        """The greeting, with the phone as the machine."""
        return {**super().hello(), "machine": self._bench.machine.to_json()}

    def load(self, request: Request) -> Answer:
        """Load the model there, as `Agent.load` says; no work can be added to its runs."""
        if request.get("slowdown"):
            raise LandmintError(
                "no work can be added to runs on a phone",
                reason="benchmark_model runs the model alone",
                remedy="test the gate on another target",
            )
        super().load(request)
        return {"load_ms": self._model.load_ms}

    def warm(self, request: Request) -> Answer:
        """Warm up, as `Agent.warm` says."""
        self._inputs = self._timed_inputs(request)
        config = LatencyConfig(**request["config"])
        warm = self._bench.while_cool(lambda: self._model.warm_up(self._inputs, config))
        return dataclasses.asdict(warm)

    def block(self, request: Request) -> Answer:
        """Time a block, as `Agent.block` says."""
        if not self._inputs:
            raise LandmintError("a block was asked for before the warm-up")
        config = LatencyConfig(**request["config"])
        return dataclasses.asdict(self._bench.while_cool(lambda: self._model.time_block(config)))

    def conditions(self, request: Request) -> Answer:
        """State of the phone, as `Agent.conditions` says."""
        return dataclasses.asdict(self._bench.state().conditions)

    def memory(self, request: Request) -> Answer:
        """Memory of a process that runs the model; that of the tool alone is not told."""
        return {"peak_memory_mib": self._model.peak_memory_mib(), "baseline_memory_mib": None}

    @property
    def _model(self) -> PhoneSession:
        session = self._loaded()
        assert isinstance(session, PhoneSession)
        return session
