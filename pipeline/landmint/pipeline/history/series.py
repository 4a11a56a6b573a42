"""Entries of a history as rows of figures, and as series over time. It reads, and draws nothing."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass

from landmint.pipeline.history.changes import Change, find_changes
from landmint.pipeline.history.store import ALL, Entry, History, Selection
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.runtime.accuracy import Truth, summarise
from landmint.runtime.scratch import scratch_folder


@dataclass(frozen=True)
class Row:
    """One measurement as a line of a table."""

    number: int
    """Its number in the history."""
    session: str
    """Time of the visit, UTC; empty for the torch reference."""
    model: str
    """Name of the model."""
    variant: str
    """Format and precision."""
    machine: str
    """Board, or processor."""
    target: str
    """Where it ran, by the target's name."""
    runtime: str
    """The library that ran, with its version."""
    executed_precision: str
    """Number formats that ran."""
    threads: int
    """Threads of one inference."""
    status: str
    """Whether it was measured."""
    launches: int
    """Processes that were timed."""
    latency_ms: float | None
    """Geometric mean of the launches' medians."""
    latency_low_ms: float | None
    """Lower bound of its 95 % interval."""
    latency_high_ms: float | None
    """Upper bound."""
    p99_ms: float | None
    """None where there are too few samples."""
    load_ms: float | None
    """From the file to a model ready to run."""
    peak_memory_mib: float | None
    """Most memory of the process."""
    nme_percent: float | None
    """None where the labels were not imported."""
    size_bytes: int
    """Size on disk."""
    file_sha256: str
    """Of the file that the engine opened."""
    bundle_sha256: str
    """Of the bundle's manifest."""
    revision: str
    """Of the source."""


@dataclass(frozen=True)
class Series:
    """The sessions of one variant of one model on one machine, the oldest first."""

    model: str
    """Name of the model."""
    variant: str
    """Format and precision."""
    machine: str
    """Board, or processor."""
    rows: tuple[Row, ...]
    """Timed sessions."""

    @property
    def name(self) -> str:
        """For headings and messages."""
        first = self.rows[0]
        threads = f", {first.threads} threads" if first.threads > 1 else ""
        target = f", {first.target}" if first.target != "host" else ""
        return f"{self.model} {self.variant} on {self.machine}{target}{threads}"

    @property
    def latencies_ms(self) -> list[float]:
        """One a session."""
        return [row.latency_ms for row in self.rows if row.latency_ms is not None]

    def changes(self) -> tuple[Change, ...]:
        """Where its latency changed."""
        return find_changes(self.latencies_ms)

    def what_else(self, change: Change) -> list[str]:
        """What else was new in the first session of a level."""
        before, after = self.rows[change.index - 1], self.rows[change.index]
        words = {
            "runtime": "runtime",
            "executed_precision": "executed precision",
            "file_sha256": "file",
            "revision": "revision",
        }
        return [
            f"{word} {_short(getattr(before, name))} → {_short(getattr(after, name))}"
            for name, word in words.items()
            if getattr(before, name) != getattr(after, name)
        ]


def rows_of(history: History, selection: Selection = ALL) -> list[Row]:
    """The selected measurements as rows, the oldest session first."""
    errors: dict[tuple[str | None, str | None], float | None] = {}
    rows = []
    for entry in history.entries(selection):
        arrays = (entry.points_sha256, entry.truth_sha256)
        if arrays not in errors:
            errors[arrays] = _nme_percent(history, entry)
        rows.append(_row(entry, errors[arrays]))
    return rows


def series_of(rows: Sequence[Row]) -> list[Series]:
    """Rows that were timed, by model, variant, machine, target and threads."""
    groups: dict[tuple[str | int, ...], list[Row]] = {}
    for row in rows:
        if row.latency_ms is not None:
            key = (row.model, row.variant, row.machine, row.target, row.threads)
            groups.setdefault(key, []).append(row)
    return [
        Series(group[0].model, group[0].variant, group[0].machine, tuple(group))
        for _, group in sorted(groups.items())
    ]


def to_csv(rows: Sequence[Row]) -> str:
    """A line with the names of the columns, then one a row; a figure that is missing is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Row)])
    for row in rows:
        writer.writerow(["" if v is None else _no_formula(v) for v in dataclasses.astuple(row)])
    return text.getvalue()


def _no_formula(value: object) -> object:
    """A text that spreadsheets would run as a formula gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _row(entry: Entry, nme_percent: float | None) -> Row:
    measurement = entry.measurement
    latency = measurement.latency
    interval = latency.interval if latency else None
    machine = measurement.machine
    return Row(
        number=entry.number,
        session=measurement.session,
        model=measurement.bundle,
        variant=measurement.variant,
        machine=machine.name if machine else "",
        target=measurement.target,
        runtime=measurement.engine_version,
        executed_precision=measurement.executed_precision,
        threads=measurement.threads,
        status=measurement.status,
        launches=len(measurement.launches),
        latency_ms=latency.warm_ms if latency else None,
        latency_low_ms=interval.low if interval else None,
        latency_high_ms=interval.high if interval else None,
        p99_ms=latency.p99_ms if latency else None,
        load_ms=latency.load_ms if latency else None,
        peak_memory_mib=measurement.peak_memory_mib,
        nme_percent=nme_percent,
        size_bytes=measurement.size_bytes,
        file_sha256=next(iter(measurement.files.values()), ""),
        bundle_sha256=measurement.bundle_sha256,
        revision=entry.revision,
    )


def _nme_percent(history: History, entry: Entry) -> float | None:
    if entry.points_sha256 is None or entry.truth_sha256 is None:
        return None
    points = history.measurement(entry.number).points
    truth = _truth(history.array(entry.truth_sha256))
    if points is None or truth.names != entry.measurement.faces:
        return None
    return 100 * summarise(points, truth).interval.estimate


def _truth(content: bytes) -> Truth:
    with scratch_folder() as folder:
        (folder / TRUTH_FILE).write_bytes(content)
        return read_truth(folder / TRUTH_FILE)


def _short(value: str) -> str:
    """A hash or a revision by its first letters."""
    hexadecimal = all(letter in "0123456789abcdef" for letter in value[:40])
    return (value[:10] if hexadecimal else value) or "unknown"
