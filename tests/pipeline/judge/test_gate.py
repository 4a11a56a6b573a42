"""The gate: three-way verdicts, a documented precedence, nothing passed that did not run."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np
import pytest

from landmint.pipeline.judge.ci.junit import to_junit
from landmint.pipeline.judge.ci.markdown import to_markdown
from landmint.pipeline.judge.gate import (
    Check,
    Limits,
    Verdict,
    VerdictStatus,
    exit_code,
    judge,
    worst,
)
from landmint.pipeline.judge.judgement import Judgement
from landmint.runtime.accuracy import Truth
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.measurement import Measurement, not_measured

RNG = np.random.default_rng(0)
FACES = 120
POINTS = RNG.uniform(20, 180, (FACES, 68, 2))
POINTS[:, 36], POINTS[:, 45] = (60, 80), (160, 80)  # 100 px between the eyes: 1 px is 1 %
TRUTH = Truth(
    "68",
    tuple(f"f{i}" for i in range(FACES)),
    tuple(f"p{i // 2}" for i in range(FACES)),
    POINTS,
    np.tile([20.0, 20, 160, 160], (FACES, 1)),
)


def noisy(pixels: float, seed: int) -> np.ndarray:
    """Landmarks whose faces err by about so many pixels, some more than others."""
    rng = np.random.default_rng(seed)
    way = rng.normal(size=POINTS.shape)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    return POINTS + way * pixels * rng.uniform(0.5, 1.5, (FACES, 1, 1))


REFERENCE_POINTS = noisy(3.0, seed=1)


def measured(
    variant: str,
    points: np.ndarray = REFERENCE_POINTS,
    medians: Sequence[float] = (4.0, 4.02, 3.98),
    size_mib: float = 2.0,
    session: str = "now",
) -> Measurement:
    launches = tuple(Launch(9.0, WarmUp(8.0, 40, True), (Block((m,) * 9, m * 9),)) for m in medians)
    return Measurement(
        "tiny",
        variant,
        "litert",
        "measured",
        session=session,
        target="host",
        size_bytes=int(size_mib * 2**20),
        launches=launches,
        faces=TRUTH.names,
        points=points,
    )


REFERENCE = measured("torch/float32", medians=())


def judged(limits: Limits, *measurements: Measurement) -> dict[str, Verdict]:
    return {v.variant: v for v in judge([REFERENCE, *measurements], TRUTH, limits)}


@pytest.mark.parametrize(
    ("limit", "status"), [(3.5, "pass"), (3.0, "inconclusive"), (2.5, "accuracy drift")]
)
def test_nme_is_judged_by_its_interval(limit: float, status: VerdictStatus) -> None:
    (check,) = judged(Limits(nme_percent={"*": limit}), measured("tflite/int8"))[
        "tflite/int8"
    ].checks
    assert check.status == status
    assert check.low is not None and check.high is not None and check.value is not None
    assert check.low < check.value < check.high
    assert bool(check.reason) == (status == "inconclusive")


def test_with_too_few_persons_nothing_is_passed() -> None:
    two = dataclasses.replace(TRUTH, persons=("a",) * 60 + ("b",) * 60)
    limits = Limits(nme_percent={"*": 99.0}, drift_percent={"*": 99.0})
    verdicts = judge([REFERENCE, measured("tflite/int8")], two, limits)
    assert exit_code(verdicts) == 4
    for check in verdicts[1].checks:
        assert check.status == "inconclusive"
        assert check.reason == "not enough persons: an interval needs 3"
    row = "0.000 points | 99 points | infinite | inconclusive: not enough persons"
    assert row in to_markdown(Judgement("two persons", verdicts))


def test_the_rise_is_paired_and_finds_what_nme_alone_cannot() -> None:
    # A hundredth of a pixel outwards on every landmark: lost in NME, plain in the pairs.
    away = REFERENCE_POINTS - POINTS
    worse = POINTS + away * (1 + 0.05 / 3)
    limits = Limits(drift_percent={"*": 0.03}, nme_percent={"*": 3.5})
    verdict = judged(limits, measured("tflite/int8", worse))["tflite/int8"]
    nme, rise = verdict.checks
    assert (nme.status, rise.status) == ("pass", "accuracy drift")
    assert rise.value == pytest.approx(0.05, rel=0.1)
    assert verdict.status == "accuracy drift"
    assert rise.detectable is not None and rise.detectable < 0.02


def test_displacement() -> None:
    moved = REFERENCE_POINTS + np.array([0.0, 0.5])
    limits = Limits(displacement_percent={"*": 0.4})
    (check,) = judged(limits, measured("tflite/int8", moved))["tflite/int8"].checks
    assert check.status == "accuracy drift" and check.value == pytest.approx(0.5)


def test_nan_landmarks_fail() -> None:
    points = REFERENCE_POINTS.copy()
    points[5, 7] = np.nan
    limits = Limits(nme_percent={"*": 50.0}, drift_percent={"*": 50.0})
    verdicts = judge([REFERENCE, measured("tflite/int8", points)], TRUTH, limits)
    assert exit_code(verdicts) == 5
    assert [check.status for check in verdicts[1].checks] == ["accuracy drift"] * 2
    text = json.dumps([verdict.to_json() for verdict in verdicts], allow_nan=False)
    assert Verdict.from_json(json.loads(text)[1]).checks[0].value is None
    assert "infinite" in to_markdown(Judgement("tiny", verdicts))


@pytest.mark.parametrize(
    ("medians", "status"),
    [
        ((4.0, 4.02, 3.98), "pass"),
        ((4.9, 5.4, 4.6), "inconclusive"),
        ((6.0, 6.01, 5.99), "regression"),
        ((4.0,), "inconclusive"),  # one launch tells nothing of the next
    ],
)
def test_latency_is_judged_over_launches(medians: tuple[float, ...], status: VerdictStatus) -> None:
    limits = Limits(latency_ms={"tflite/*": 5.0})
    (check,) = judged(limits, measured("tflite/int8", medians=medians))["tflite/int8"].checks
    assert check.status == status
    if len(medians) == 1:
        assert "one launch" in check.reason


def test_int8_that_is_slower_than_its_float_twin_is_named() -> None:
    limits = Limits(latency_ratio={"*/int8": 1.0})
    noise = (1.0, 1.3, 0.8)  # launches differ by 30 %, the two variants alike
    twin = measured("tflite/float32", medians=[4 * n for n in noise])
    slow = measured("tflite/int8", medians=[4.4 * n for n in noise])
    (check,) = judged(limits, twin, slow)["tflite/int8"].checks
    assert check.status == "regression" and check.value == pytest.approx(1.1)
    other_visit = dataclasses.replace(twin, session="yesterday")
    (check,) = judged(limits, other_visit, slow)["tflite/int8"].checks
    assert check.status == "not measured" and "not timed with it" in check.reason


def test_size() -> None:
    verdicts = judged(
        Limits(size_mib={"a/*": 1.9, "b/*": 2.0}), measured("a/int8"), measured("b/int8")
    )
    assert (verdicts["a/int8"].status, verdicts["b/int8"].status) == ("regression", "pass")


def test_the_first_pattern_that_matches_counts() -> None:
    limits = Limits(size_mib={"tflite/*": 1.0, "*": 9.0})
    verdicts = judged(limits, measured("tflite/int8"), measured("onnx/int8"))
    assert (verdicts["tflite/int8"].status, verdicts["onnx/int8"].status) == ("regression", "pass")


def test_the_reference_is_judged_by_its_landmarks_alone() -> None:
    limits = Limits(
        nme_percent={"*": 3.5}, latency_ms={"*": 5}, size_mib={"*": 1}, drift_percent={"*": 0}
    )
    assert [check.name for check in judged(limits)["torch/float32"].checks] == ["nme_percent"]


def test_a_rise_without_its_reference_is_not_measured() -> None:
    limits = Limits(drift_percent={"*": 0.1})
    (verdict,) = judge([measured("tflite/int8")], TRUTH, limits)
    assert verdict.status == "not measured"
    assert "torch/float32 was not measured" in verdict.checks[0].reason
    assert exit_code([verdict]) == 3


def test_what_did_not_run_fails_unless_it_is_optional() -> None:
    missing = not_measured("tiny", "tensorrt/int8", "tensorrt", "no GPU here")
    limits = Limits(nme_percent={"*": 3.5})
    verdicts = judge([REFERENCE, missing], TRUTH, limits)
    assert exit_code(verdicts) == 3
    optional = dataclasses.replace(limits, optional=("tensorrt/*",))
    verdicts = judge([REFERENCE, missing], TRUTH, optional)
    assert (verdicts[1].status, verdicts[1].optional) == ("not measured", True)
    assert exit_code(verdicts) == 0
    assert exit_code(verdicts[1:]) == 3  # nothing is passed when nothing ran
    assert exit_code([]) == 3


def test_a_limit_that_matches_nothing_is_loud() -> None:
    verdicts = judge([REFERENCE], TRUTH, Limits(size_mib={"tflight/*": 2.0}))
    assert verdicts[-1].variant == "tflight/*"
    assert exit_code(verdicts) == 3


def test_a_rehearsal_is_not_measured() -> None:
    dry = dataclasses.replace(measured("tflite/int8"), target="null")
    assert judged(Limits(size_mib={"*": 9}), dry)["tflite/int8"].status == "not measured"


def test_faces_must_be_the_same() -> None:
    other = dataclasses.replace(measured("tflite/int8"), faces=TRUTH.names[::-1])
    with pytest.raises(LandmintError, match="tflite/int8 was measured on 120 other faces"):
        judged(Limits(nme_percent={"*": 3.5}), other)


def test_limits_that_nothing_can_keep_are_refused() -> None:
    with pytest.raises(LandmintError, match=r"latency_ms.'\*' = 0 is not positive"):
        Limits(latency_ms={"*": 0})
    with pytest.raises(LandmintError, match="nme_percent"):
        Limits(nme_percent={"*": float("nan")})
    Limits(drift_percent={"*": 0})


def verdicts_of(*statuses: VerdictStatus) -> tuple[Verdict, ...]:
    return tuple(Verdict(f"v/{i}", status) for i, status in enumerate(statuses))


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (("pass", "pass"), 0),
        (("pass", "inconclusive"), 4),
        (("inconclusive", "not measured", "pass"), 3),
        (("not measured", "regression", "inconclusive"), 1),
        (("regression", "accuracy drift", "not measured"), 5),
        (("not measured", "not measured"), 3),
    ],
)
def test_precedence_of_exit_codes(statuses: tuple[VerdictStatus, ...], code: int) -> None:
    assert exit_code(verdicts_of(*statuses)) == code
    assert exit_code(verdicts_of(*reversed(statuses))) == code


def test_no_check_is_no_pass() -> None:
    assert worst([]) == "not judged"
    assert worst(["not judged", "pass"]) == "pass"
    assert exit_code(verdicts_of("not judged", "not judged")) == 0


VERDICTS = (
    Verdict(
        "tflite/int8",
        "regression",
        checks=(
            Check("nme_percent", "pass", 5.0, 4.5, 4.3, 4.7, 0.3),
            Check("latency_ms", "regression", 3.0, 4.0, 3.9, 4.1, 0.2),
        ),
    ),
    Verdict(
        "onnx/int8",
        "inconclusive",
        checks=(Check("latency_ms", "inconclusive", 3.0, 3.0, reason="one launch"),),
    ),
    Verdict("tensorrt/int8", "not measured", "no GPU <here> | there", optional=True),
    Verdict("openvino/int8", "not measured", "it crashed\nat once"),
)


def test_markdown_says_what_was_found_and_what_could_be_missed() -> None:
    text = to_markdown(Judgement("tiny on a Pi", VERDICTS))
    assert text.startswith("# tiny on a Pi: not passed\n")
    assert "A variant is slower or larger than its limit. Exit code 1." in text
    assert (
        "| tflite/int8 | latency | 4.00 ms [3.90, 4.10] | 3 ms | 0.200 ms | regression |"
    ) in text
    assert "inconclusive: one launch" in text
    assert r"no GPU \<here\> \| there |  |  |  | not measured (optional) |" in text
    assert "it crashed at once" in text
    assert "nothing was judged" in to_markdown(Judgement("tiny", verdicts_of("not judged")))


def test_junit_is_xml_that_counts() -> None:
    root = ElementTree.fromstring(to_junit(Judgement("tiny", VERDICTS)))
    counts = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "5", "failures": "1", "errors": "2", "skipped": "1"}
    cases = {(c.get("classname"), c.get("name")): [e.tag for e in c] for c in root}
    assert cases[("tflite/int8", "nme_percent")] == []
    assert cases[("tflite/int8", "latency_ms")] == ["failure"]
    assert cases[("onnx/int8", "latency_ms")] == ["error"]
    assert cases[("tensorrt/int8", "measured")] == ["skipped"]


def test_a_verdict_that_is_incomplete() -> None:
    with pytest.raises(LandmintError, match="a verdict is incomplete"):
        Verdict.from_json({"variant": "a/b"})
