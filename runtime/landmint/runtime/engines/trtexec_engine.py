"""TensorRT by its program trtexec, where TensorRT's Python is not installed: a Jetson above all.

Every call is a process of its own, which opens the plan anew. So a face takes seconds, and times
are those that trtexec takes: of the GPU's clock, the copies of input and outputs included.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from landmint.runtime.contract import Contract
from landmint.runtime.engines.engine import (
    EngineSession,
    Operator,
    Tensor,
    check_input,
    loading,
    match_outputs,
)
from landmint.runtime.engines.tensorrt_layers import precision_of, read_layers
from landmint.runtime.engines.tensorrt_plans import kept_plan, timing_cache
from landmint.runtime.engines.trtexec import Outcome, Run, Trtexec
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import Block, LatencyConfig, WarmUp, has_settled

_GRAPH = ".onnx"
_ONCE = ("--warmUp=0", "--duration=0", "--iterations=1")
_PROFILED = ("--warmUp=200", "--duration=0", "--iterations=50")


class TrtexecEngine:
    """Opens `.engine`, and builds the plan of an `.onnx`: once for each GPU and TensorRT."""

    name = "tensorrt"

    def __init__(self, program: Trtexec) -> None:
        """Take the program."""
        self._program = program
        self.version = f"trtexec {program.version}"

    def load(self, entry: Path, contract: Contract, threads: int) -> EngineSession:
        """Build what has no plan, and open it, as `Engine.load` says; `threads` means nothing."""
        with loading(self.name, entry):
            plan = self._plan(entry) if entry.suffix == _GRAPH else entry
            exports = ("--exportLayerInfo", "--exportOutput")
            first = self._program.run(plan, *_ONCE, exports=exports)
            name, shape = first.input
            check_input(shape, contract, entry)
            exits = {output: i for i, output in enumerate(first.outputs)}
            places = match_outputs(exits, contract, entry)
        names = tuple(exits)
        outputs = {canonical: names[place] for canonical, place in places.items()}
        return TrtexecSession(self._program, plan, name, outputs, first)

    def _plan(self, graph: Path) -> Path:
        program, built_by = self._program, [self.version, *self._program.options.build]
        tactics = timing_cache([self.version])
        return kept_plan(graph, built_by, lambda plan: program.build(graph, plan, tactics))


class TrtexecSession:
    """A plan that trtexec runs and times."""

    def __init__(
        self, program: Trtexec, plan: Path, image: str, outputs: Mapping[str, str], first: Outcome
    ) -> None:
        """Note what the first run told.

        Args:
            program: that runs it.
            plan: what it runs.
            image: name of the input.
            outputs: its own name of each canonical output.
            first: with `--exportLayerInfo`.
        """
        self._program, self._plan = program, plan
        self._image, self._outputs = image, outputs
        self._layers = first.written["--exportLayerInfo"]
        self._run_ms = math.inf

    @property
    def executed_precision(self) -> str:
        """From TensorRT's description of the layers."""
        return precision_of(read_layers(self._layers, {}))

    @property
    def operators(self) -> tuple[Operator, ...]:
        """From the same, with the times of a run with TensorRT's profiler, which slows it."""
        profile = self._program.run(self._plan, *_PROFILED, exports=("--exportProfile",))
        return read_layers(self._layers, profile.layer_times_ms)

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run one face, as `Session.run` says, in a process of its own."""
        outputs = self._call(tensor, *_ONCE, export="--exportOutput").outputs
        return {canonical: outputs[name] for canonical, name in self._outputs.items()}

    def warm_up(self, inputs: Sequence[Tensor], config: LatencyConfig) -> WarmUp:
        """Run as long as the least warm-up, as `SelfTimed.warm_up` says."""
        runs = self._runs(inputs, 0, config.warm_ms / 1000, config.warm_runs)
        times_ms = [run.latency_ms for run in runs]
        self._run_ms = median(times_ms)
        return WarmUp(times_ms[0], len(runs), has_settled(times_ms[1:]))

    def time_block(self, inputs: Sequence[Tensor], config: LatencyConfig) -> Block:
        """All runs of a launch, as `SelfTimed.time_block` says: to start trtexec takes seconds."""
        most = config.seconds * 1000 / config.launches / self._run_ms
        wanted = math.ceil(min(config.samples / config.launches, most))
        runs = self._runs(inputs, config.warm_ms, 0, max(wanted, config.block_runs))
        # While the GPU computes the process sleeps.
        return Block(tuple(r.latency_ms for r in runs), sum(r.enqueue_ms for r in runs))

    def _runs(
        self, inputs: Sequence[Tensor], warm_ms: float, seconds: float, count: int
    ) -> tuple[Run, ...]:
        """At least so many runs after so much warm-up; trtexec takes one face a process."""
        options = [f"--warmUp={math.ceil(warm_ms)}", f"--duration={seconds:g}"]
        options += [f"--iterations={count}"]
        runs = self._call(inputs[0], *options, export="--exportTimes").runs
        if not runs:
            raise LandmintError("trtexec timed no run")
        return runs

    def _call(self, tensor: Tensor, *options: str, export: str) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="landmint-trtexec-") as folder:
            file = Path(folder) / "image"
            np.ascontiguousarray(tensor, dtype=np.float32).tofile(file)
            image = f"{self._image}:{file}"
            return self._program.run(self._plan, *options, exports=(export,), image=image)
