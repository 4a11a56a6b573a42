"""A measurement as a row: JSON for what is short, compressed arrays for what is long.

Nothing is unpickled: arrays are float64 in little-endian order, and JSON is read field by field.
"""

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from landmint.runtime.measurement import (
    Measurement,
    measurement_from_json,
    measurement_to_json,
)

_FLOATS = np.dtype("<f8")


@dataclass(frozen=True)
class Record:
    """A measurement, ready to be stored."""

    text: str
    """JSON of everything but the arrays; of each block it holds the number of runs."""
    operators: bytes
    """JSON of the operators that ran."""
    faces: bytes
    """JSON of the names of the faces."""
    samples: bytes | None
    """Every timed run in milliseconds, launch after launch; None when nothing was timed."""
    points: bytes | None
    """Landmarks; None when there are none."""

    @property
    def arrays(self) -> tuple[bytes | None, ...]:
        """What is compressed, and stored once however often it occurs."""
        return (self.operators, self.faces, self.samples, self.points)

    @property
    def sha256(self) -> str:
        """Equal for equal measurements."""
        parts = (self.text.encode(), *(array or b"" for array in self.arrays))
        return sha256_bytes("".join(map(sha256_bytes, parts)).encode())


def to_record(measurement: Measurement) -> Record:
    """The record of a measurement."""
    content = measurement_to_json(measurement)
    samples: list[float] = []
    for block in _blocks(content):
        samples += block["samples_ms"]
        block["samples_ms"] = len(block["samples_ms"])
    points = measurement.points
    content["points_shape"] = None if points is None else list(points.shape)
    operators, faces = content.pop("operators"), content.pop("faces")
    return Record(
        _json(content),
        _json(operators).encode(),
        _json(faces).encode(),
        np.asarray(samples, _FLOATS).tobytes() if samples else None,
        None if points is None else points.astype(_FLOATS).tobytes(),
    )


def from_record(record: Record) -> Measurement:
    """The measurement of a record; one without `points` has no landmarks.

    Raises:
        ValueError: the parts do not belong together.
        KeyError: a field is missing.
    """
    content: dict[str, Any] = json.loads(record.text)
    shape = content.pop("points_shape")
    values = iter(np.frombuffer(record.samples or b"", _FLOATS).tolist())
    for block in _blocks(content):
        block["samples_ms"] = list(islice(values, block["samples_ms"]))
    if next(values, None) is not None:
        raise ValueError("more samples than its blocks have runs")
    lists = {"operators": json.loads(record.operators), "faces": json.loads(record.faces)}
    measurement = measurement_from_json({**content, **lists})
    if record.points is None:
        return measurement
    points = np.frombuffer(record.points, _FLOATS).reshape(shape).astype(np.float64)
    return dataclasses.replace(measurement, points=points)


def _json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, allow_nan=False)


def _blocks(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [block for launch in content["launches"] for block in launch["blocks"]]


def sha256_bytes(content: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(content).hexdigest()


def compress(content: bytes) -> bytes:
    """As it is stored."""
    return zlib.compress(content, 6)


def decompress(stored: bytes, expected_sha256: str) -> bytes:
    """What `compress` was given.

    Raises:
        ValueError: it is damaged.
    """
    try:
        content = zlib.decompress(stored)
    except zlib.error as error:
        raise ValueError(f"an array cannot be read: {error}") from None
    if sha256_bytes(content) != expected_sha256:
        raise ValueError("an array differs from its hash")
    return content
