"""Advice, summary and report say what the verdict says."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from landmint.pipeline.judge.advice import advise_folder
from landmint.pipeline.judge.gate import Check, Limits, Verdict, VerdictStatus, not_passed
from landmint.pipeline.judge.judgement import Judgement
from landmint.pipeline.judge.truth import TRUTH_FILE
from landmint.pipeline.judge.verdicts import judge_folder
from landmint.pipeline.report import tables, words
from landmint.pipeline.report.gather import gather
from landmint.runtime.measurement import Measurement, read_measurements, write_measurement

LOOSE = Limits(drift_percent={"*": 50.0})


@pytest.fixture(scope="module")
def folder(fake_run: Path) -> Path:
    return fake_run / "measurements"


def changed(folder: Path, place: Path, **changes: Measurement) -> Path:
    """A copy of the measurements in which some variants, by name, are others."""
    place.mkdir()
    shutil.copyfile(folder / TRUTH_FILE, place / TRUTH_FILE)
    for measurement in read_measurements(folder):
        write_measurement(place, changes.get(measurement.variant, measurement))
    return place


def measurement_of(folder: Path, variant: str) -> Measurement:
    return next(m for m in read_measurements(folder) if m.variant == variant)


def advice_on(folder: Path, limits: Limits, product: str) -> str:
    return next(line for line in advise_folder(folder, limits) if line.startswith(product))


def test_a_variant_that_regressed_is_not_recommended(folder: Path) -> None:
    """Fastest by far, but larger than its limit."""
    limits = dataclasses.replace(LOOSE, size_mib={"openvino/int8": 1.0})
    verdicts = {verdict.variant: verdict.status for verdict in judge_folder(folder, limits)}
    assert verdicts["openvino/int8"] == "regression"
    lines = advise_folder(folder, limits)
    assert not any("use openvino/int8" in line.lower() for line in lines)
    assert "use onnx/int8" in lines[-1]
    assert "its verdict is regression: size 1.20 MiB, limit 1 MiB" in advice_on(
        folder, limits, "OpenVINO"
    )


def test_a_tie_goes_to_what_is_smaller_and_loads_faster_and_says_so(
    folder: Path, tmp_path: Path
) -> None:
    openvino = measurement_of(folder, "openvino/int8")
    rival = dataclasses.replace(
        measurement_of(folder, "tflite/int8"),
        launches=tuple(
            dataclasses.replace(launch, load_ms=launch.load_ms / 10) for launch in openvino.launches
        ),
        peak_memory_mib=55.0,
        size_bytes=2**20,
    )
    place = changed(folder, tmp_path / "tie", **{"tflite/int8": rival})
    last = advise_folder(place, LOOSE)[-1]
    assert "use tflite/int8" in last
    assert "as fast as openvino/int8" in last
    assert "size 1.00 MiB in place of 1.20" in last
    assert "load time 3.60 ms in place of 36.0" in last
    assert "peak memory 55 MiB in place of 71" in last


def test_nme_that_falls_does_not_rise_by_less_than_nothing(folder: Path, tmp_path: Path) -> None:
    """The interval reaches beyond the limit, though the estimate is below zero."""
    reference = measurement_of(folder, "torch/float32")
    truth_like = measurement_of(folder, "onnx/int8")
    assert reference.points is not None
    points = reference.points.copy()
    points[::2] = points[::2] * 0.999 + points[::2].mean(axis=1, keepdims=True) * 0.001
    place = changed(
        folder, tmp_path / "falls", **{"onnx/int8": dataclasses.replace(truth_like, points=points)}
    )
    line = advice_on(place, Limits(drift_percent={"*": 0.0}), "ONNX Runtime")
    assert "rises by \N{MINUS SIGN}" not in line
    assert "its NME falls by" in line
    assert "surely allows" not in line


def test_one_launch_is_timed_but_cannot_be_compared(folder: Path, tmp_path: Path) -> None:
    single = {
        name: dataclasses.replace(
            measurement_of(folder, name), launches=measurement_of(folder, name).launches[:1]
        )
        for name in ("onnx/float32", "onnx/int8")
    }
    line = advice_on(changed(folder, tmp_path / "single", **single), LOOSE, "ONNX Runtime")
    assert "not timed" not in line
    assert "INT8 takes 1.2" in line and "float32 2.1" in line
    assert "two launches" in line


def test_with_one_launch_the_advice_says_that_ties_are_unknown(
    folder: Path, tmp_path: Path
) -> None:
    single = {
        measurement.variant: dataclasses.replace(measurement, launches=measurement.launches[:1])
        for measurement in read_measurements(folder)
    }
    last = advise_folder(changed(folder, tmp_path / "unknown", **single), LOOSE)[-1]
    assert "use openvino/int8" in last
    assert "whether 6 others are as fast is not known" in last
    assert "is not known" not in advise_folder(folder, LOOSE)[-1]


def test_a_refusal_counts_what_it_does_not_name(folder: Path) -> None:
    limits = Limits(size_mib={"openvino/int8": 1.1}, latency_ms={"openvino/int8": 0.1})
    line = advice_on(folder, limits, "OpenVINO")
    assert "its verdict is regression: latency 0.9" in line
    assert ", and 1 more. Use " in line


def test_of_two_failures_the_one_furthest_beyond_its_limit_comes_first() -> None:
    near = Check("size_mib", "regression", 1.0, 1.1)
    far = Check("latency_ms", "regression", 1.0, 9.0, 8.0, 10.0)
    no_figure = Check("nme_percent", "accuracy drift", 3.0)
    unknown = Check("latency_ratio", "inconclusive", 0.1, 90.0, 0.05, 99.0)
    verdicts = [Verdict("a/int8", "accuracy drift", checks=(unknown, near, far, no_figure))]
    assert [check for _, check in not_passed(verdicts)] == [no_figure, far, near, unknown]


def test_limits_stand_beside_the_figures_in_the_report(fake_run: Path) -> None:
    record = gather(fake_run)
    table = tables.overview(record)
    rows = {row.head: row.cells for row in table.rows}
    nme, rise, moved, latency, speedup, size, status = rows["tflite/int8"]
    assert rise.sub.endswith("], at most 0.5")
    assert (nme.sub, latency.sub, size.sub) == ("", "", "at most 8")
    assert speedup.sub.endswith("], at least 1×") and "bad" in speedup.css
    assert moved.sub.endswith("]")
    assert status.text == "accuracy drift" and "bad" in rise.css


def test_the_figure_to_remember_says_that_its_variant_fails(fake_run: Path) -> None:
    failing = Verdict("openvino/int8", "regression", checks=(check("regression", "size_mib"),))
    record = dataclasses.replace(gather(fake_run), verdicts=(failing,))
    labels = [card.label for card in words.cards(record)]
    assert "a face, fastest variant: openvino/int8, which fails: regression" in labels


def test_without_limits_nothing_is_called_a_pass(folder: Path) -> None:
    verdicts = judge_folder(folder, Limits(optional=("tensorrt/*",)))
    judgement = Judgement("fake", verdicts)
    assert judgement.summary == "no limit applies: 8 not judged, 1 not measured"
    text = judgement.text
    assert text.startswith("# fake: not judged\n")
    assert "| pass |" not in text


def check(status: VerdictStatus, name: str = "nme_percent") -> Check:
    return Check(name, status, 5.0, 5.0, 4.0, 6.0, 1.0)


def test_the_banner_names_what_failed_before_what_is_unknown(fake_run: Path) -> None:
    unknown = [
        Verdict(f"onnx/v{i}", "inconclusive", checks=(check("inconclusive"),)) for i in range(7)
    ]
    failed = [
        Verdict("tflite/a", "regression", checks=(check("regression", "size_mib"),)),
        Verdict("tflite/b", "accuracy drift", checks=(check("accuracy drift"),)),
    ]
    record = dataclasses.replace(gather(fake_run), verdicts=(*unknown, *failed))
    lines = words.banner(record).lines
    assert lines[0].startswith("tflite/b, accuracy drift")
    assert lines[1].startswith("tflite/a, regression")
    assert "and 3 more: inconclusive" in " ".join(lines)
