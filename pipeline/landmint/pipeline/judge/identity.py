"""What really ran: the facts that make two measurements comparable, and where they differ.

"Faster" says little of a build that ran on another engine version, in another precision or on other
cores. The facts are read from measurements; whether a figure keeps its limit is not decided here.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from landmint.runtime.engines.engine import Operator
from landmint.runtime.hygiene import spoiled_blocks
from landmint.runtime.latency import Launch
from landmint.runtime.measurement import Measurement

NOT_TOLD = "not told"
"""Stands for a fact that the engine or the machine does not tell."""

# In the names of kernels; OpenVINO's, oneDNN's and the Arm Compute Library's among them.
_INSTRUCTIONS = re.compile(
    r"avx512_amx|amx|avx512_vnni|avx2_vnni|avx512|avx2|sse4\d|sve\d*|i8mm|asimd|neon|acl"
)
# What decides how fast a model is, besides the model.
_DECISIVE = (
    *("engine version", "executed precision", "threads", "processor", "cores", "instruction sets"),
)


@dataclass(frozen=True)
class Mismatch:
    """A fact in which two measurements differ."""

    fact: str
    """Which, such as "engine version"."""
    baseline: str
    """What it was in the baseline."""
    candidate: str
    """What it was in the candidate."""

    @property
    def sentence(self) -> str:
        """For people, such as "another engine version: onnxruntime 1.3 against onnxruntime 1.2"."""
        return f"another {self.fact}: {self.candidate} against {self.baseline}"


def what_ran(measurement: Measurement) -> dict[str, str]:
    """Every fact about what a measurement ran, by its name; `NOT_TOLD` where there is none."""
    machine, operators = measurement.machine, measurement.operators
    facts = {
        "engine version": measurement.engine_version,
        "executed precision": measurement.executed_precision,
        "operators by precision": _counted([operator.precision for operator in operators]),
        "kernels": _counted([operator.kernel for operator in operators]),
        "instructions in kernels": ", ".join(instruction_sets(operators)),
        "threads": str(measurement.threads),
        "target": measurement.target,
    }
    if machine is not None:
        facts |= {
            "processor": machine.board or machine.cpu,
            "cores": str(machine.cores),
            "affinity": machine.affinity,
            "instruction sets": ", ".join(machine.flags),
            "governor": machine.governor,
            "power mode": machine.power.get("nvpmodel -q", ""),
            "kernel release": machine.kernel,
            "python": machine.python,
            "numpy": machine.packages.get("numpy", ""),
        }
    return {name: value or NOT_TOLD for name, value in facts.items()}


def mismatches(baseline: Measurement, candidate: Measurement) -> tuple[Mismatch, ...]:
    """Every fact in which two measurements differ; one that either does not know is no difference.

    An older measurement knows fewer facts.
    """
    before, now = what_ran(baseline), what_ran(candidate)
    return tuple(
        Mismatch(fact, before[fact], now[fact])
        for fact in before
        if fact in now and before[fact] != now[fact] and NOT_TOLD not in (before[fact], now[fact])
    )


def incomparable(baseline: Measurement, candidate: Measurement) -> tuple[Mismatch, ...]:
    """The differences that a reader of a verdict must know.

    Builds that take turns on one machine may differ in engine or precision: that is then what is
    compared. A stored baseline that differs so is no baseline, since machine and build would both
    have changed.
    """
    return tuple(each for each in mismatches(baseline, candidate) if each.fact in _DECISIVE)


def instruction_sets(operators: Sequence[Operator]) -> tuple[str, ...]:
    """The instruction sets that kernels name in their own names, such as "avx512_amx", sorted.

    Empty where an engine's kernels have no such names: ONNX Runtime and XNNPACK choose among their
    kernels by the processor and do not tell which they took.
    """
    matches = (_INSTRUCTIONS.search(operator.kernel.lower()) for operator in operators)
    return tuple(sorted({match.group() for match in matches if match}))


def machine_state(launches: Sequence[Launch]) -> tuple[str, ...]:
    """How the machine fared during launches, in words: clock, heat, throttling, other work.

    Only what the machine told; nothing for launches of an older landmint.
    """
    return tuple(_states(launches))


def _states(launches: Sequence[Launch]) -> Iterator[str]:
    blocks = [block for launch in launches for block in launch.blocks]
    ends = [c for launch in launches for c in (launch.before, launch.after) if c is not None]
    if any(block.preempted is not None for block in blocks):
        spoiled = sum(spoiled_blocks(launches).values())
        yield f"{spoiled} of {len(blocks)} blocks spoiled"
    if blocks and all(block.others_ms is not None for block in blocks):
        wall_ms = sum(sum(block.samples_ms) for block in blocks)
        yield f"other work used {sum(b.others_ms or 0.0 for b in blocks) / wall_ms:.1f} cores"
    if clocks := [block.frequency_mhz for block in blocks if block.frequency_mhz is not None]:
        yield f"clock {min(clocks):.0f} to {max(clocks):.0f} MHz"
    if heats := [state.temperature_c for state in ends if state.temperature_c is not None]:
        yield f"{min(heats):.0f} to {max(heats):.0f} \N{DEGREE SIGN}C"
    if pressures := [s.pressure_percent for s in ends if s.pressure_percent is not None]:
        yield f"pressure on the processor up to {max(pressures):.0f} %"
    if held := sorted({name for state in ends for name in state.throttled}):
        yield f"held back by the firmware: {', '.join(held)}"
    if governors := sorted({state.governor for state in ends if state.governor}):
        yield f"governor {', '.join(governors)}"


def _counted(values: Sequence[str]) -> str:
    """Values with their number, the most frequent first; empty when none is told."""
    counts = Counter(value for value in values if value)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered)
