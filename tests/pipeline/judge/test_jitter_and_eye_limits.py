"""Trembling and closed eyes as limits: judged by intervals, never passed where nothing was seen."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from landmint.pipeline.judge.gate import Check, Limits, exit_code, judge
from landmint.runtime.accuracy import Floats, Truth
from landmint.runtime.measurement import Measurement

PERSONS, FRAMES = 6, 4


def video_truth(opening: float) -> Truth:
    """Clips of six persons who stand still, with eyes so open, a share of their width."""
    points = np.random.default_rng(0).uniform(20, 180, (PERSONS * FRAMES, 68, 2))
    x = np.array([0, 1, 2, 3, 2, 1]) * 10.0
    y = np.array([0, 1, 1, 0, -1, -1]) * 15.0 * opening
    points[:, 36:42] = np.stack([60 + x, 80 + y], axis=1)
    points[:, 42:48] = np.stack([160 - x, 80 + y], axis=1)[[3, 2, 1, 0, 5, 4]]
    people = [f"p{i}" for i in range(PERSONS) for _ in range(FRAMES)]
    names = tuple(f"{person}/{i % FRAMES:02}" for i, person in enumerate(people))
    boxes = np.tile([20.0, 20, 160, 160], (len(names), 1))
    return Truth("68", names, tuple(people), points, boxes)


def check_of(truth: Truth, shift: Floats, **limit: float) -> tuple[Check, int]:
    """The one check of landmarks that lie beside their labels by so many px, and the exit code."""
    measurement = Measurement("tiny", "onnx/int8", "onnxruntime", "measured", target="host")
    measurement = dataclasses.replace(measurement, faces=truth.names, points=truth.points + shift)
    settings: dict[str, Any] = {name: {"*/int8": most} for name, most in limit.items()}
    verdicts = judge([measurement], truth, Limits(**settings))
    return verdicts[0].checks[0], exit_code(verdicts)


def shaking(px: float) -> Floats:
    """Every other frame of each clip lies so much to the right."""
    odd = np.arange(PERSONS * FRAMES) % 2
    return np.asarray(odd[:, None, None] * np.array([px, 0.0]))


@pytest.mark.parametrize(
    ("limit", "status", "code"), [(2.1, "pass", 0), (1.9, "accuracy drift", 5)]
)
def test_landmarks_that_shake_by_two_percent(limit: float, status: str, code: int) -> None:
    check, exit_ = check_of(video_truth(0.4), shaking(2.0), jitter_percent=limit)
    assert (check.status, exit_) == (status, code)
    assert check.value == pytest.approx(2.0)


def test_a_constant_error_does_not_shake() -> None:
    check, code = check_of(video_truth(0.4), np.array([30.0, 40.0]), jitter_percent=0.01)
    assert (check.status, code) == ("pass", 0)


def test_without_frames_jitter_is_not_measured() -> None:
    truth = video_truth(0.4)
    still = dataclasses.replace(truth, names=tuple(f"{i}-face" for i in range(len(truth.names))))
    check, code = check_of(still, shaking(0.0), jitter_percent=5.0)
    assert (check.status, code) == ("not measured", 3)
    assert check.reason == "no two faces are neighbouring frames of one person"


@pytest.mark.parametrize(
    ("limit", "status", "code"), [(3.1, "pass", 0), (2.9, "accuracy drift", 5)]
)
def test_closed_eyes_that_are_three_percent_off(limit: float, status: str, code: int) -> None:
    shift = np.zeros((PERSONS * FRAMES, 68, 2))
    shift[:, 36:48, 1] = 3.0
    check, exit_ = check_of(video_truth(0.1), shift, closed_eye_percent=limit)
    assert (check.status, exit_) == (status, code)
    assert check.value == pytest.approx(3.0)


def test_open_eyes_say_nothing_of_closed_ones() -> None:
    check, code = check_of(video_truth(0.4), shaking(0.0), closed_eye_percent=5.0)
    assert (check.status, code) == ("not measured", 3)
    assert check.reason == "no face has closed eyes, by its labels"
