"""What really ran, and how the machine fared meanwhile: the section of proof."""

from collections.abc import Iterator

from landmint.pipeline.judge.identity import machine_state, what_ran
from landmint.pipeline.judge.operators import OperatorChange, compare_operators
from landmint.pipeline.judge.summary import VariantSummary
from landmint.pipeline.report.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Row,
    Section,
    Table,
    TableBlock,
    Text,
)
from landmint.pipeline.report.palette import css_class
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.text import NONE, milliseconds, number

_NAMED = 8


def execution(record: RunRecord) -> Section | None:
    """Kernels and versions of every timed variant, and the operators of what became slower."""
    if not record.timed:
        return None
    blocks: list[Block] = [
        TableBlock(kernels_table(record)),
        Text(
            "As the engines tell it, never by the files' names. ONNX Runtime and XNNPACK choose "
            "their kernels by the processor and do not tell which instructions they took. A block "
            "is spoiled when other work took the core away in every run of it, or when its clock "
            "was under 90 % of the highest.",
            note=True,
        ),
        *_guilty(record),
    ]
    return Section("execution", "What ran, kernel by kernel", blocks)


def kernels_table(record: RunRecord) -> Table:
    """Engine, kernels and instructions of every variant, and the state of the machine."""
    titles = ("engine", "operators by precision", "kernels", "instructions", "machine meanwhile")
    columns = (Column("variant"), *(Column(title, words=True) for title in titles))
    rows = []
    for summary in record.timed:
        facts = what_ran(summary.measurement)
        names = ("engine version", "operators by precision", "kernels", "instructions in kernels")
        state = "; ".join(machine_state(summary.measurement.launches)) or NONE
        cells = [*(facts[name] for name in names), state]
        css = f"{css_class(summary.name)} {summary.precision}"
        rows.append(Row(summary.name, [Cell(cell, css="words") for cell in cells], css))
    return Table("What ran", columns, rows)


def operators_table(changes: tuple[OperatorChange, ...], baseline: str, candidate: str) -> Table:
    """Operators of two variants, those that added most time first; the rest are counted."""
    columns = (
        Column("operator"),
        Column(baseline, words=True),
        Column("time", "ms"),
        Column(candidate, words=True),
        Column("time", "ms"),
        Column("added", "ms"),
    )
    rows = [_operator_row(change) for change in changes[:_NAMED]]
    if rest := changes[_NAMED:]:
        added = number(sum(change.added_ms for change in rest), 3)
        rows.append(Row(f"and {len(rest)} more", [*[Cell("")] * 4, Cell(added)]))
    return Table(f"Operators of {candidate} and {baseline}", columns, rows)


def _operator_row(change: OperatorChange) -> Row:
    cells = (
        Cell(change.baseline or "not there", css="words"),
        Cell(milliseconds(change.baseline_ms)),
        Cell(change.candidate or "not there", css="words"),
        Cell(milliseconds(change.candidate_ms)),
        Cell(number(change.added_ms, 3)),
    )
    return Row(change.name, cells)


def _guilty(record: RunRecord) -> Iterator[Block]:
    """The operators of every variant that is surely slower than its limit over float32 allows."""
    by_name = {summary.name: summary for summary in record.timed}
    for summary in record.timed:
        twin = by_name.get(f"{summary.format}/float32")
        if twin is None or not _is_slower(record, summary):
            continue
        yield Heading(f"Why {summary.name} is slower than {twin.name}")
        profiles = twin.measurement.operators, summary.measurement.operators
        changes = compare_operators([profiles])
        if changes:
            yield TableBlock(operators_table(changes, twin.name, summary.name))
        else:
            yield Text(f"{summary.engine_name} tells no times of single operators.")


def _is_slower(record: RunRecord, summary: VariantSummary) -> bool:
    verdict = record.verdict_of(summary.name)
    checks = verdict.checks if verdict else ()
    return any(c.name == "latency_ratio" and c.status == "regression" for c in checks)
