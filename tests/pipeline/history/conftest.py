"""Invented measurements: sessions of one device, a day apart."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from landmint.runtime.engines.engine import Operator
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.machine import Machine
from landmint.runtime.measurement import Measurement

PI = Machine(
    cpu="4x Cortex-A76",
    architecture="aarch64",
    cores=4,
    board="Raspberry Pi 5 Model B Rev 1.0",
    flags=("asimd", "asimddp"),
    memory_mib=8063,
    governor="performance",
    packages={"ai-edge-litert": "2.1"},
)


Session = Callable[..., Measurement]


@pytest.fixture(scope="session")
def session() -> Session:
    """Gives what one visit measured: latency in ms, day, fields that differ from the usual."""
    return _session


def _session(
    warm_ms: float,
    day: int = 0,
    *,
    seed: int = 0,
    launches: int = 3,
    faces: int = 4,
    **fields: object,
) -> Measurement:
    rng = np.random.default_rng((seed, day))
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    content: dict[str, object] = {
        "bundle": "pfld-own-112",
        "variant": "tflite/int8",
        "engine": "litert",
        "status": "measured",
        "bundle_sha256": "b" * 64,
        "engine_version": "ai-edge-litert 2.1",
        "executed_precision": "i8 x53, f32 x2",
        "operators": (Operator("Conv2D", "i8", 0.3),),
        "target": "host",
        "session": (start + timedelta(days=day)).isoformat(timespec="seconds"),
        "machine": PI,
        "files": {"tflite/int8.tflite": "f" * 64},
        "size_bytes": 1_100_000,
        "peak_memory_mib": 61.5,
        "baseline_memory_mib": 50.0,
        "launches": tuple(_launch(warm_ms, rng) for _ in range(launches)),
        "faces": tuple(f"face_{i}" for i in range(faces)),
        "points": rng.normal(50, 9, (faces, 68, 2)),
    }
    return Measurement(**{**content, **fields})  # type: ignore[arg-type]


def _launch(warm_ms: float, rng: np.random.Generator) -> Launch:
    def block() -> Block:
        samples = warm_ms * np.exp(np.abs(rng.normal(0, 0.0005, 5)))
        return Block(tuple(samples.tolist()), float(samples.sum()))

    return Launch(warm_ms * 40, WarmUp(warm_ms * 9, 60, True), tuple(block() for _ in range(4)))
