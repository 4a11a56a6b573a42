"""What stands behind a verdict is said in words, and kept as data that JSON can hold."""

import dataclasses
import json
import math

import numpy as np
import pytest

from landmint.pipeline.judge.evidence import (
    drift_check,
    drift_of,
    evidence_lines,
    evidence_of,
)
from landmint.pipeline.judge.gate import Verdict
from landmint.pipeline.judge.operators import OperatorChange
from landmint.runtime.accuracy import Truth
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.measurement import Measurement
from landmint.runtime.paired import PairedLaunch

FACES = 12
POINTS = np.random.default_rng(0).uniform(20, 180, (FACES, 68, 2))
POINTS[:, 36], POINTS[:, 45] = (60, 80), (160, 80)
NAMES = tuple(f"f{i}" for i in range(FACES))
TRUTH = Truth("68", NAMES, NAMES, POINTS, np.tile([20.0, 20, 150, 150], (FACES, 1)))
BASELINE = Measurement(
    "tiny",
    "onnx/int8",
    "onnxruntime",
    "measured",
    engine_version="onnxruntime 1.2",
    faces=NAMES,
    points=POINTS,
)


def candidate(mouth_px: float) -> Measurement:
    """Another engine version, whose mouths are off by about so much."""
    points = POINTS.copy()
    spread = np.random.default_rng(1).uniform(0.9, 1.1, (FACES, 1))
    points[:, 48:68, 0] += mouth_px * spread
    return dataclasses.replace(BASELINE, points=points, engine_version="onnxruntime 1.3")


def change(name: str, low: float, added: float) -> OperatorChange:
    return OperatorChange(name, "Conv f32", "Conv i8", 1.0, 1.0 + added, added, low, math.inf)


def test_a_drift_says_where_and_how_many_faces_it_needs() -> None:
    check = drift_check(drift_of(BASELINE, candidate(3.0), TRUTH, 0.3), 0.3)
    assert check.status == "accuracy drift"
    assert check.limit == pytest.approx(0.3)
    assert check.value == pytest.approx(3.0 * 20 / 68, rel=0.05)
    assert "it surely rose in mouth; at landmarks" in check.reason and "and 15 more" in check.reason
    assert check.reason.endswith("12 faces of 12 persons, the budget needs 3 of 3")


def test_a_build_without_landmarks_is_not_measured() -> None:
    blind = dataclasses.replace(BASELINE, points=None)
    assert drift_of(blind, BASELINE, TRUTH, 0.3) is None
    assert drift_check(None, 0.3).status == "not measured"


def test_landmarks_that_are_not_finite_have_no_figure() -> None:
    broken = candidate(0.0)
    assert broken.points is not None
    broken.points[0, 0, 0] = np.nan
    check = drift_check(drift_of(BASELINE, broken, TRUTH, 0.3), 0.3)
    assert (check.status, check.value) == ("accuracy drift", None)
    assert check.reason == "the candidate has landmarks that are not finite"


def test_the_evidence_is_plain_json() -> None:
    after = candidate(1.0)
    assert after.points is not None
    after.points[0, 0, 0] = np.nan
    drift = drift_of(BASELINE, after, TRUTH, 0.3)
    evidence = evidence_of(BASELINE, after, drift, (change("a", 0.1, 0.2),), ("heat",))
    assert json.loads(json.dumps(evidence, allow_nan=False)) == evidence
    assert evidence["operators"][0]["high"] is None
    assert evidence["differences"] == [
        "another engine version: onnxruntime 1.3 against onnxruntime 1.2"
    ]


def line(operators: tuple[OperatorChange, ...] | None) -> str:
    evidence = evidence_of(BASELINE, BASELINE, None, operators, ("heat",))
    return "\n".join(evidence_lines([Verdict("onnx/int8", "regression", evidence=evidence)]))


def test_launches_on_a_busy_machine_are_counted() -> None:
    def launch(*preempted: int) -> PairedLaunch:
        side = Launch(1.0, WarmUp(1.0, 30, True), (Block((2.0, 2.1), 4.1, preempted),))
        return PairedLaunch(side, side)

    launches = (launch(0, 1), launch(0), launch())
    evidence = evidence_of(BASELINE, BASELINE, None, launches=launches)
    assert (evidence["launches"], evidence["busy_launches"]) == (3, 1)
    [text] = evidence_lines([Verdict("onnx/int8", "pass", evidence=evidence)])
    assert "in 1 of 3 launches other work took the core away in most pairs" in text


def test_guilty_operators_are_named_and_the_rest_counted() -> None:
    guilty = tuple(change(f"op{i}", 0.1, 0.2) for i in range(7))
    text = line((*guilty, change("calm", -0.1, 0.1)))
    assert "operator op0 takes 0.200 ms longer (Conv i8, before Conv f32)" in text
    assert "and 2 operators more" in text and "op5" not in text and "calm" not in text
    assert text.startswith("- **onnx/int8**: 1 launches were tried again, the last since heat")


@pytest.mark.parametrize(
    ("operators", "words"),
    [
        ((change("calm", -0.1, 0.1),), "no single operator is surely slower"),
        ((), "no times of single operators could be had"),
    ],
)
def test_nobody_is_accused_without_proof(operators: tuple[OperatorChange, ...], words: str) -> None:
    assert line(operators).endswith(f"{words}.")


def test_a_verdict_without_evidence_has_no_line() -> None:
    assert list(evidence_lines([Verdict("onnx/int8", "pass")])) == []
    assert "operator" not in line(None)
