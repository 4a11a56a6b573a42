"""The page that compares what one bundle does on several targets.

It words and lays out what was measured and judged; nothing is judged here.
"""

from collections.abc import Sequence
from statistics import median

from landmint.pipeline.judge.figures import LATENCY, NME, NME_RISE
from landmint.pipeline.judge.gate import VerdictStatus, worst
from landmint.pipeline.judge.gate_text import OUTCOMES
from landmint.pipeline.judge.summary import VariantSummary, fastest_of, reading_order
from landmint.pipeline.judge.target_results import TargetResult
from landmint.pipeline.report.blocks import (
    Banner,
    Card,
    Cell,
    Column,
    Page,
    Row,
    Section,
    Table,
    TableBlock,
    Text,
)
from landmint.pipeline.report.tables import STATUS_CSS
from landmint.pipeline.text import NONE, listed, number

_READING = (
    "In each cell: the warm median of one face, or the instructions of one face where an emulator "
    "counts them, which is no time; below it, by how many points the NME rises over that of the "
    "network before it was converted. Times of different machines were taken at different hours: "
    "compare variants within a column, and a column's rises with the others'."
)


def targets_page(title: str, results: Sequence[TargetResult]) -> Page:
    """What came of every target, beside each other.

    Args:
        title: of the run.
        results: of `visit_targets`.
    """
    status = worst([result.status for result in results])
    visited = [result for result in results if not result.reason]
    lines = [f"{result.target}: {result.status}." for result in results]
    sections = [
        Section("targets", "Targets", [TableBlock(targets_table(results))]),
        Section(
            "variants", "Variants", [TableBlock(variants_table(results)), Text(_READING, note=True)]
        ),
    ]
    return Page(
        title=title,
        kicker=f"landmint report · {len(results)} targets",
        answer=_answer(visited, len(results)),
        banner=Banner(f"{status.capitalize()}: {OUTCOMES[status]}", STATUS_CSS[status], lines),
        cards=[Card(f"{len(visited)} of {len(results)}", "", "targets measured")],
        sections=sections,
        footer="Made by landmint from raw samples. One file, no network, no scripts.",
    )


def targets_table(results: Sequence[TargetResult]) -> Table:
    """A row a target: its machine, its verdict, and what is the fastest there."""
    columns = (
        Column("target"),
        Column("verdict"),
        Column("fastest variant"),
        Column(LATENCY.name, LATENCY.unit, LATENCY.meaning),
        Column("machine, or why it was not measured", words=True),
    )
    rows = []
    for result in results:
        fastest = fastest_of(result.summaries)
        latency = fastest.latency.warm_ms if fastest and fastest.latency else None
        cells = [
            Cell(result.status, css=STATUS_CSS[result.status]),
            Cell(fastest.name if fastest else NONE),
            Cell(LATENCY.write(latency)),
            Cell(result.reason or result.machine or _no_times(result), css="words"),
        ]
        rows.append(Row(result.target, cells))
    return Table("Targets, each with its verdict", columns, rows)


def variants_table(results: Sequence[TargetResult]) -> Table:
    """A row a variant, a column a target."""
    by_target = [{summary.name: summary for summary in result.summaries} for result in results]
    names = {name for known in by_target for name in known}
    columns = (Column("variant"), *(Column(result.target) for result in results))
    rows = [
        Row(name, [_cell(known.get(name)) for known in by_target])
        for name in sorted(names, key=reading_order)
        if any(name in known and known[name].accuracy for known in by_target)
    ]
    return Table("Variants by target", columns, rows)


def _cell(summary: VariantSummary | None) -> Cell:
    if summary is None or summary.accuracy is None:
        return Cell(NONE, "not measured", css="none")
    instructions = summary.measurement.instructions
    figure = NONE
    if summary.latency:
        figure = LATENCY.write_with_unit(summary.latency.warm_ms)
    elif instructions:
        millions = median(run.total for run in instructions) / 1e6
        figure = f"{number(millions, 1)} M instructions"
    if summary.is_reference or summary.difference is None:
        return Cell(figure, f"NME {NME.write_with_unit(100 * summary.accuracy.main.nme)}")
    rise = NME_RISE.write_with_unit(100 * summary.difference.nme_rise.estimate)
    return Cell(figure, f"NME rise {rise}")


def _no_times(result: TargetResult) -> str:
    reasons = dict.fromkeys(summary.measurement.no_times for summary in result.summaries)
    return "; ".join(filter(None, reasons)) or NONE


def _answer(visited: Sequence[TargetResult], count: int) -> str:
    if not visited:
        return "No target could be measured."
    by_status: dict[VerdictStatus, list[str]] = {}
    for result in visited:
        by_status.setdefault(result.status, []).append(result.target)
    verdicts = [f"{status} on {listed(names)}" for status, names in by_status.items()]
    absent = count - len(visited)
    missing = (
        f" {absent} could not be measured; the same command tries them again." if absent else ""
    )
    return f"The verdict is {listed(verdicts)}.{missing}"
