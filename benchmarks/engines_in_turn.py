"""Processor time of one face on the variants of a bundle, one thread each, in turns.

For a machine that others use too: in every round each variant runs once, so that other work falls
on all of them alike, and what counts is processor time, not the clock. Printed are the median and
the quickest round, and the median of the rounds' ratios to the first variant that is named.

    python benchmarks/engines_in_turn.py bundle tflite/int8 ncnn/int8 ncnn/float32
"""

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from landmint.pipeline.opening import load_variant
from landmint.pipeline.text import markdown_table, milliseconds
from landmint.runtime.bundle import Bundle
from landmint.runtime.engines import Session
from landmint.runtime.errors import LandmintError
from landmint.runtime.predict import input_of

WARM_ROUNDS = 20
_COLUMNS = (*("variant", "ran", "median, ms", "quickest, ms", "over the first", "size, MiB"),)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("variants", nargs="+", metavar="variant")
    parser.add_argument("--rounds", type=int, default=300)
    given = parser.parse_args(arguments)
    try:
        bundle = Bundle.open(given.bundle)
        sessions = {name: load_variant(bundle, bundle.variant(name)) for name in given.variants}
        times = in_turn(calls_of(bundle, sessions), given.rounds)
    except LandmintError as error:
        print(f"engines_in_turn: {error}", file=sys.stderr)
        return error.exit_code
    first = times[given.variants[0]]
    rows = [
        [
            name,
            sessions[name].executed_precision,
            milliseconds(median(ms)),
            milliseconds(min(ms)),
            f"{median(own / base for own, base in zip(ms, first, strict=True)):.2f}",
            f"{bundle.size_bytes(bundle.variant(name)) / 2**20:.2f}",
        ]
        for name, ms in times.items()
    ]
    print(markdown_table(_COLUMNS, rows))
    print(f"\nLoad of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.")
    return 0


def calls_of(bundle: Bundle, sessions: Mapping[str, Session]) -> dict[str, Callable[[], object]]:
    """A run of each variant, all on one crop of noise."""
    size = bundle.manifest.contract.input_size
    crop = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    inputs = {
        name: input_of(session, bundle.contract_of(bundle.variant(name)), crop)
        for name, session in sessions.items()
    }
    return {
        name: functools.partial(session.run, inputs[name]) for name, session in sessions.items()
    }


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Processor time of each call in every round, in milliseconds, all threads of this process."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(WARM_ROUNDS + rounds):
        for name, call in calls.items():
            begin = time.process_time_ns()
            call()
            times[name].append((time.process_time_ns() - begin) / 1e6)
    return {name: ms[WARM_ROUNDS:] for name, ms in times.items()}


if __name__ == "__main__":
    sys.exit(main())
