"""`landmint history`, from a folder of measurements to a page, and its exit codes."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.pipeline.history.importing import revision_here
from landmint.runtime.measurement import Measurement, write_measurement

Session = Callable[..., Measurement]


@pytest.fixture
def folders(tmp_path: Path, session: Session) -> list[Path]:
    """Nine folders of measurements; from the sixth on it is slower."""
    places = [tmp_path / f"day-{day}" for day in range(9)]
    for day, place in enumerate(places):
        place.mkdir()
        write_measurement(place, session(2.0 if day < 5 else 2.4, day))
    return places


def _history(*words: str | Path) -> Result:
    result = CliRunner().invoke(cli.app, ["history", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_from_folders_to_a_page(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    file = tmp_path / "h.sqlite"
    added = _history("add", *folders, "--revision", "abc", "--history", file)
    assert added.stdout == f"9 new measurements in {file}\n"
    monkeypatch.setenv("LANDMINT_HISTORY", str(file))
    assert _history("add", folders[0]).stdout == f"0 new measurements in {file}\n"
    assert "9 measurements" in _history("list").stdout
    rows = json.loads(_history("list", "--format", "json", "--machine", "pi 5").stdout)
    assert [row["number"] for row in rows] == list(range(1, 10))
    assert {row["revision"] for row in rows} == {"abc"}
    assert _history("list", "--format", "csv", "--model", "no").stdout.count("\n") == 1
    shown = json.loads(_history("show", "1").stdout)
    assert shown["variant"] == "tflite/int8"
    np.testing.assert_array_equal(shown["points"], session(2.0, 0).points)
    assert "+20.0 % since 2026-01-06" in _history("changes").stdout
    assert "no session was timed" in _history("changes", "--variant", "onnx/int8").stdout
    page = tmp_path / "trends.html"
    assert _history("page", "--out", page).stdout == f"{page}\n"
    assert "one change of latency" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("warm_ms", "fields", "code", "words"),
    [
        (2.2, {}, 4, "own history of 9 sessions, not paired"),
        (5.0, {}, 1, "regression"),
        (2.2, {"engine_version": "litert 9"}, 3, "another engine version: litert 9"),
    ],
)
def test_a_candidate_against_its_history(
    folders: list[Path],
    tmp_path: Path,
    session: Session,
    warm_ms: float,
    fields: dict[str, str],
    code: int,
    words: str,
) -> None:
    file, candidate = tmp_path / "h.sqlite", tmp_path / "candidate"
    candidate.mkdir()
    write_measurement(candidate, session(warm_ms, 9, **fields))
    _history("add", *folders, "--history", file)
    words_given = ("--candidate", candidate, "--history", file, "--out", tmp_path / "verdict")
    result = CliRunner().invoke(cli.app, ["gate", *map(str, words_given)])
    assert result.exit_code == code
    assert words in result.stdout
    assert (tmp_path / "verdict" / "junit.xml").is_file()
    assert "9 measurements" in _history("list", "--history", file).stdout


def test_a_folder_that_cannot_be_read_adds_nothing(folders: list[Path], tmp_path: Path) -> None:
    (folders[1] / "tflite-int8.json").write_text("{")
    result = _history("add", *folders, "--history", tmp_path / "h.sqlite")
    assert (result.exit_code, "is not valid JSON" in result.stderr) == (2, True)
    assert not (tmp_path / "h.sqlite").exists()


def test_a_history_that_is_none(folders: list[Path], tmp_path: Path) -> None:
    verbs = [("history", *words) for words in (("list",), ("show", "1"), ("changes",), ("page",))]
    for words in (*verbs, ("gate", "--candidate", str(folders[0]))):
        history = ["--history", str(tmp_path / "no.sqlite")]
        result = CliRunner().invoke(cli.app, [*words, *history])
        assert (result.exit_code, "does not exist" in result.stderr) == (2, True)


@pytest.mark.parametrize("verb", [("measure", "bundle", "--out", "m"), ("run", "demo")])
def test_a_history_that_cannot_be_written_is_told_before_the_work(
    verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no database, but a text that is long enough" * 9)
    result = CliRunner().invoke(cli.app, [*verb, "--history", "notes.txt"])
    assert (result.exit_code, "notes.txt is no history" in result.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_revision_is_that_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision_here() == ""
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    (tmp_path / "file").write_text("1")
    for words in (("init", "-q"), ("add", "file"), (*identity, "commit", "-qm", "first")):
        subprocess.run(["git", *words], check=True)
    assert re.fullmatch("[0-9a-f]{40}", revision_here())
    (tmp_path / "file").write_text("2")
    assert re.fullmatch("[0-9a-f]{40}-dirty", revision_here())


def test_without_ruptures_changes_say_what_to_install(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from landmint.pipeline import extras

    monkeypatch.setattr(extras, "_requirements", lambda: ['ruptures; extra == "history"'])
    monkeypatch.setitem(sys.modules, "ruptures", None)
    _history("add", *folders, "--history", tmp_path / "h.sqlite")
    result = _history("changes", "--history", tmp_path / "h.sqlite")
    assert result.exit_code == 2
    assert "ruptures is not installed here: pip install 'landmint[history]'" in result.stderr
    assert "9 measurements" in _history("list", "--history", tmp_path / "h.sqlite").stdout
