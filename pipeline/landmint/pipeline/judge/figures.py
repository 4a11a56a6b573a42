"""What every judged figure is called, its unit, and how it is written: one table for all texts.

Verdicts, advice, reports, tables, model cards and documents take their words from here. It holds no
measured value and no limit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from landmint.pipeline.text import milliseconds, number


@dataclass(frozen=True)
class Figure:
    """One figure that variants are judged or chosen by."""

    name: str
    """What it is called everywhere."""
    unit: str
    """Its unit."""
    meaning: str
    """What it is, in a sentence without its end."""
    digits: int
    """Digits after the point."""
    better: Literal["lower", "higher"] = "lower"
    """Which of two values is the better one."""
    is_timing: bool = False
    """Whether it is written with three significant digits instead."""

    @property
    def heading(self) -> str:
        """Name and unit, as a column is headed."""
        return f"{self.name}, {self.unit}"

    def write(self, value: float | None) -> str:
        """A value in this figure's unit, without the unit; a dash for None."""
        return milliseconds(value) if self.is_timing else number(value, self.digits)

    def write_with_unit(self, value: float) -> str:
        """The same with its unit."""
        return self.write(value) + (self._suffix if math.isfinite(value) else "")

    def write_limit(self, limit: float) -> str:
        """A limit with its unit, with as many digits as it was set with."""
        return f"{limit:g}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return self.unit if self.unit == "×" else f" {self.unit}"


_PAIRED = (
    "paired by the launches in which both took turns, by the quickest run of each block, which "
    "other work on the machine seldom lengthens"
)

NME = Figure(
    "NME",
    "%",
    "mean over faces of the mean landmark distance to the truth, in pixels of the original image, "
    "over a size of the face. No face is left out, however wrong",
    digits=2,
)
NME_RISE = Figure(
    "NME rise",
    "points",
    "the variant's NME minus the float network's, paired by face. Its interval is over persons, "
    "since faces of one person are alike",
    digits=3,
)
MOVED = Figure(
    "moved",
    "%",
    "mean distance between the variant's landmarks and the float network's, over the same size as "
    "NME. It is never negative, and can be large while NME stays: errors then point elsewhere",
    digits=3,
)
JITTER = Figure(
    "jitter",
    "%",
    "how far a landmark's error moves from one frame of a video to the next, mean over landmarks "
    "and pairs of neighbouring frames, over the same size as NME. What the labels move by is taken "
    "off; how they tremble themselves is not",
    digits=2,
)
CLOSED_EYES = Figure(
    "closed eyes",
    "%",
    "NME of the eye landmarks on those faces whose labelled eyes are closed: height over width "
    "below 0.2, the mean of both eyes",
    digits=2,
)
LATENCY = Figure(
    "latency",
    "ms",
    "median of the warm runs of one face: input tensor in, outputs out, without crop and decoding. "
    "Its interval is over launches, since runs inside one process are not independent",
    digits=2,
    is_timing=True,
)
LATENCY_RATIO = Figure(
    "latency over float32",
    "×",
    f"latency over that of the same format's float32 variant, {_PAIRED}",
    digits=3,
)
LATENCY_HISTORY = Figure(
    "latency over its history",
    "×",
    "latency over that of this device's earlier sessions, not paired. Its interval is for a single "
    "session, and comes from how much the earlier ones differ",
    digits=3,
)
SPEEDUP = Figure(
    "times as fast as float32",
    "×",
    f"latency of the same format's float32 variant over this one's, {_PAIRED}",
    digits=2,
    better="higher",
)
BASELINE_RATIO = Figure(
    "latency over baseline",
    "×",
    f"latency over the baseline's, {_PAIRED}. Its bounds hold at every look of the gate",
    digits=3,
)
BASELINE_TAIL = Figure(
    "slow runs over baseline",
    "points",
    "share of the candidate's runs that are slow, less that of the baseline's. Slow is what lies "
    "beyond p99 of both, where the candidate's runs count shorter by what its p99 may grow",
    digits=2,
)
BASELINE_DRIFT = Figure(
    "NME rise over baseline",
    "points",
    "the candidate's NME minus the baseline's, paired by face. Its interval is over persons",
    digits=3,
)
INSTRUCTIONS = Figure(
    "instructions over baseline",
    "×",
    "instructions of one face over the baseline's, where an emulator counts them. Of one network "
    "on one engine; it is no time",
    digits=4,
)
SIZE = Figure("size", "MiB", "all files of the variant on disk", digits=2)
PEAK_MEMORY = Figure(
    "peak memory", "MiB", "most memory of the whole process, the engine included", digits=0
)
LOAD_TIME = Figure(
    "load time",
    "ms",
    "from the file to a model ready to run, median over launches",
    digits=2,
    is_timing=True,
)

LIMITED: Mapping[str, Figure] = MappingProxyType(
    {
        "nme_percent": NME,
        "drift_percent": NME_RISE,
        "displacement_percent": MOVED,
        "jitter_percent": JITTER,
        "closed_eye_percent": CLOSED_EYES,
        "latency_ms": LATENCY,
        "latency_ratio": LATENCY_RATIO,
        "size_mib": SIZE,
    }
)
"""The figures that have limits, by the field of `Limits` and the key of a recipe's `[gate]`."""

JUDGED: Mapping[str, Figure] = MappingProxyType(
    {
        **LIMITED,
        "latency_history": LATENCY_HISTORY,
        "latency_baseline": BASELINE_RATIO,
        "slow_runs_baseline": BASELINE_TAIL,
        "drift_baseline": BASELINE_DRIFT,
        "instructions_baseline": INSTRUCTIONS,
    }
)
"""All figures that a check may be about, by the check's name."""
