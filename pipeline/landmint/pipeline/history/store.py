"""The history file: measurements of many sessions, written by several processes, whole or not.

SQLite in WAL mode: a process that is killed leaves what was committed before, writers wait for
each other, readers wait for nobody. WAL needs a disk of this machine, not a network's.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from landmint.pipeline.history.faults import explaining, is_busy
from landmint.pipeline.history.records import (
    Record,
    compress,
    decompress,
    from_record,
    sha256_bytes,
    to_record,
)
from landmint.pipeline.history.schema import APPLICATION_ID, MIGRATIONS
from landmint.runtime.errors import LandmintError
from landmint.runtime.measurement import Measurement

WAIT_S = 30.0
"""How long one process waits for another that writes."""


@dataclass(frozen=True)
class Entry:
    """A measurement in a history."""

    number: int
    """Its place in the order of import, from 1."""
    measurement: Measurement
    """Without landmarks."""
    revision: str = ""
    """Of the source that the model was built with, as git names it; empty where unknown."""
    points_sha256: str | None = None
    """Of its landmarks; None when there are none."""
    truth_sha256: str | None = None
    """Of the file with the labelled faces; None when there is none."""


@dataclass(frozen=True)
class Selection:
    """Which measurements to list; an empty field selects all."""

    model: str = ""
    """Name of the model."""
    variant: str = ""
    """Name of the variant."""
    machine: str = ""
    """Part of the machine's name."""

    def holds(self, measurement: Measurement) -> bool:
        """Whether a measurement is selected."""
        machine = measurement.machine.name if measurement.machine else ""
        return (
            self.model in ("", measurement.bundle)
            and self.variant in ("", measurement.variant)
            and self.machine.lower() in machine.lower()
        )


ALL = Selection()
"""Selects everything."""


class History:
    """An open history file; made by `open_history`."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        """Keep what `open_history` has opened and checked."""
        self.path = path
        self._database = database
        self._names: dict[str, bytes] = {}

    def add(
        self, measurements: Sequence[Measurement], truth: bytes | None = None, revision: str = ""
    ) -> int:
        """Store measurements: all of them or, when this process ends in the midst, none.

        Args:
            measurements: of one folder.
            truth: content of the file with the faces that they were measured on.
            revision: of the source that the model was built with.

        Returns:
            how many are new; one that is there already is left as it is.
        """
        records = [to_record(measurement) for measurement in measurements]
        with explaining(self.path), _transaction(self._database):
            return sum(self._add(record, truth, revision) for record in records)

    def _add(self, record: Record, truth: bytes | None, revision: str) -> int:
        names = [self._put(content) for content in (*record.arrays, truth)]
        done = self._database.execute(
            "INSERT OR IGNORE INTO measurement"
            " (sha256, record, operators, faces, samples, points, truth, revision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (record.sha256, record.text, *names, revision),
        )
        return done.rowcount

    def _put(self, content: bytes | None) -> str | None:
        if content is None:
            return None
        name = sha256_bytes(content)
        self._database.execute(
            "INSERT OR IGNORE INTO array (sha256, bytes) VALUES (?, ?)", (name, compress(content))
        )
        return name

    def entries(self, selection: Selection = ALL) -> tuple[Entry, ...]:
        """The selected measurements, the oldest session first, those without a session before."""
        with explaining(self.path):
            rows = self._database.execute(
                "SELECT number, revision, points, truth, record, operators, faces, samples"
                " FROM measurement ORDER BY session, number"
            )
            entries = [
                Entry(
                    number,
                    self._measurement(text, operators, faces, samples, None),
                    revision,
                    points,
                    truth,
                )
                for number, revision, points, truth, text, operators, faces, samples in rows
            ]
        return tuple(entry for entry in entries if selection.holds(entry.measurement))

    def measurement(self, number: int) -> Measurement:
        """One measurement, with its landmarks.

        Raises:
            LandmintError: there is none of this number, or it is damaged.
        """
        with explaining(self.path):
            row = self._database.execute(
                "SELECT record, operators, faces, samples, points FROM measurement"
                " WHERE number = ?",
                (number,),
            ).fetchone()
            if row is not None:
                return self._measurement(*row)
        raise LandmintError(
            f"{self.path} has no measurement {number}", remedy="see `landmint history list`"
        )

    def _measurement(
        self, text: str, operators: str, faces: str, samples: str | None, points: str | None
    ) -> Measurement:
        return from_record(
            Record(
                text,
                self._get(operators),
                self._faces(faces),
                None if samples is None else self._get(samples),
                None if points is None else self._get(points),
            )
        )

    def array(self, sha256: str) -> bytes:
        """An array's bytes, by their hash."""
        with explaining(self.path):
            return self._get(sha256)

    def _get(self, name: str) -> bytes:
        row = self._database.execute("SELECT bytes FROM array WHERE sha256 = ?", (name,)).fetchone()
        if row is None:
            raise ValueError("an array is missing")
        return decompress(row[0], name)

    def _faces(self, name: str) -> bytes:
        """Mostly the same for every measurement, and long."""
        if name not in self._names:
            self._names[name] = self._get(name)
        return self._names[name]


@contextmanager
def open_history(path: Path, *, write: bool = False, wait_s: float = WAIT_S) -> Iterator[History]:
    """Open a history file; for writing it is made if it is not there, and brought to this schema.

    Args:
        path: the file.
        write: whether to add measurements. Otherwise the file is not changed, and may be read-only.
        wait_s: how long to wait for another process that writes.

    Raises:
        LandmintError: the file is missing, damaged, no history, of a newer landmint, or read-only.
        NotMeasuredError: another process kept it locked.
    """
    if not write and not path.is_file():
        raise LandmintError(
            f"{path} does not exist",
            remedy="import measurements with `landmint history add`, or check the path",
        )
    with explaining(path):
        database = _connect(path, write, wait_s)
    try:
        with explaining(path):
            version = _version(path, database)
        if version < len(MIGRATIONS):
            if write:
                _migrate(path, database, wait_s)
            else:
                database = _migrated_copy(path, database)
        yield History(path, database)
    finally:
        database.close()


def _connect(path: Path, write: bool, wait_s: float) -> sqlite3.Connection:
    address = f"{path.resolve().as_uri()}?mode={'rwc' if write else 'rw'}"
    try:
        database = _opened(address, wait_s)
    except sqlite3.OperationalError:
        if write or path.with_name(f"{path.name}-wal").exists():
            raise
        # In a read-only folder SQLite cannot make its files beside this one; nor can a writer.
        database = _opened(f"{address}&immutable=1", wait_s)
    database.execute(f"PRAGMA query_only = {'OFF' if write else 'ON'}")
    return database


def _opened(address: str, wait_s: float) -> sqlite3.Connection:
    """A connection that has read something: only then does SQLite look at the file."""
    database = sqlite3.connect(address, timeout=wait_s, isolation_level=None, uri=True)
    try:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _version(path: Path, database: sqlite3.Connection) -> int:
    """The file's schema; 0 for a new file.

    Raises:
        LandmintError: it is another database, or a newer landmint wrote it.
    """
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise LandmintError(
            f"{path} is no history",
            reason="it is a database of another program",
            remedy="give the file that `landmint history add` wrote, or a new name",
        )
    if version > len(MIGRATIONS):
        raise LandmintError(
            f"{path} was written by a newer landmint",
            reason=f"its schema is {version}, and this landmint knows those up to "
            f"{len(MIGRATIONS)}",
            remedy="update landmint",
        )
    return int(version)


def _migrate(path: Path, database: sqlite3.Connection, wait_s: float) -> None:
    with explaining(path):
        _write_ahead(database, wait_s)
        with _transaction(database):
            version = _version(path, database)  # another process may have been quicker
            for step in MIGRATIONS[version:]:
                for statement in step:
                    database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _write_ahead(database: sqlite3.Connection, wait_s: float) -> None:
    """Turn WAL mode on, which lasts; SQLite itself does not wait here for other processes."""
    end = time.monotonic() + wait_s
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > end:
                raise
            time.sleep(0.05)


def _migrated_copy(path: Path, database: sqlite3.Connection) -> sqlite3.Connection:
    """An older file in memory, in this schema: reading changes no file."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with explaining(path):
        database.backup(copy)
        database.close()
        with _transaction(copy):
            for step in MIGRATIONS[_version(path, copy) :]:
                for statement in step:
                    copy.execute(statement)
    return copy


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of the body's changes, or none."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:  # SQLite may have rolled back already
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
