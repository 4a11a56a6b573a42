"""Broken files in a run's folder: the report refuses them in words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.pipeline.places import RECORDS
from landmint.runtime.files import read_json, write_json
from tests.pipeline.conftest import make_fake_run

AskInVain = Callable[..., Result]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fake_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "run"))


@pytest.mark.parametrize(
    ("file", "keys", "value", "said"),
    [
        ("run.json", ("name",), [], "name: Input should be a valid string"),
        ("stages/student.json", ("digest",), None, "digest: Input should be a valid string"),
        ("stages/student.json", ("inputs",), 1, "inputs: Input should be a valid dictionary"),
        ("stages/student.json", ("seconds",), "long", "seconds: Input should be a valid number"),
        ("stages/bundle.json", ("stage",), "a\0b", "stage: String should match pattern"),
        ("faces/faces.json", ("splits",), [1], "splits: Input should be a valid dictionary"),
        ("faces/faces.json", ("splits", "test", "faces"), "x", "splits.test.faces"),
        ("faces/faces.json", ("test_images",), 5, "test_images"),
        ("verdict/verdict.json", ("advice",), 5, "advice: Input should be a valid tuple"),
        ("verdict/verdict.json", ("verdicts", 0, "status"), "x", "verdict.status is 'x'"),
        ("verdict/verdict.json", ("verdicts", 2, "checks", 0, "name"), "x", "is called 'x'"),
    ],
)
def test_a_record_of_another_kind_is_refused(
    file: str,
    keys: tuple[str | int, ...],
    value: object,
    said: str,
    run: Path,
    ask_in_vain: AskInVain,
) -> None:
    content = part = read_json(run / file)
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    write_json(run / file, content)
    ask_in_vain("report", run, "--out", run / "page.html", said=said)


@pytest.mark.parametrize("cell", ["2020-01-01", "9,9,9,9,9,9,9,9,9,9", "\0"])
def test_a_log_of_something_else_is_refused(cell: str, run: Path, ask_in_vain: AskInVain) -> None:
    log = run / "teacher" / "metrics.csv"
    log.write_text(log.read_text() + f"9,{cell}\n")
    ask_in_vain("report", run, "--out", run / "page.html", said="is no log of a training")


def test_stages_that_need_each_other_are_refused(run: Path, ask_in_vain: AskInVain) -> None:
    for name, other in (("student", "bundle"), ("bundle", "student")):
        path = run / RECORDS / f"{name}.json"
        content = read_json(path)
        content["inputs"]["upstream"] = {other: "0"}
        write_json(path, content)
    ask_in_vain("report", run, "--out", run / "page.html", said="need each other")


def test_a_loss_that_is_no_number_is_left_out(run: Path) -> None:
    log = run / "teacher" / "metrics.csv"
    log.write_text(log.read_text() + "9,81,0.001,nan,300,inf,inf,180\n")
    words = ["report", str(run), "--out", str(run / "page.html")]
    assert CliRunner().invoke(cli.app, words).exit_code == 0


def test_an_onnx_file_that_is_none_is_not_linted(tmp_path: Path, ask_in_vain: AskInVain) -> None:
    # Fields of the right length: a graph whose name is no text, and nothing else.
    (tmp_path / "net.onnx").write_bytes(b"\x3a\x04\x12\x02\xff\xff")
    ask_in_vain("export", "--lint", tmp_path / "net.onnx", said="is no sound ONNX file")
