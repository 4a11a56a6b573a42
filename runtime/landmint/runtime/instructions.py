"""Executed instructions of one inference, where an emulator counts them.

Such an emulator gives the agent the name of a file, and writes to it, at each mark that the agent
sets, what has been executed until then. Counts tell which kernels ran, and whether they still do.
They are no time: the same count takes longer or shorter by caches, memory and width of a processor.
"""

import contextlib
import ctypes
import dataclasses
import gc
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.runtime.errors import NotMeasuredError

COUNTS_FILE = "LANDMINT_INSTRUCTIONS"
"""Environment variable with the file's name."""
MARK = 0x6C6D6E74
"""The option of prctl that means a mark to the emulator; a kernel refuses it without harm."""
_WARM_UPS = 1


@dataclass(frozen=True)
class Instructions:
    """What one thread executed."""

    total: int
    """All instructions."""
    simd: int | None = None
    """Floating point and Advanced SIMD; None, as below, where classes are not told apart."""
    fmla: int | None = None
    """Fused multiply-add of float vectors."""
    mlal: int | None = None
    """Widening multiply-add of integer vectors, as INT8 kernels without dot products use it."""
    dot: int | None = None
    """Dot products of INT8: four multiplications for each sum of 32 bits."""


def count_instructions(run: Callable[[int], object], runs: int) -> tuple[Instructions, ...]:
    """Instructions of each of some runs, after one to warm up.

    Args:
        run: does one; it is given the run's number.
        runs: how many.

    Raises:
        NotMeasuredError: nothing counts instructions here.
    """
    name = os.environ.get(COUNTS_FILE)
    if not name:
        raise NotMeasuredError("nothing counts instructions on this machine")
    mark = ctypes.CDLL(None).prctl
    mark.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    for number in range(_WARM_UPS):
        run(number % runs)
    before = len(_read(Path(name)))
    with _without_collection():
        for number in range(runs):
            mark(MARK, 2 * number, 0, 0, 0)
            run(number)
            mark(MARK, 2 * number + 1, 0, 0, 0)
    counts = _read(Path(name))[before:]
    if len(counts) != 2 * runs:
        raise NotMeasuredError(
            "instructions were not counted",
            reason=f"{len(counts)} of {2 * runs} marks were noted; the emulator lacks its plugin",
        )
    return tuple(_less(a, b) for a, b in zip(counts[1::2], counts[::2], strict=True))


def _read(path: Path) -> list[Instructions]:
    lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    return [Instructions(**{k: v for k, v in line.items() if k != "mark"}) for line in lines]


def _less(after: Instructions, before: Instructions) -> Instructions:
    """What was executed between two marks."""
    earlier, now = dataclasses.asdict(before), dataclasses.asdict(after)
    counts: dict[str, Any] = {k: None if n is None else n - earlier[k] for k, n in now.items()}
    return Instructions(**counts)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Let Python not collect garbage in the body: when it does, depends on all that ran before."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
