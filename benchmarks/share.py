"""What a prediction consists of: crop, bytes to input, engine and decode, for faces of five sizes.

Stages take turns within every round, so that other work on the machine falls on all of them alike.
What counts is the processor time of each in its quickest round, with one thread: on a busy machine
the clock alone would tell how long a stage waited. There a stage also finds its code and data
forgotten by the processor's caches: microseconds of two machines, or two hours, do not compare.

    python benchmarks/share.py int8-bundle/tflite/int8.tflite int8-bundle/onnx/int8.onnx
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landmint.runtime.contract import Contract
from landmint.runtime.crop import Box, Image, crop_matrix, warp
from landmint.runtime.decode import decode
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import load_engine
from landmint.runtime.engines.engine import Session
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import FORMATS
from landmint.runtime.predict import input_of

FACES_PX = (60, 150, 300, 1000, 2000)
WARM_ROUNDS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table for each file; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="artefacts with their contract inside")
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args(arguments)
    image = np.random.default_rng(0).integers(0, 256, (2600, 2600, 3), np.uint8)
    try:
        for path in given.files:
            _print_shares(path, image, given.rounds)
    except LandmintError as error:
        print(f"share: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _print_shares(path: Path, image: Image, rounds: int) -> None:
    contract = read_contract(path)
    engines = {record.suffixes[0]: record.engine for record in FORMATS.values()}
    engine = load_engine(engines[path.suffix])
    session = engine.load(path, contract, threads=1)
    head = f"{contract.head.kind}, {contract.input_size} px, {engine.version}"
    print(f"\n{path.name}: {head}, {session.executed_precision}\n")
    print("| face, px | crop | bytes to input | decode | landmint, µs | engine, µs | over engine |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for face_px in FACES_PX:
        stages = measure(session, contract, image, face_px, rounds)
        engine_us = stages.pop("engine")
        own_us = sum(stages.values())
        parts = " | ".join(f"{us:.0f}" for us in stages.values())
        over = own_us / engine_us
        print(f"| {face_px} | {parts} | {own_us:.0f} | {engine_us:.0f} | {over:.0%} |")


def measure(
    session: Session, contract: Contract, image: Image, face_px: int, rounds: int
) -> dict[str, float]:
    """Least processor time of each stage in microseconds, for a face in the image's middle."""
    size, corner = contract.input_size, (len(image) - face_px) / 2 + 0.3
    box = Box(corner, corner, face_px, face_px)
    stages: dict[str, Callable[[Any], Any]] = {
        "crop": lambda _: warp(image, crop_matrix(box, contract.crop, size), size),
        "bytes to input": lambda crop: input_of(session, contract, crop),
        "engine": session.run,
        "decode": lambda outputs: decode(contract, outputs),
    }
    times: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(WARM_ROUNDS + rounds):
        value: Any = None
        for name, stage in stages.items():
            begin = time.process_time_ns()
            value = stage(value)
            times[name].append((time.process_time_ns() - begin) / 1000)
    return {name: min(values[WARM_ROUNDS:]) for name, values in times.items()}


if __name__ == "__main__":
    sys.exit(main())
