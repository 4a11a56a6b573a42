"""What to deploy: the interval decides, limits are respected, costs are named."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from landmint.pipeline.judge import advice
from landmint.pipeline.judge.advice import advise_folder, saturation, what_costs
from landmint.pipeline.judge.gate import Limits, judge
from landmint.pipeline.judge.summary import VariantSummary, summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.runtime.accuracy import Truth
from landmint.runtime.engines.engine import Operator
from landmint.runtime.measurement import read_measurements
from landmint.runtime.stats import Interval

LOOSE = Limits(drift_percent={"*": 50.0})
SOFTMAX = Operator("SOFTMAX", "i8", place="outside XNNPACK")


@pytest.fixture(scope="module")
def folder(fake_run: Path) -> Path:
    return fake_run / "measurements"


@pytest.fixture(scope="module")
def summaries(folder: Path) -> tuple[VariantSummary, ...]:
    return summarise_run(read_measurements(folder), read_truth(folder / TRUTH_FILE))


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    return read_truth(folder / TRUTH_FILE)


Advise = Callable[[Sequence[VariantSummary], Limits], tuple[str, ...]]


@pytest.fixture(scope="module")
def advise(truth: Truth) -> Advise:
    def advise(summaries: Sequence[VariantSummary], limits: Limits) -> tuple[str, ...]:
        verdicts = judge([summary.measurement for summary in summaries], truth, limits)
        return advice.advise(summaries, verdicts, limits)

    return advise


def with_operators(summaries: tuple[VariantSummary, ...], name: str, *operators: Operator,
                   speedup: Interval | None = None) -> list[VariantSummary]:  # fmt: skip
    changed = []
    for summary in summaries:
        if summary.name == name:
            summary = dataclasses.replace(
                summary,
                measurement=dataclasses.replace(summary.measurement, operators=operators),
                speedup=speedup or summary.speedup,
            )
        changed.append(summary)
    return changed


def line_of(lines: tuple[str, ...], product: str) -> str:
    return next(line for line in lines if line.startswith(product))


def test_int8_that_is_slower_is_a_defect_and_its_twin_is_recommended(
    advise: Advise,
    summaries: tuple[VariantSummary, ...],
) -> None:
    lines = advise(with_operators(summaries, "tflite/int8", SOFTMAX, SOFTMAX), LOOSE)
    line = line_of(lines, "LiteRT")
    assert "0.85×" in line
    assert "slower: tflite/int8 is a defect" in line
    assert "What costs: 2 SOFTMAX outside XNNPACK." in line
    assert "Use tflite/float32, " in line


def test_the_machine_gets_the_fastest_that_keeps_its_limits(
    advise: Advise,
    summaries: tuple[VariantSummary, ...],
) -> None:
    assert advise(summaries, LOOSE)[-1].startswith("On this machine: use openvino/int8")
    tight = Limits(drift_percent={"*/int8": 0.0, "*": 50.0})
    lines = advise(summaries, tight)
    assert "use openvino/float" in lines[-1]
    line = line_of(lines, "ONNX Runtime")
    assert "onnx/int8 is not recommended: its verdict is accuracy drift: NME rise 0." in line
    assert "limit 0 points. Use onnx/float32" in line
    (cures,) = [line for line in lines if "lost accuracy" in line]
    assert cures.startswith("onnx/int8") and "equalise = true" in cures
    order = [cures.index(word) for word in ("calibrator", "equalise", "fallback_budget", "[qat]")]
    assert order == sorted(order), "the cheapest stands first"
    assert not any("lost accuracy" in line for line in advise(summaries, LOOSE))
    chosen = ("torch/float32", "onnx/int8", "openvino/int8", "tflite/int8")
    integers = [summary for summary in summaries if summary.name in chosen]
    assert "no variant that was timed surely keeps its limits" in advise(integers, tight)[-1]


@pytest.mark.parametrize(
    ("speedup", "words"),
    [
        (Interval(2.3, 2.1, 2.5, 0.1), " [2.10, 2.50] as fast as float32; its NME"),
        (Interval(1.6, 1.5, 1.7, 0.1), "below the goal of 2×"),
        (Interval(2.0, 1.9, 2.1, 0.1), "about the goal of 2×"),
        (Interval(1.0, 0.9, 1.1, 0.1), "no gain at all"),
    ],
)
def test_the_interval_is_compared_with_the_goal(
    advise: Advise, summaries: tuple[VariantSummary, ...], speedup: Interval, words: str
) -> None:
    changed = with_operators(summaries, "onnx/int8", SOFTMAX, speedup=speedup)
    line = line_of(advise(changed, LOOSE), "ONNX Runtime")
    assert words in line
    assert ("What costs" in line) == (speedup.low < 2)


def test_openvino_has_a_goal_of_its_own(
    advise: Advise, summaries: tuple[VariantSummary, ...]
) -> None:
    speedup = Interval(1.8, 1.75, 1.85, 0.1)
    changed = with_operators(summaries, "openvino/int8", speedup=speedup)
    assert "goal" not in line_of(advise(changed, LOOSE), "OpenVINO")


def test_an_engine_that_did_not_run_is_not_advised_on(
    advise: Advise, summaries: tuple[VariantSummary, ...]
) -> None:
    line = line_of(advise(summaries, LOOSE), "TensorRT")
    assert line == "TensorRT: INT8 was not timed here."


def on(
    summaries: Sequence[VariantSummary], flags: Sequence[str], weights: str
) -> list[VariantSummary]:
    """The same figures from a processor with other instructions, weights of another range."""
    changed = []
    for summary in summaries:
        raw, notes = summary.measurement, {"weights": weights} if summary.format == "onnx" else {}
        machine = raw.machine and dataclasses.replace(raw.machine, flags=tuple(flags))
        raw = dataclasses.replace(raw, machine=machine, notes=notes)
        changed.append(dataclasses.replace(summary, measurement=raw))
    return changed


@pytest.mark.parametrize(
    ("flags", "weights", "named"),
    [
        (["avx2"], "int8", "onnx/int8 and openvino/int8"),
        (["avx2"], "int8, -64..64", "openvino/int8"),
        (["avx2", "avx512_vnni"], "int8", ""),
        (["avx2", "avx_vnni"], "int8", ""),
    ],
)
def test_where_int8_may_saturate_the_accuracy_is_this_processors(
    advise: Advise,
    summaries: tuple[VariantSummary, ...],
    flags: Sequence[str],
    weights: str,
    named: str,
) -> None:
    changed = on(summaries, flags, weights)
    sentence = saturation(changed)
    assert (sentence in advise(changed, LOOSE)) == bool(named)
    assert sentence.startswith(f"{named} may saturate") if named else sentence == ""


def test_without_int8_there_is_no_advice(
    advise: Advise, summaries: tuple[VariantSummary, ...]
) -> None:
    assert advise([summary for summary in summaries if summary.precision != "int8"], LOOSE) == ()


def test_other_precisions_are_said_to_be_for_something_and_not_recommended(
    advise: Advise, summaries: tuple[VariantSummary, ...]
) -> None:
    twin = next(summary for summary in summaries if summary.name == "tflite/float32")
    assert twin.latency is not None
    slow = dataclasses.replace(twin.latency, warm_ms=40 * twin.latency.warm_ms)
    wide = dataclasses.replace(
        twin,
        measurement=dataclasses.replace(twin.measurement, variant="tflite/int16x8"),
        latency=slow,
        speedup=Interval(0.025, 0.02, 0.03, 0.1),
    )
    lines = advise([*summaries, wide], LOOSE)
    line = line_of(lines, "tflite/int16x8")
    assert "is for NPUs" in line and "[0.02, 0.03] as fast as float32" in line
    assert "int16x8" not in lines[-1].partition(";")[0]
    untimed = dataclasses.replace(wide, latency=None, speedup=None)
    line = line_of(advise([untimed], LOOSE), "tflite/int16x8")
    assert line.endswith("no quick kernels for it.")


def test_without_a_limit_the_goal_on_the_rise_holds(folder: Path) -> None:
    assert "openvino/float" in advise_folder(folder, Limits())[-1]


def test_costs_are_ranked_by_time() -> None:
    operators = [
        Operator("QLinearConv", "u8", 6.0),
        Operator("ConvTranspose", "f32", 2.0),
        Operator("QuantizeLinear", "f32", 0.5),
        Operator("DequantizeLinear", "u8", 1.0),
        Operator("DequantizeLinear", "u8", 0.5),
    ]
    assert list(what_costs(operators)) == [
        "1 ConvTranspose in f32 (20 % of the time)",
        "2 DequantizeLinear, conversions (15 % of the time)",
        "1 QuantizeLinear, conversions (5 % of the time)",
    ]


def test_costs_that_are_not_named_are_counted() -> None:
    operators = [Operator(kind, "f32", 10.0 - i) for i, kind in enumerate("ABCDEF")]
    assert list(what_costs(operators))[4:] == ["2 more (24 % of the time)"]
    untimed = [Operator(kind, "f32") for kind in "ABCDE"]
    assert list(what_costs(untimed))[4:] == ["1 more"]


def test_where_nothing_stands_in_the_way_the_costliest_are_named() -> None:
    operators = [
        *(Operator("QLinearConv", "u8", 6.0), Operator("QLinearMul", "u8", 3.5)),
        Operator("QuantizeLinear", "f32", 0.5),
    ]
    assert list(what_costs(operators))[:2] == [
        "1 QLinearConv in u8 (60 % of the time)",
        "1 QLinearMul in u8 (35 % of the time)",
    ]
    assert list(what_costs([])) == []
