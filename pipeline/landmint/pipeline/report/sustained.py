"""Minutes without a pause: what became of the latency, in a sentence, a curve and a table."""

from collections.abc import Sequence

from landmint.pipeline.report import figures
from landmint.pipeline.report.blocks import (
    Block,
    Cell,
    Column,
    Picture,
    Row,
    Section,
    Table,
    TableBlock,
    Text,
)
from landmint.pipeline.report.palette import css_class
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.text import NONE, duration, milliseconds, number, percent
from landmint.runtime.measurement import Measurement
from landmint.runtime.sustained import (
    Phase,
    Sustained,
    SustainedFigures,
    summarise_sustained,
)


def sustained(record: RunRecord) -> Section | None:
    """The curve of every variant that ran for minutes."""
    blocks: list[Block] = []
    for place, raw in enumerate(record.sustained):
        assert raw.sustained is not None
        blocks.append(Text(in_words(raw)))
        if len(raw.sustained.runs):
            blocks.append(
                Picture(
                    figures.sustained(f"sustained-{place}", raw.variant, raw.sustained),
                    f"{raw.variant} without a pause on {raw.target}: median and p99 of each "
                    "moment, and the clock and the temperature where the machine tells them.",
                )
            )
    if not blocks:
        return None
    blocks += [
        TableBlock(sustained_table(record.sustained)),
        Text(
            "Cold is the first second, from the first run after loading; warm is the rest of the "
            "first half minute; steady is what MSER-5 leaves of the moments after that. Throttling "
            "is what the firmware tells, or a clock under 90 % of the run's highest for five "
            "moments in a row.",
            note=True,
        ),
    ]
    return Section("sustained", "Minutes without a pause", blocks)


def in_words(raw: Measurement) -> str:
    """What happened in a sustained run, in one sentence.

    Args:
        raw: with a sustained run.
    """
    run = raw.sustained
    assert run is not None
    summary = summarise_sustained(run)
    ended = f"it ended early: {run.cut}" if run.cut else ""
    parts = [] if summary is None else [_throttling(summary, run), _steady(summary)]
    return f"{raw.variant} on {raw.target}: {'; '.join([*parts, *filter(None, [ended])])}."


def _throttling(summary: SustainedFigures, run: Sustained) -> str:
    lasted = f"{run.minutes:g} minutes" if not run.cut else duration(summary.seconds)
    if summary.throttled_s is not None:
        return (
            f"throttled after {duration(summary.throttled_s)} of {lasted} ({summary.throttled_by})"
        )
    if summary.tells_clock:
        return f"no throttling in {lasted}"
    return f"{lasted} on a machine that does not tell its clock, so throttling may go unseen"


def _steady(summary: SustainedFigures) -> str:
    cold, steady = summary.phases[0], summary.phase("steady")
    if steady is None:
        return "no steady state was found: it was too short, or still changed"
    ratio = f"{steady.p50_ms / cold.p50_ms:.2f}× the cold one"
    return f"steady p50 {milliseconds(steady.p50_ms)} ms, {ratio}, from {duration(steady.begun_s)}"


def sustained_table(measurements: Sequence[Measurement]) -> Table:
    """Cold, warm and steady latency of every variant that ran for minutes."""
    phases = [
        Column(f"{name} {share}", "ms")
        for name in ("cold", "warm", "steady")
        for share in ("p50", "p99")
    ]
    columns = (
        Column("variant"),
        *phases,
        Column("steady after"),
        Column("throttled after"),
        Column("temperature", "C", "after the first moment, and the highest"),
        Column("at work", "% of the time", "between moments the machine is looked at"),
    )
    rows = [
        Row(raw.variant, _cells(summary), css_class(raw.variant))
        for raw in measurements
        if raw.sustained is not None and (summary := summarise_sustained(raw.sustained)) is not None
    ]
    return Table("Cold, warm and steady latency", columns, rows)


def _cells(summary: SustainedFigures) -> list[Cell]:
    steady = summary.phase("steady")
    heat = NONE if summary.first_c is None else f"{number(summary.first_c, 0)} to "
    return [
        *(cell for name in ("cold", "warm", "steady") for cell in _times(summary.phase(name))),
        Cell(duration(steady.begun_s) if steady else NONE),
        Cell(NONE if summary.throttled_s is None else duration(summary.throttled_s)),
        Cell(heat if summary.hottest_c is None else f"{heat}{number(summary.hottest_c, 0)}"),
        Cell(percent(summary.working, 1)),
    ]


def _times(phase: Phase | None) -> tuple[Cell, Cell]:
    if phase is None:
        return Cell(NONE), Cell(NONE)
    return Cell(milliseconds(phase.p50_ms)), Cell(milliseconds(phase.p99_ms))
