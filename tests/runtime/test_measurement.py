"""Measurements come back as they were written, or one clear error says what is wrong."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmint.runtime.engines.built import Built
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.machine import identify
from landmint.runtime.measurement import (
    Measurement,
    measurement_path,
    not_measured,
    read_measurement,
    read_measurements,
    write_measurement,
)


def example() -> Measurement:
    points = np.random.default_rng(0).normal(50, 20, (3, 68, 2))
    points[1, 4] = np.nan  # what a model returns is kept
    return Measurement(
        bundle="tiny",
        variant="tflite/int8",
        engine="litert",
        status="measured",
        bundle_sha256="1" * 64,
        engine_version="ai-edge-litert 2",
        executed_precision="i8 52, f32 4",
        machine=identify(),
        files={"tflite/int8.tflite": "0" * 64},
        notes={"weights": "int8"},
        size_bytes=1234,
        peak_memory_mib=88.5,
        launches=(Launch(20.0, WarmUp(9.0, 40, True), (Block((2.0, 2.5), 4.4),)),),
        faces=("a", "b", "c"),
        points=points,
    )


def test_round_trip(tmp_path: Path) -> None:
    written = example()
    path = write_measurement(tmp_path, written)
    assert path == measurement_path(tmp_path, "tflite/int8") == tmp_path / "tflite-int8.json"
    read = read_measurement(path)
    np.testing.assert_array_equal(read.points, written.points)
    for field in dataclasses.fields(Measurement):
        if field.name != "points":
            assert getattr(read, field.name) == getattr(written, field.name)
    assert read.latency is not None and read.latency.samples == 2
    assert read.blocks_ms == [[2.0, 2.5]]


def test_what_older_measurements_lack(tmp_path: Path) -> None:
    path = write_measurement(tmp_path, example())
    content = json.loads(path.read_text())
    for name in ("operators", "notes", "bundle_sha256"):
        del content[name]
    path.write_text(json.dumps(content))
    assert read_measurement(path).bundle_sha256 == ""


def test_a_process_that_waits_for_its_gpu_or_threads_is_on_no_busy_machine() -> None:
    launch = Launch(20.0, WarmUp(9.0, 40, True), (Block((2.0,) * 10, 12.0),))
    on_cpu = dataclasses.replace(example(), launches=(launch,) * 2)
    on_gpu = dataclasses.replace(on_cpu, engine="tensorrt")
    on_threads = dataclasses.replace(on_cpu, threads=2)
    for one, waiting in ((on_cpu, 0.4), (on_gpu, 0.0), (on_threads, 0.0)):
        assert one.latency is not None
        assert one.latency.waiting == pytest.approx(waiting)
        busy = any("the machine was busy" in note for note in one.latency.notes)
        assert busy == (one is on_cpu)


def test_what_was_built_says_so(tmp_path: Path) -> None:
    built = Built("invented 1", {"CONVOLUTION half": 2}, 2, ("a", "b"), 77, ("slow",), "careful")
    raw = not_measured("tiny", "tensorrt/int8", "tensorrt", "no GPU")
    raw = dataclasses.replace(raw, status="built, not run", built=built)
    assert read_measurement(write_measurement(tmp_path, raw)).built == built
    for wrong in (
        dataclasses.replace(raw, built=None),
        dataclasses.replace(example(), built=built),
    ):
        with pytest.raises(LandmintError, match="what was built does not say the same"):
            read_measurement(write_measurement(tmp_path, wrong))


def test_what_was_not_measured_keeps_its_reason(tmp_path: Path) -> None:
    write_measurement(tmp_path, not_measured("tiny", "tensorrt/int8", "tensorrt", "no GPU"))
    (read,) = read_measurements(tmp_path)
    assert (read.status, read.reason, read.points, read.latency) == (
        "not measured",
        "no GPU",
        None,
        None,
    )


def test_truncated_json(tmp_path: Path) -> None:
    path = write_measurement(tmp_path, example())
    path.write_text(path.read_text()[:200])
    with pytest.raises(LandmintError, match=r"tflite-int8.json is not valid JSON"):
        read_measurement(path)


def test_another_schema(tmp_path: Path) -> None:
    path = write_measurement(tmp_path, example())
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(LandmintError, match="no measurement of schema 1"):
        read_measurement(path)
    path.write_text("[1, 2]")
    with pytest.raises(LandmintError, match="no measurement of schema 1"):
        read_measurement(path)


@pytest.mark.parametrize("key", ["launches", "faces", "points_sha256", "variant", "machine"])
def test_an_incomplete_file(tmp_path: Path, key: str) -> None:
    path = write_measurement(tmp_path, example())
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(LandmintError, match="tflite-int8.json is incomplete"):
        read_measurement(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("variant", {}),
        ("variant", "onnx"),
        ("engine", []),
        ("reason", True),
        ("status", 9),
        ("status", "perhaps"),
        ("size_bytes", "98"),
        ("size_bytes", 10**400),
        ("threads", 1.5),
        ("machine", []),
        ("machine", {"cpu": 1}),
        ("launches", [{}]),
        ("launches", [1]),
        ("operators", [{"kind": "Conv"}]),
        ("faces", [1, 2]),
        ("peak_memory_mib", float("inf")),
        ("note", "an unknown field"),
    ],
)
def test_a_value_of_another_type(tmp_path: Path, key: str, value: Any) -> None:
    path = write_measurement(tmp_path, example())
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(LandmintError, match="tflite-int8.json is incomplete"):
        read_measurement(path)


def test_landmarks_that_are_not_those_measured(tmp_path: Path) -> None:
    path = write_measurement(tmp_path, example())
    points = path.with_suffix(".npy")
    points.write_bytes(points.read_bytes()[:-8])
    with pytest.raises(LandmintError, match="tflite-int8.npy is missing, truncated or changed"):
        read_measurement(path)
    points.unlink()
    with pytest.raises(LandmintError, match="tflite-int8.npy is missing, truncated or changed"):
        read_measurement(path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="holds no measurements"):
        read_measurements(tmp_path)
