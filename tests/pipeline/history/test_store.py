"""The history file: nothing is lost, nothing twice, and one clear message for what is wrong."""

import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline.history import store
from landmint.pipeline.history.records import compress, sha256_bytes, to_record
from landmint.pipeline.history.schema import APPLICATION_ID, MIGRATIONS
from landmint.pipeline.history.store import Selection, open_history
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.measurement import Measurement, not_measured, write_measurement

Session = Callable[..., Measurement]
HEAD = """
import dataclasses, os, signal, sys
from pathlib import Path
from landmint.pipeline.history import store
from landmint.pipeline.history.records import to_record
from landmint.pipeline.history.store import open_history
from landmint.runtime.errors import LandmintError
from landmint.runtime.measurement import read_measurement
file, example = Path(sys.argv[1]), read_measurement(Path(sys.argv[2]))
def on(day): return dataclasses.replace(example, session=f"day {day:05}")
"""
WRITE = """
for day in range(int(sys.argv[3]), int(sys.argv[4])):
    with open_history(file, write=True) as history:
        history.add([on(day)])
    print(day, flush=True)
"""
"""Adds one session after the other, and tells of each once it is stored."""
WITHIN = """
with open_history(file, write=True) as history:
    with store._transaction(history._database):
        history._add(to_record(on(1)), None, "")
        os.kill(os.getpid(), signal.SIGKILL)
"""
UNPRIVILEGED = """
if os.getuid() == 0:  # permissions do not hold for root
    os.setgid(65534)
    os.setuid(65534)
try:
    with open_history(file) as history:
        print(len(history.entries()), "to read")
    with open_history(file, write=True) as history:
        history.add([on(1)])
except LandmintError as error:
    print(error.exit_code, error)
"""


def _start(script: str, *words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HEAD + script, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _sessions(file: Path) -> list[str]:
    with open_history(file) as history:
        return [entry.measurement.session for entry in history.entries()]


def _same(one: Measurement, other: Measurement) -> None:
    for field in dataclasses.fields(Measurement):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "points" and a is not None:
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b, field.name


def _write(file: Path, *measurements: Measurement) -> int:
    with open_history(file, write=True) as history:
        return history.add(measurements)


def _count(file: Path) -> int:
    with open_history(file) as history:
        return len(history.entries())


def test_measurements_come_back_as_they_were(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    one = session(2.0)
    assert one.points is not None
    one.points[1, 4] = np.nan  # what a model returns is kept
    other = not_measured("m", "tensorrt/int8", "tensorrt", "no GPU")
    with open_history(file, write=True) as history:
        assert history.add([one, other], truth=b"labels", revision="abc-dirty") == 2
    with open_history(file) as history:
        first, second = history.entries()
        _same(history.measurement(first.number), other)
        _same(history.measurement(second.number), one)
        _same(dataclasses.replace(second.measurement, points=one.points), one)
        assert (second.revision, first.points_sha256) == ("abc-dirty", None)
        assert second.truth_sha256 is not None
        assert history.array(second.truth_sha256) == b"labels"


def test_the_same_measurement_is_stored_once(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    assert _write(file, session(2.0, 0), session(2.0, 1)) == 2
    assert _write(file, session(2.0, 1), session(2.0, 2)) == 1
    assert _count(file) == 3


def test_landmarks_that_did_not_change_take_no_more_space(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    points = session(2.0, faces=200).points
    assert points is not None
    _write(file, *(session(2.0, day, faces=200, points=points) for day in range(20)))
    assert file.stat().st_size < 2 * points.nbytes


def test_entries_are_sorted_by_session_and_selected(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    _write(file, session(2.0, 5), session(1.0, 3, variant="onnx/int8"), session(2.0, 1))
    machine = session(2.0).machine
    assert machine is not None
    laptop = dataclasses.replace(machine, board="", cpu="Laptop CPU")
    _write(file, session(2.0, 2, machine=laptop, bundle="other"))
    with open_history(file) as history:
        every = history.entries()
        assert [e.measurement.session[8:10] for e in every] == ["02", "03", "04", "06"]
        for selection, numbers in (
            (Selection(model="other"), [4]),
            (Selection(variant="onnx/int8"), [2]),
            (Selection(machine="raspberry"), [3, 2, 1]),
            (Selection(model="nothing"), []),
        ):
            assert [e.number for e in history.entries(selection)] == numbers


def test_a_number_that_is_not_there(tmp_path: Path, session: Session) -> None:
    _write(tmp_path / "h.sqlite", session(2.0))
    with open_history(tmp_path / "h.sqlite") as history:
        with pytest.raises(LandmintError, match="has no measurement 7"):
            history.measurement(7)


def test_a_file_of_version_1_is_migrated(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    _version_1(file, session(2.0))
    with open_history(file) as history:  # reading works, and changes nothing
        _same(history.measurement(1), session(2.0))
    assert _pragma(file, "user_version") == 1
    _write(file, session(2.0, 1))
    assert _pragma(file, "user_version") == len(MIGRATIONS)
    with open_history(file) as history:
        _same(history.measurement(1), session(2.0))
        old, new = history.entries()
        assert (old.revision, old.truth_sha256) == ("", None)


def _version_1(file: Path, measurement: Measurement) -> None:
    """A file as the first schema had it, without revision and truth."""
    record = to_record(measurement)
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE array (sha256 TEXT PRIMARY KEY, bytes BLOB) WITHOUT ROWID")
    database.execute(
        "CREATE TABLE measurement (number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE,"
        " record TEXT NOT NULL, operators TEXT, faces TEXT, samples TEXT, points TEXT,"
        " session TEXT AS (json_extract(record, '$.session')) VIRTUAL,"
        " bundle TEXT AS (json_extract(record, '$.bundle')) VIRTUAL,"
        " variant TEXT AS (json_extract(record, '$.variant')) VIRTUAL)"
    )
    arrays = [array for array in record.arrays if array is not None]
    for array in arrays:
        database.execute("INSERT INTO array VALUES (?, ?)", (sha256_bytes(array), compress(array)))
    database.execute(
        "INSERT INTO measurement (sha256, record, operators, faces, samples, points)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (record.sha256, record.text, *map(sha256_bytes, arrays)),
    )
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute("PRAGMA user_version = 1")
    database.execute("PRAGMA journal_mode = WAL")
    database.commit()
    database.close()


def _pragma(file: Path, name: str) -> int:
    database = sqlite3.connect(file)
    try:
        return int(database.execute(f"PRAGMA {name}").fetchone()[0])
    finally:
        database.close()


def test_a_failed_migration_changes_nothing(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "h.sqlite"
    _write(file, session(2.0))
    broken = (*MIGRATIONS, ("CREATE TABLE fresh (x)", "no SQL at all"))
    monkeypatch.setattr(store, "MIGRATIONS", broken)
    with pytest.raises(LandmintError, match="syntax error"):
        _write(file, session(2.0, 1))
    monkeypatch.undo()
    assert _pragma(file, "user_version") == len(MIGRATIONS)
    assert _count(file) == 1


def test_two_writers_at_once_lose_nothing(tmp_path: Path, session: Session) -> None:
    file, example = tmp_path / "h.sqlite", write_measurement(tmp_path, session(2.0))
    writers = [_start(WRITE, file, example, first, first + 6) for first in (0, 100)]
    for writer in writers:
        writer.communicate(timeout=300)
        assert writer.returncode == 0
    assert _sessions(file) == [f"day {day:05}" for day in (*range(6), *range(100, 106))]


@pytest.mark.parametrize("stored", [1, 3])
def test_a_killed_writer_loses_nothing_that_it_had_stored(
    tmp_path: Path, session: Session, stored: int
) -> None:
    file, example = tmp_path / "h.sqlite", write_measurement(tmp_path, session(2.0))
    writer = _start(WRITE, file, example, 0, 10_000)
    assert writer.stdout is not None
    for _ in range(stored):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate()
    there = _sessions(file)
    # It may have stored one that it could not tell of any more.
    assert stored + len(rest.splitlines()) <= len(there) <= stored + len(rest.splitlines()) + 1
    assert there == [f"day {day:05}" for day in range(len(there))]
    with open_history(file) as history:
        last = history.measurement(len(there))
    _same(dataclasses.replace(last, session=""), session(2.0, session=""))
    assert _write(file, session(2.0)) == 1


def test_a_writer_killed_within_a_transaction_stores_nothing_of_it(
    tmp_path: Path, session: Session
) -> None:
    file, example = tmp_path / "h.sqlite", write_measurement(tmp_path, session(2.0))
    _write(file, session(2.0))
    writer = _start(WITHIN, file, example)
    writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    assert _sessions(file) == [session(2.0).session]


def test_a_file_that_is_not_there(tmp_path: Path, session: Session) -> None:
    with pytest.raises(LandmintError, match="does not exist"):
        _count(tmp_path / "no.sqlite")
    with pytest.raises(LandmintError, match="cannot be opened or written"):
        _write(tmp_path / "no" / "h.sqlite", session(2.0))
    assert list(tmp_path.iterdir()) == []


def test_a_newer_schema(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    _write(file, session(2.0))
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 99")
    database.close()
    for use in (_count, lambda path: _write(path, session(2.0, 1))):
        with pytest.raises(LandmintError, match="written by a newer landmint.*\n.*schema is 99"):
            use(file)
    assert _pragma(file, "user_version") == 99


def _other_database(file: Path) -> None:
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE bookmark (url TEXT)")
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.write_text("name,latency\n" * 99), "is no history"),
        (_other_database, "is no history"),
        (lambda file: file.mkdir(), "does not exist|cannot be opened"),
    ],
    ids=["text", "another database", "folder"],
)
def test_a_file_of_another_kind(
    tmp_path: Path, session: Session, spoil: Callable[[Path], object], message: str
) -> None:
    file = tmp_path / "h.sqlite"
    spoil(file)
    before = file.read_bytes() if file.is_file() else None
    for use in (_count, lambda path: _write(path, session(2.0, 1))):
        with pytest.raises(LandmintError, match=message) as caught:
            use(file)
        assert caught.value.exit_code == 2
    assert before is None or file.read_bytes() == before


def test_a_truncated_file(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    _write(file, *(session(2.0, day) for day in range(20)))
    file.write_bytes(file.read_bytes()[:-9000])
    with pytest.raises(LandmintError, match="is damaged"):
        _count(file)


def test_changed_bytes_of_an_array(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    _write(file, session(2.0))
    database = sqlite3.connect(file)
    database.execute("UPDATE array SET bytes = (SELECT max(bytes) FROM array)")
    database.commit()
    database.close()
    with pytest.raises(LandmintError, match="an array differs from its hash") as caught:
        _count(file)
    assert caught.value.exit_code == 2


def test_a_record_that_was_edited(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    _write(file, session(2.0))
    database = sqlite3.connect(file)
    (text,) = database.execute("SELECT record FROM measurement").fetchone()
    content = json.loads(text)
    content["threads"] = "many"
    database.execute("UPDATE measurement SET record = ?", (json.dumps(content),))
    database.commit()
    database.close()
    with pytest.raises(LandmintError, match="damaged\n.*measurement.threads"):
        _count(file)


def test_locked_for_longer_than_it_waits(tmp_path: Path, session: Session) -> None:
    file = tmp_path / "h.sqlite"
    _write(file, session(2.0))
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(NotMeasuredError, match="is in use") as caught:
            with open_history(file, write=True, wait_s=0.05) as history:
                history.add([session(2.0, 1)])
        assert caught.value.exit_code == 3
        assert _count(file) == 1  # readers do not wait
    finally:
        holder.close()
    assert _write(file, session(2.0, 1)) == 1


@pytest.mark.parametrize(("locked", "mode"), [("h.sqlite", 0o444), (".", 0o555)])
def test_read_only(tmp_path: Path, session: Session, locked: str, mode: int) -> None:
    example = write_measurement(tmp_path, session(2.0))
    folder = tmp_path / "there"
    folder.mkdir()
    file = folder / "h.sqlite"
    _write(file, session(2.0))
    if os.getuid() == 0:
        for place in (file, folder):
            os.chown(place, 65534, 65534)
        for place in (tmp_path, *tmp_path.parents):
            if place.name.startswith(("test_", "popen-", "pytest-")):
                place.chmod(0o755)
    (folder / locked).chmod(mode)
    answer, _ = _start(UNPRIVILEGED, file, example).communicate()
    folder.chmod(0o755)
    assert answer.startswith(f"1 to read\n2 {file} cannot be opened or written\n")
    assert _sessions(file) == [session(2.0).session]
    assert [path.name for path in folder.iterdir()] == ["h.sqlite"]
