"""The section of proof: what ran, the machine meanwhile, and who is guilty of a slow variant."""

import dataclasses
from pathlib import Path

import pytest

from landmint.pipeline.judge.gate import Check, Verdict
from landmint.pipeline.judge.summary import VariantSummary
from landmint.pipeline.report.blocks import Heading, Section, TableBlock, Text
from landmint.pipeline.report.execution import execution, kernels_table
from landmint.pipeline.report.gather import gather
from landmint.pipeline.report.record import RunRecord
from landmint.runtime.conditions import Conditions
from landmint.runtime.engines.engine import Operator

SLOW = Verdict(
    "openvino/int8", "regression", checks=(Check("latency_ratio", "regression", 1.0, 1.2),)
)


def profile(ms: float, kernel: str) -> tuple[Operator, ...]:
    """Ten convolutions; the third takes so long."""
    return tuple(
        Operator("Convolution", "i8", ms if i == 3 else 0.1, name=f"conv{i}", kernel=kernel)
        for i in range(10)
    )


def with_operators(summary: VariantSummary, operators: tuple[Operator, ...]) -> VariantSummary:
    measurement = dataclasses.replace(summary.measurement, operators=operators)
    return dataclasses.replace(summary, measurement=measurement)


@pytest.fixture(scope="module")
def record(fake_run: Path) -> RunRecord:
    """A run whose INT8 is slower than float32 on OpenVINO."""
    plain = gather(fake_run)
    profiles = {
        "openvino/float32": profile(0.2, "jit_avx512_FP32"),
        "openvino/int8": profile(0.9, "ref_any_I8"),
    }
    summaries = tuple(with_operators(s, profiles.get(s.name, ())) for s in plain.summaries)
    return dataclasses.replace(plain, summaries=summaries, verdicts=(SLOW,))


def section_of(record: RunRecord) -> Section:
    section = execution(record)
    assert section is not None
    return section


def test_kernels_and_instructions_of_every_timed_variant(record: RunRecord) -> None:
    table = kernels_table(record)
    rows = {row.head: [cell.text for cell in row.cells] for row in table.rows}
    assert set(rows) == {summary.name for summary in record.timed}
    engine, precisions, kernels, instructions, _ = rows["openvino/float32"]
    assert (engine, precisions, kernels) == ("openvino 1.0", "10 i8", "10 jit_avx512_FP32")
    assert instructions == "avx512"
    assert rows["tflite/int8"][2] == "not told"


def test_the_machine_is_told_where_it_told_itself(record: RunRecord) -> None:
    before, after = Conditions("performance", 45.0), Conditions("performance", 52.0, ("throttled",))
    first = record.timed[0]
    launch = first.measurement.launches[0]
    blocks = tuple(
        dataclasses.replace(
            block, preempted=(), others_ms=sum(block.samples_ms) / 2, frequency_mhz=1500.0
        )
        for block in launch.blocks
    )
    watched = dataclasses.replace(launch, blocks=blocks, before=before, after=after)
    measurement = dataclasses.replace(first.measurement, launches=(watched,))
    summary = dataclasses.replace(first, measurement=measurement)
    (row,) = kernels_table(dataclasses.replace(record, summaries=(summary,))).rows
    assert row.cells[-1].text == (
        "0 of 20 blocks spoiled; other work used 0.5 cores; clock 1500 to 1500 MHz; "
        "45 to 52 \N{DEGREE SIGN}C; held back by the firmware: throttled; governor performance"
    )


def test_the_guilty_operator_stands_first_and_the_rest_is_counted(record: RunRecord) -> None:
    blocks = section_of(record).blocks
    headings = [block.text for block in blocks if isinstance(block, Heading)]
    assert headings == ["Why openvino/int8 is slower than openvino/float32"]
    table = [block for block in blocks if isinstance(block, TableBlock)][-1].table
    first, last = table.rows[0], table.rows[-1]
    assert (first.head, first.cells[-1].text) == ("conv3", "0.700")
    assert first.cells[2].text == "Convolution i8 ref_any_I8"
    assert last.head == "and 2 more"


def test_an_engine_without_times_is_said_to_have_none(record: RunRecord) -> None:
    slow = dataclasses.replace(SLOW, variant="tflite/int8")
    blocks = section_of(dataclasses.replace(record, verdicts=(slow,))).blocks
    texts = [block.text for block in blocks if isinstance(block, Text)]
    assert texts[-1].endswith("tells no times of single operators.")


def test_nobody_is_accused_without_a_regression(record: RunRecord) -> None:
    blocks = section_of(dataclasses.replace(record, verdicts=())).blocks
    assert not any(isinstance(block, Heading) for block in blocks)
