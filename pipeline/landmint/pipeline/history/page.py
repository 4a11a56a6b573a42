"""The trends of a history as one self-contained HTML page, in the report's style."""

from collections.abc import Sequence
from pathlib import Path

from landmint.pipeline.history.changes import MIN_SESSIONS, Change
from landmint.pipeline.history.figure import trend
from landmint.pipeline.history.series import Row as SessionRow
from landmint.pipeline.history.series import Series
from landmint.pipeline.judge.figures import LATENCY, NME
from landmint.pipeline.report.blocks import (
    Banner,
    Block,
    Card,
    Cell,
    Column,
    Page,
    Picture,
    Row,
    Section,
    Table,
    TableBlock,
    Text,
)
from landmint.pipeline.report.palette import css_class
from landmint.pipeline.report.render import render
from landmint.pipeline.text import NONE, mebibytes, milliseconds, number
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import write_text

_COLUMNS = (
    Column("session", "UTC"),
    Column(LATENCY.name, LATENCY.unit, LATENCY.meaning),
    Column(NME.name, NME.unit, NME.meaning),
    Column("size", "MiB"),
    Column("runtime", words=True),
    Column("ran in", words=True),
    Column("file"),
    Column("revision"),
)


def write_page(series: Sequence[Series], title: str, path: Path) -> Path:
    """Write the page of trends; returns its path.

    Args:
        series: one section each.
        title: heading of the page.
        path: the HTML file.

    Raises:
        LandmintError: there is no series.
        ModuleNotFoundError: ruptures, jinja2 or matplotlib is not installed.
    """
    if not series:
        raise LandmintError(
            "no session was timed, so there is no trend",
            remedy="add measurements with latency, or select others",
        )
    write_text(path, render(page_of(series, title)))
    return path


def page_of(series: Sequence[Series], title: str) -> Page:
    """The page's content."""
    changes = {index: each.changes() for index, each in enumerate(series)}
    sections = [_section(i, each, changes[i]) for i, each in enumerate(series)]
    sessions = {row.session for each in series for row in each.rows}
    machines = {each.machine for each in series}
    return Page(
        title=title,
        kicker=f"landmint history · {min(sessions)[:10]} to {max(sessions)[:10]}",
        answer=f"Latency of {len(series)} variants over {len(sessions)} sessions.",
        banner=_banner([(each, c) for i, each in enumerate(series) for c in changes[i]]),
        cards=[
            Card(str(len(sessions)), "", "sessions"),
            Card(str(len(series)), "", "variants"),
            Card(str(len(machines)), "", "machine" if len(machines) == 1 else "machines"),
        ],
        sections=sections,
        footer="Made by landmint from raw samples. One file, no network, no scripts.",
    )


def change_sentence(series: Series, change: Change) -> str:
    """What changed when, and what else was new in that session."""
    percent = number(100 * (change.ratio - 1), 1)
    sign = "+" if change.ratio > 1 else ""
    others = "; ".join(series.what_else(change))
    return f"{sign}{percent} % since {_when(series.rows[change.index])} UTC" + (
        f" ({others})" if others else " (nothing else that is recorded was new)"
    )


def _banner(changes: Sequence[tuple[Series, Change]]) -> Banner:
    lines = [f"{series.name}: {change_sentence(series, change)}" for series, change in changes]
    slower = any(change.ratio > 1 for _, change in changes)
    count = len(changes)
    if not count:
        return Banner("no change of latency was found", "none")
    return Banner(
        "one change of latency" if count == 1 else f"{count} changes of latency",
        "bad" if slower else "good",
        lines,
    )


def _section(index: int, series: Series, changes: Sequence[Change]) -> Section:
    blocks: list[Block] = [
        Picture(
            trend(series, changes, f"trend-{index}"),
            "Each point is a session, with the 95 % interval over its launches; the line is the "
            "level, a step where it changed.",
        )
    ]
    blocks += [Text(change_sentence(series, change)) for change in changes]
    if len(series.rows) < MIN_SESSIONS:
        missing = MIN_SESSIONS - len(series.rows)
        blocks.append(Text(f"Changes are looked for after {missing} more sessions.", note=True))
    rows = [_row(series, i) for i in reversed(range(len(series.rows)))]
    table = Table(f"The sessions of {series.name}, the latest first", _COLUMNS, rows)
    return Section(f"series-{index}", series.name, [*blocks, TableBlock(table)])


def _row(series: Series, index: int) -> Row:
    row = series.rows[index]
    interval = ""
    if row.latency_low_ms is not None and row.latency_high_ms is not None:
        interval = f"[{milliseconds(row.latency_low_ms)}, {milliseconds(row.latency_high_ms)}]"
    cells = [
        Cell(milliseconds(row.latency_ms), interval),
        Cell(number(row.nme_percent, NME.digits)),
        Cell(mebibytes(row.size_bytes)),
        Cell(row.runtime or NONE),
        Cell(row.executed_precision or NONE),
        Cell(row.file_sha256[:10] or NONE),
        Cell(row.revision[:10] or NONE),
    ]
    return Row(_when(row), cells, css_class(series.variant))


def _when(row: SessionRow) -> str:
    """The session's time to the minute, in UTC."""
    return row.session[:16].replace("T", " ")
