"""The INT8 benchmark says which goal each engine keeps; its measuring is tested elsewhere."""

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from landmint.pipeline.judge.summary import summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.runtime.bundle import Bundle
from landmint.runtime.measurement import read_measurements
from tests.scripts import benchmark

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def int8() -> ModuleType:
    return benchmark("int8")


@pytest.fixture
def visit(int8: ModuleType, fake_run: Path) -> Any:
    truth = read_truth(fake_run / "measurements" / TRUTH_FILE)
    summaries = summarise_run(read_measurements(fake_run / "measurements"), truth)
    contract = Bundle.open(fake_run / "bundle").manifest.contract
    return int8.Visit("fake", contract, truth, {s.name: s for s in summaries})


def test_goals_kept_and_missed(int8: ModuleType, visit: Any) -> None:
    goals, agreement, *missing = int8.report([visit])
    rows = {line.split("|")[2].strip(): line for line in goals.splitlines()[2:]}
    assert list(rows) == ["ONNX Runtime", "OpenVINO", "LiteRT (TFLite)"]
    assert "missed: speed" in rows["ONNX Runtime"] and "| 1.75 |" in rows["ONNX Runtime"]
    assert "missed: speed" not in rows["OpenVINO"] and "| 1.78 |" in rows["OpenVINO"]
    assert "missed: speed" in rows["LiteRT (TFLite)"] and "| 0.85 |" in rows["LiteRT (TFLite)"]
    assert len(agreement.splitlines()) == 2 + 3
    assert any(line.startswith("fake: tensorrt/int8 is not measured.") for line in missing)


def test_a_form_that_did_not_run_has_no_row(int8: ModuleType, visit: Any) -> None:
    gone = dataclasses.replace(visit.summaries["tflite/int8"], accuracy=None, difference=None)
    without = dataclasses.replace(visit, summaries=visit.summaries | {"tflite/int8": gone})
    assert "LiteRT" not in next(int8.report([without]))
