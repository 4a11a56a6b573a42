"""The sentences say what the intervals allow, and no more."""

import dataclasses
import math
from pathlib import Path

import pytest

from landmint.pipeline.judge.gate import Check, Verdict
from landmint.pipeline.judge.summary import VariantSummary, reading_order
from landmint.pipeline.report import words
from landmint.pipeline.report.gather import gather
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.report.tables import int8_answer
from landmint.pipeline.text import (
    milliseconds,
    number,
    one_line,
    percent_interval,
    thousands,
)
from landmint.runtime.errors import LandmintError
from landmint.runtime.stats import Interval


@pytest.fixture(scope="module")
def record(fake_run: Path) -> RunRecord:
    return gather(fake_run)


def _find(record: RunRecord, name: str) -> VariantSummary:
    return next(summary for summary in record.summaries if summary.name == name)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval(1.5, 1.4, 1.6, 0.1), "yes"),
        (Interval(0.8, 0.7, 0.9, 0.1), "no"),
        (Interval(1.1, 0.9, 1.3, 0.1), "undecided"),
        (None, "not measured"),
    ],
)
def test_the_interval_decides(record: RunRecord, interval: Interval | None, expected: str) -> None:
    summary = dataclasses.replace(_find(record, "onnx/int8"), speedup=interval)
    assert int8_answer(summary)[0] == expected


def test_fastest_is_named_with_its_loss(record: RunRecord) -> None:
    said = words.answer(record)
    assert "fastest of the 7 variants that ran is openvino/int8" in said
    assert "it costs 0.1" in said


def test_a_loss_within_noise_is_not_called_a_loss(record: RunRecord) -> None:
    fastest = _find(record, "openvino/int8")
    assert fastest.difference is not None
    unsure = dataclasses.replace(fastest.difference, nme_rise=Interval(0.001, -0.001, 0.003, 0.002))
    changed = dataclasses.replace(fastest, difference=unsure)
    summaries = tuple(changed if s is fastest else s for s in record.summaries)
    said = words.answer(dataclasses.replace(record, summaries=summaries))
    assert "no loss of NME can be shown" in said and "it costs" not in said


def test_too_few_persons_tell_no_loss(record: RunRecord) -> None:
    fastest = _find(record, "openvino/int8")
    assert fastest.difference is not None
    unknown = Interval(0.001, -math.inf, math.inf, math.inf)
    difference = dataclasses.replace(fastest.difference, nme_rise=unknown)
    changed = dataclasses.replace(fastest, difference=difference)
    summaries = tuple(changed if s is fastest else s for s in record.summaries)
    said = words.answer(dataclasses.replace(record, summaries=summaries))
    assert "not enough persons to tell what it costs" in said
    assert percent_interval(unknown) == ("0.10", "not enough persons")


def test_banner_says_that_persons_are_too_few(record: RunRecord) -> None:
    bounds = (-math.inf, math.inf, math.inf)
    reason = "not enough persons: an interval needs 3"
    check = Check("nme_percent", "inconclusive", 9.0, 5.0, *bounds, reason=reason)
    verdicts = (Verdict("onnx/int8", "inconclusive", checks=(check,)),)
    lines = words.banner(dataclasses.replace(record, verdicts=verdicts)).lines
    assert lines[0] == f"onnx/int8, inconclusive: NME 5.00 % ({reason}), limit 9 %."


def test_a_fastest_that_fails_is_followed_by_one_that_passes(record: RunRecord) -> None:
    verdicts = tuple(
        dataclasses.replace(verdict, status="accuracy drift")
        if verdict.variant == "openvino/int8"
        else verdict
        for verdict in record.verdicts
    )
    said = words.answer(dataclasses.replace(record, verdicts=verdicts))
    assert "does not keep its limits (accuracy drift); the fastest that does is onnx/int8" in said


def test_banner_without_limits_is_no_pass(record: RunRecord) -> None:
    bare = dataclasses.replace(record, verdicts=(Verdict("onnx/int8", "pass", "no limit applies"),))
    assert words.banner(bare).css == "none"
    assert words.banner(bare).title == "No verdict"


def test_banner_names_what_failed(record: RunRecord) -> None:
    banner = words.banner(record)
    assert banner.css == "bad"
    assert any(line.startswith("tflite/int8, accuracy drift") for line in banner.lines)


def test_variants_in_reading_order() -> None:
    names = ["tflite/int8", "onnx/int8", "strange/form", "torch/float32", "onnx/float32"]
    assert sorted(names, key=reading_order) == [
        "torch/float32",
        "onnx/float32",
        "onnx/int8",
        "tflite/int8",
        "strange/form",
    ]


def test_numbers_for_people() -> None:
    assert number(-0.0001, 2) == "0.00"
    assert number(-1.5, 1) == "\N{MINUS SIGN}1.5"
    assert number(float("inf")) == "infinite"
    assert number(None) == "–"
    assert [milliseconds(ms) for ms in (0.123, 12.34, 123.4)] == ["0.123", "12.3", "123"]
    assert thousands(12345) == "12\N{NARROW NO-BREAK SPACE}345"


def test_an_error_on_several_lines_reads_as_one() -> None:
    error = LandmintError("no engine", reason="not installed", remedy="install it")
    assert one_line(str(error)) == "no engine: not installed; remedy: install it"
