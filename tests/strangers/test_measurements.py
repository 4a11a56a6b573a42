"""Broken measurements: read whole or refused, by the gate too."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import sha256_file
from landmint.runtime.measurement import Measurement, read_measurements, write_measurement

Write = Callable[[Path], object]
AskInVain = Callable[..., Result]

DIGITS = "9" * 5000
"""More digits than Python reads."""
HUGE = 10**400
"""A whole number that no float holds."""


def _measured(folder: Path) -> dict[str, Any]:
    points = np.random.default_rng(0).uniform(0, 60, (2, 68, 2))
    measurement = Measurement(
        "tiny", "onnx/int8", "onnxruntime", "measured", faces=("a", "b"), points=points
    )
    content: dict[str, Any] = json.loads(write_measurement(folder, measurement).read_text())
    return content


MEASUREMENTS: Mapping[str, Mapping[str, Any]] = {
    "reason is true": {"reason": True},
    "size of 400 digits": {"size_bytes": HUGE},
    "size of 5000 digits": {"size_bytes": "DIGITS"},
    "size is a text": {"size_bytes": "98"},
    "size is not a number": {"peak_memory_mib": float("nan")},
    "engine is an object": {"engine": {}},
    "variant is an object": {"variant": {}},
    "variant is a path": {"variant": "../../a"},
    "status is another": {"status": "done"},
    "status of 5000 digits": {"status": "DIGITS"},
    "launches are numbers": {"launches": [1, 2]},
    "launch is empty": {"launches": [{}]},
    "machine is a list": {"machine": []},
    "faces are numbers": {"faces": [1, 2]},
    "landmarks of other faces": {"faces": ["a"]},
    "digest is a list": {"points_sha256": []},
    "digest of another file": {"points_sha256": "0" * 64},
    "schema is a list": {"schema": []},
    "an unknown field": {"more": 1},
}
measurement_case = pytest.mark.parametrize("change", MEASUREMENTS.values(), ids=list(MEASUREMENTS))


@measurement_case
def test_a_measurement_is_whole_or_refused(change: Mapping[str, Any], tmp_path: Path) -> None:
    text = json.dumps({**_measured(tmp_path), **change}).replace('"DIGITS"', DIGITS)
    (tmp_path / "onnx-int8.json").write_text(text)
    with pytest.raises(LandmintError, match="onnx-int8") as caught:
        read_measurements(tmp_path)
    assert caught.value.reason and caught.value.remedy


@measurement_case
def test_the_gate_tells_of_a_broken_measurement(
    change: Mapping[str, Any], tmp_path: Path, ask_in_vain: AskInVain
) -> None:
    folder = tmp_path / "measurements"
    text = json.dumps({**_measured(folder), **change}).replace('"DIGITS"', DIGITS)
    (folder / "onnx-int8.json").write_text(text)
    ask_in_vain("gate", folder, "--recipe", "demo", "--out", "v", said="onnx-int8")


def _saved(array: np.ndarray[Any, Any]) -> Write:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, array)

    return write


def _claims(shape: str) -> Write:
    """An array file whose header claims a shape, with no values behind it."""

    def write(path: Path) -> None:
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)

    return write


ARRAYS: Mapping[str, Write] = {
    "empty": lambda path: path.write_bytes(b"") and None,
    "a text": lambda path: path.write_text("1 2 3") and None,
    "three coordinates": _saved(np.zeros((2, 68, 3))),
    "texts": _saved(np.full((2, 68, 2), "a")),
    "complex numbers": _saved(np.zeros((2, 68, 2), dtype=np.complex128)),
    "a flat list": _saved(np.zeros(2)),
    "truncated": _claims("(2, 68, 2)"),
    "more than a machine holds": _claims("(2, 10000000000000, 2)"),
    "a shape of no numbers": _claims("('a', 'b', 'c')"),
}


@pytest.mark.parametrize("write", ARRAYS.values(), ids=list(ARRAYS))
def test_the_landmarks_of_a_measurement_are_whole_or_refused(write: Write, tmp_path: Path) -> None:
    """Their digest is right: who brings a measurement can write that too."""
    content = _measured(tmp_path)
    write(tmp_path / "onnx-int8.npy")
    content["points_sha256"] = sha256_file(tmp_path / "onnx-int8.npy")
    (tmp_path / "onnx-int8.json").write_text(json.dumps(content))
    with pytest.raises(LandmintError, match="onnx-int8") as caught:
        read_measurements(tmp_path)
    assert caught.value.reason and caught.value.remedy
