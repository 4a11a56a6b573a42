"""The tables of the report: which figures stand in which column."""

import dataclasses
from collections.abc import Sequence

from landmint.pipeline.judge.comparison import Side, gain_of, side_of
from landmint.pipeline.judge.figures import (
    LATENCY,
    LOAD_TIME,
    MOVED,
    NME,
    NME_RISE,
    PEAK_MEMORY,
    SIZE,
    SPEEDUP,
    Figure,
)
from landmint.pipeline.judge.gate import Check, VerdictStatus
from landmint.pipeline.judge.summary import VariantSummary, fastest_of, reading_order
from landmint.pipeline.report.blocks import Cell, Column, Row, Table
from landmint.pipeline.report.palette import css_class, split_variant
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.text import (
    NONE,
    mebibytes,
    milliseconds,
    number,
    one_line,
    percent,
    percent_interval,
    times,
)
from landmint.runtime.accuracy import Difference
from landmint.runtime.latency import Latency
from landmint.runtime.measurement import Measurement

STATUS_CSS: dict[VerdictStatus, str] = {
    "pass": "good",
    "regression": "bad",
    "accuracy drift": "bad",
    "inconclusive": "open",
    "not measured": "none",
    "not judged": "none",
}
_SIDE_CSS: dict[Side, str] = {"above": "good", "below": "bad", "undecided": "open"}
_ANSWERS: dict[Side, str] = {
    "above": "yes",
    "below": "no",
    "undecided": "undecided",
    "unknown": "not measured",
}


def overview(record: RunRecord) -> Table:
    """Every variant, measured or not, with what decides."""
    unit = record.markup.error_unit
    columns = (
        Column("variant"),
        _column(NME, f"% of {unit}"),
        _column(NME_RISE, "points, 95 % interval"),
        _column(MOVED, f"% of {unit}, 95 % interval"),
        _column(LATENCY, "ms, warm median"),
        _column(SPEEDUP, "95 % interval"),
        _column(SIZE),
        Column("verdict", words=True),
    )
    fastest = fastest_of(record.timed)
    rows = [_overview_row(summary, record, summary is fastest) for summary in record.summaries]
    return Table("All variants", columns, rows)


def _column(figure: Figure, unit: str = "") -> Column:
    return Column(figure.name, unit or figure.unit, figure.meaning)


def _overview_row(summary: VariantSummary, record: RunRecord, is_fastest: bool) -> Row:
    verdict = record.verdict_of(summary.name)
    status = (
        Cell(verdict.status, css=f"words {STATUS_CSS[verdict.status]}")
        if verdict
        else Cell(NONE, css="words")
    )
    raw = summary.measurement
    if raw.status != "measured":
        words = f"{raw.status}: {one_line(raw.reason)}"
        return _row(summary, [Cell(words, css="words reason none", span=7)])
    accuracy, latency = summary.accuracy, summary.latency
    warm = milliseconds(latency.warm_ms) if latency else _no_latency(summary.measurement)
    checks = {check.name: check for check in verdict.checks} if verdict else {}
    figures = {
        "nme_percent": Cell(percent(accuracy.main.nme) if accuracy else NONE),
        **_difference_cells(summary.difference, summary.is_reference),
        "latency_ms": Cell(warm, css="best" if is_fastest else ""),
        "latency_ratio": _speed_cell(summary),
        "size_mib": Cell(mebibytes(summary.measurement.size_bytes)),
    }
    cells = [_beside_limit(cell, checks.get(name)) for name, cell in figures.items()]
    return _row(summary, [*cells, status])


def _no_latency(raw: Measurement) -> str:
    return "not measured" if raw.no_times else NONE


def _beside_limit(cell: Cell, check: Check | None) -> Cell:
    """A figure with its limit, if it has one, in the colour of what was said of it."""
    if check is None:
        return cell
    if check.name == "latency_ratio":  # the column has its inverse
        limit = f"at least {SPEEDUP.write_limit(1 / check.limit)}"
    else:
        limit = f"at most {check.limit:g}"
    colour = "" if check.status == "pass" else STATUS_CSS[check.status]
    return dataclasses.replace(
        cell, sub=", ".join(filter(None, (cell.sub, limit))), css=f"{cell.css} {colour}".strip()
    )


def _difference_cells(difference: Difference | None, is_reference: bool) -> dict[str, Cell]:
    if is_reference:
        return {"drift_percent": Cell("reference", css="none", span=2)}
    if difference is None:
        return {"drift_percent": Cell(NONE), "displacement_percent": Cell(NONE)}
    rise, moved = difference.nme_rise, difference.displacement
    return {
        "drift_percent": Cell(*percent_interval(rise, NME_RISE.digits)),
        "displacement_percent": Cell(*percent_interval(moved, MOVED.digits)),
    }


def _speed_cell(summary: VariantSummary) -> Cell:
    side = gain_of(summary.speedup)
    return Cell(*times(summary.speedup), _SIDE_CSS[side] if side in ("above", "below") else "")


def accuracy(record: RunRecord) -> Table:
    """NME by every normaliser, failures, percentiles, eyes."""
    others = record.markup.normalisers[1:]
    columns = (
        Column("variant"),
        Column("NME", f"% of {record.markup.error_unit}, 95 % interval"),
        *(Column("NME", f"% {kind.replace('_', '-')}") for kind in others),
        Column("FR @ 10 %", "% of faces", "share of faces with an error above 10 %"),
        Column("AUC @ 10 %", "", "area under the cumulative error curve, 1 is perfect"),
        Column("P90", "%", "nine faces in ten are not worse than this"),
        Column("P95", "%"),
        Column("P99", "%"),
        Column("eyes only", "% NME", "closed eyes fail first after INT8"),
    )
    rows = []
    for summary in record.measured:
        errors = summary.accuracy
        if errors is None:
            continue
        tail = [Cell(percent(errors.main.percentiles[p])) for p in (90, 95, 99)]
        cells = [
            Cell(*percent_interval(errors.interval)),
            *(Cell(percent(errors.errors[kind].nme)) for kind in others),
            Cell(percent(errors.main.failure_rate[0.10])),
            Cell(number(errors.main.auc[0.10], 3)),
            *tail,
            Cell(percent(errors.eyes_nme)),
        ]
        rows.append(_row(summary, cells))
    return Table("Accuracy of each variant", columns, rows)


def latency(record: RunRecord) -> Table:
    """Times, memory, size, and what really ran."""
    columns = (
        Column("variant"),
        _column(LOAD_TIME),
        Column("first run", "ms"),
        _column(LATENCY, "ms, warm median, 95 % interval"),
        Column("p90", "ms"),
        Column("p99", "ms"),
        Column("runs", "", "warm runs, over all launches"),
        _column(PEAK_MEMORY),
        Column("model's share", "MiB", "peak minus the process before it loaded the model"),
        Column("threads"),
        Column("what ran", "precision, as the engine reports it", words=True),
        Column("engine", words=True),
    )
    rows = [_row(s, _latency_cells(s.latency, s.measurement)) for s in record.timed if s.latency]
    return Table("Latency, memory and precision of each variant", columns, rows)


def _latency_cells(latency: Latency, raw: Measurement) -> list[Cell]:
    interval, own_mib = "", None
    if latency.interval:
        low, high = milliseconds(latency.interval.low), milliseconds(latency.interval.high)
        interval = f"[{low}, {high}]"
    if raw.peak_memory_mib is not None and raw.baseline_memory_mib is not None:
        own_mib = raw.peak_memory_mib - raw.baseline_memory_mib
    return [
        Cell(milliseconds(latency.load_ms)),
        Cell(milliseconds(latency.first_ms)),
        Cell(milliseconds(latency.warm_ms), interval),
        Cell(milliseconds(latency.p90_ms)),
        Cell(milliseconds(latency.p99_ms)),
        Cell(str(latency.samples)),
        Cell(number(raw.peak_memory_mib, 0)),
        Cell(number(own_mib, 0)),
        Cell(str(raw.threads)),
        Cell(raw.executed_precision or NONE, css="words"),
        Cell(raw.engine_version, css="words"),
    ]


def int8_or_float(record: RunRecord) -> Table:
    """The question that everybody asks, engine by engine."""
    columns = (
        Column("engine"),
        Column("INT8 faster than float32?", words=True),
        _column(SPEEDUP, "95 % interval"),
        Column("float32", "ms"),
        Column("INT8", "ms"),
        Column("smaller by", "times"),
        _column(NME_RISE, "points, 95 % interval"),
    )
    by_name = {summary.name: summary for summary in record.summaries}
    rows = []
    for summary in record.summaries:
        plain = by_name.get(f"{summary.format}/float32")
        if summary.precision != "int8" or plain is None:
            continue
        answer, css = int8_answer(summary)
        sizes = (plain.measurement.size_bytes, summary.measurement.size_bytes)
        rows.append(
            _row(
                summary,
                [
                    Cell(answer, css=f"words {css}"),
                    Cell(*times(summary.speedup)),
                    Cell(milliseconds(plain.latency.warm_ms if plain.latency else None)),
                    Cell(milliseconds(summary.latency.warm_ms if summary.latency else None)),
                    Cell(f"{sizes[0] / sizes[1]:.1f}" if all(sizes) else NONE),
                    Cell(
                        *percent_interval(
                            summary.difference.nme_rise if summary.difference else None, 3
                        )
                    ),
                ],
                head=summary.engine_name,
            )
        )
    return Table("Is INT8 faster than float32?", columns, rows)


def int8_answer(summary: VariantSummary) -> tuple[str, str]:
    """Yes, no or undecided, with a CSS class; the interval decides, not the estimate."""
    side = side_of(summary.speedup, 1)
    return _ANSWERS[side], _SIDE_CSS.get(side, "none")


def regions(record: RunRecord) -> Table:
    """NME of each part of the face; tinted by how much it rises over the reference."""
    names = list(record.markup.regions)
    columns = (Column("variant"), *(Column(name, "% NME") for name in names))
    base = record.reference.accuracy if record.reference else None
    rises = [
        summary.accuracy.by_region[name] - base.by_region[name]
        for summary in record.measured
        for name in names
        if summary.accuracy and base
    ]
    most = max([*rises, 0.002])  # a rise of much less than .2 points is hardly tinted
    rows = []
    for summary in record.measured:
        if summary.accuracy is None:
            continue
        cells = []
        for name in names:
            value = summary.accuracy.by_region[name]
            rise = value - base.by_region[name] if base else 0.0
            sub = f"{rise * 100:+.2f}" if abs(rise) >= 0.00005 else ""
            heat = max(0.0, rise / most)
            cells.append(Cell(percent(value), sub, "heat", heat))
        rows.append(_row(summary, cells))
    return Table("NME by part of the face", columns, rows)


def file_hashes(record: RunRecord) -> Table:
    """Every file of the bundle with its sha256."""
    rows = [
        Row(name, [Cell(digest, css="words hash")])
        for name, digest in sorted(record.manifest.files.items())
    ]
    return Table("Files", (Column("file"), Column("sha256", words=True)), rows)


def notes(record: RunRecord) -> Table:
    """What the makers of each variant noted, such as its parity with the reference."""
    rows = [
        Row(
            variant.name,
            [
                Cell(
                    "; ".join(f"{key}: {value}" for key, value in variant.notes.items()),
                    css="words reason",
                )
            ],
            f"{css_class(variant.name)} {variant.precision}",
        )
        for variant in sorted(record.manifest.variants, key=lambda v: reading_order(v.name))
        if variant.notes
    ]
    columns = (Column("variant"), Column("notes", words=True))
    return Table("How each variant was made", columns, rows)


def lint(record: RunRecord) -> Table:
    """What each target has against the float graph."""
    columns = (
        Column("target"),
        Column("rule", words=True),
        Column("what", words=True),
        Column("why", words=True),
        Column("what to do", words=True),
    )
    rows = [
        Row(
            finding.target,
            [
                Cell(finding.rule, css=f"words {'bad' if finding.severity == 'error' else 'open'}"),
                Cell(finding.what, css="words reason"),
                Cell(finding.reason, css="words reason"),
                Cell(finding.remedy, css="words reason"),
            ],
        )
        for finding in record.findings
    ]
    return Table("What the linter says", columns, rows)


def stages(record: RunRecord) -> Table:
    """How long each stage took, and the digest of its inputs."""
    rows = [
        Row(stage.name, [Cell(number(stage.seconds, 1)), Cell(stage.digest, css="words hash")])
        for stage in record.stages
    ]
    columns = (
        Column("stage"),
        Column("time", "s, of its last start"),
        Column("digest of its inputs", words=True),
    )
    return Table("Stages", columns, rows)


def _row(summary: VariantSummary, cells: Sequence[Cell], head: str = "") -> Row:
    _, precision = split_variant(summary.name)
    return Row(head or summary.name, cells, f"{css_class(summary.name)} {precision}")
