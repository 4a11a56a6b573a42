"""A model on a phone: each question about it is a call of benchmark_model there.

benchmark_model prints no time of single runs but of the first and the last. So each process of it
gives two runs after a warm-up, and a block is made of several processes: its samples are runs, as
everywhere else.
"""

import dataclasses
import math
import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import sleep
from typing import TypeVar

from landmint.runtime.contract import Contract
from landmint.runtime.engines.engine import Operator, Tensor
from landmint.runtime.engines.litert_engine import LiteRtEngine, LiteRtSession
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.hygiene import BACK_OFF_S
from landmint.runtime.latency import Block, LatencyConfig, WarmUp
from landmint.runtime.machine import Machine
from landmint.runtime.quantised import Quantised
from landmint.targets.adb.client import MARK, Phone
from landmint.targets.adb.facts import State, read_state, state_question
from landmint.targets.adb.tool import Tool, delegation, peak_memory_mib, read_profile, times
from landmint.targets.tools import read_benchmark_model, read_benchmark_model_series

_Result = TypeVar("_Result")
_RUNS = 2  # of a process, after its warm-up: the first and the last are told
_FRESH_RUNS, _FRESH_S = 10, 0.02
"""Warm-up of each process of a block; before the first block there was a long one."""
_MOST_PROCESSES = 16
_AGREEMENT = 0.04
_LONG_S = 3600.0  # an answer has a time limit of its own
_NEXT = f"{MARK}next"
_OBSERVED = times(_FRESH_RUNS, _FRESH_S, 20, _LONG_S)
"""Runs whose time does not count: somebody looks on."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where models run on a phone."""

    phone: Phone
    """Which."""
    machine: Machine
    """What it is."""
    tool: str
    """Path of benchmark_model there."""
    tool_sha256: str
    """Its digest: it tells no version."""
    folder: str
    """A folder there, for this visit alone."""

    def state(self) -> State:
        """The phone's, now."""
        return read_state(self.phone.run(state_question()))

    def while_cool(self, work: Callable[[], _Result]) -> _Result:
        """Do the work; what was done while the phone was held back is done again, twice at most.

        Raises:
            NotMeasuredError: it stays hot, or its battery is low.
        """
        for pause_s in (*BACK_OFF_S, None):
            result, state = work(), self.state()
            state.check_battery(self.phone.name)
            if not state.thermal_status:
                return result
            if pause_s is not None:
                sleep(pause_s)
        raise NotMeasuredError(
            f"{self.phone.name} is too hot: {state.heat}",
            reason=f"it stayed so, or became so again, in {len(BACK_OFF_S) + 1} tries",
            remedy="let it cool, without its case and without charging, and measure again",
        )


class PhoneEngine:
    """LiteRT as it stands in benchmark_model."""

    name = "litert"

    def __init__(self, bench: Bench, graph: str, mask: str) -> None:
        """Run nothing yet.

        Args:
            bench: where models run.
            graph: path of the model there.
            mask: cores to run on, as `taskset` takes them; empty for all.
        """
        self.bench = bench
        self._graph, self._mask = graph, mask
        self.version = f"benchmark_model {bench.tool_sha256[:12]}"

    def load(self, entry: Path, contract: Contract, threads: int) -> "PhoneSession":
        """Load the model on the phone once, to see that it can; each call loads it anew."""
        here = LiteRtEngine().load(entry, contract, threads=1)
        tool = Tool(self.bench.tool, self._graph, threads, self._mask, contract.input_shape)
        return PhoneSession(self.bench, tool, here)


class PhoneSession:
    """A model on a phone."""

    def __init__(self, bench: Bench, tool: Tool, here: LiteRtSession) -> None:
        """Run it once.

        Args:
            bench: where it runs.
            tool: how it is called.
            here: the same file, opened by this process, which knows its tensors.
        """
        self._bench, self._tool, self._here = bench, tool, here
        self.entrance = here.entrance
        """What the integers of its input stand for."""
        printed = self._run(tool.call(times(1, 0, 1, _LONG_S)))
        self.load_ms = read_benchmark_model(printed).load_ms or 0.0
        """From the file to a model that is ready to run, as benchmark_model tells."""
        self._delegation = delegation(printed)
        self._fed: list[str] = []
        self._timed = 0

    @property
    def executed_precision(self) -> str:
        """Of the layers with weights, as the file has them; and what the delegate took."""
        return f"{self._here.written_precision} ({self._delegation})"

    @property
    def operators(self) -> tuple[Operator, ...]:
        """By benchmark_model's own profile, which takes runs of its own."""
        file = f"{self._bench.folder}/profile.csv"
        flags = {"enable_op_profiling": "true", "op_profiling_output_mode": "csv"}
        call = self._tool.call({**flags, "op_profiling_output_file": file, **_OBSERVED})
        quoted = shlex.quote(file)
        printed = self._run(f"rm -f {quoted}; {call} && echo {_NEXT} && cat {quoted}")
        return read_profile(printed.partition(_NEXT)[2], self._here.operators)

    def run(self, tensor: Tensor) -> dict[str, Tensor | Quantised]:
        """Run one face, as `Session.run` says: a process of its own there."""
        fed, out = (f"{self._bench.folder}/{name}" for name in ("in.bin", "out.bin"))
        with tempfile.TemporaryDirectory() as folder:
            self._feed(tensor, fed, Path(folder))
            call = self._tool.call({"output_filepath": out, **times(0, 0, 1, _LONG_S)}, fed)
            self._run(f"rm -f {shlex.quote(out)}; {call}")
            self._bench.phone.pull(out, Path(folder) / "out")
            return self._here.read_outputs((Path(folder) / "out").read_bytes())

    def _feed(self, tensor: Tensor, remote: str, folder: Path) -> None:
        is_real = self.entrance is not None and tensor.dtype != self.entrance.kind
        content = self.entrance.quantise(tensor) if self.entrance and is_real else tensor
        (folder / "in").write_bytes(content.tobytes())
        self._bench.phone.push(folder / "in", remote)

    def warm_up(self, inputs: Sequence[Tensor], config: LatencyConfig) -> WarmUp:
        """Run processes until the mean times of two in a row agree within 4 %.

        Args:
            inputs: the faces that this and all blocks are fed.
            config: least runs and time of each, and the limit of all.
        """
        self._fed = [f"{self._bench.folder}/timed{i}.bin" for i in range(len(inputs))]
        with tempfile.TemporaryDirectory() as folder:
            for tensor, remote in zip(inputs, self._fed, strict=True):
                self._feed(tensor, remote, Path(folder))
        flags = times(
            config.warm_runs, config.warm_ms / 1000, config.warm_runs, config.warm_limit_s
        )
        runs, spent_ms, first_ms, before_ms = 0, 0.0, math.nan, math.inf
        while True:
            warm, after = self._series(flags, 1)[0]
            first_ms = _first(warm) if math.isnan(first_ms) else first_ms
            runs += int(warm["count"] + after["count"])
            mean_ms = _mean(after)
            spent_ms += warm["count"] * _mean(warm) + after["count"] * mean_ms
            settled = abs(mean_ms - before_ms) <= _AGREEMENT * mean_ms
            if settled or spent_ms >= config.warm_limit_s * 1000:
                return WarmUp(first_ms, runs, settled)
            before_ms = mean_ms

    def time_block(self, config: LatencyConfig) -> Block:
        """One block: two runs of each of as many processes as the config wants at least."""
        flags = times(_FRESH_RUNS, _FRESH_S, _RUNS, config.warm_limit_s)
        samples: list[float] = []
        while (lack := _lack(samples, config)) > 0:
            for _, runs in self._series(flags, min(math.ceil(lack / _RUNS), _MOST_PROCESSES)):
                samples += [_first(runs), runs["curr"]]
        return Block(tuple(samples), cpu_ms=None)

    def peak_memory_mib(self) -> float | None:
        """Most memory of a process of its own; None where benchmark_model does not tell."""
        call = self._tool.call({"report_peak_memory_footprint": "true", **_OBSERVED})
        return peak_memory_mib(self._run(call))

    def _series(
        self, flags: dict[str, object], processes: int
    ) -> list[tuple[dict[str, float], dict[str, float]]]:
        """Times of the warm-up and of the runs of each of several processes, face after face."""
        calls = []
        for _ in range(processes):
            calls.append(self._tool.call(flags, self._fed[self._timed % len(self._fed)]))
            self._timed += 1
        printed = self._run(f" && echo {_NEXT} && ".join(calls))
        series = [read_benchmark_model_series(part) for part in printed.split(_NEXT)]
        if len(series) != processes or any(len(lines) != 2 for lines in series):
            raise LandmintError("benchmark_model told other times than it was asked for")
        return [(warm, runs) for warm, runs in series]

    def _run(self, script: str) -> str:
        return self._bench.phone.run(script, _LONG_S)


def _first(line: dict[str, float]) -> float:
    """Equal times are told as `curr` alone."""
    return line.get("first", line["curr"])


def _mean(line: dict[str, float]) -> float:
    return line.get("avg", line["curr"])


def _lack(samples: Sequence[float], config: LatencyConfig) -> int:
    """How many runs a block still lacks, by the mean time of those that it has."""
    by_count = config.block_runs - len(samples)
    left_ms = config.block_ms - sum(samples)
    if not samples or left_ms <= 0:
        return by_count
    return max(by_count, math.ceil(left_ms * len(samples) / max(sum(samples), 1e-3)))
