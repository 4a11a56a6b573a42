"""A place is written by one process at a time, and nothing is left there of a killed one."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from landmint.pipeline import cli
from landmint.pipeline.lock import hold
from landmint.pipeline.progress import Screen

HANG_S = 600  # nothing waits for so long unless it hangs


class Listener(Screen):
    """Keeps lines, and tells when one comes."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.lines: list[str] = []
        self.heard = threading.Event()

    def line(self, text: str, style: str = "") -> None:
        self.lines.append(text)
        self.heard.set()


def test_a_second_holder_says_so_and_waits(tmp_path: Path) -> None:
    place, listener, order = tmp_path / "deep" / "student", Listener(), ["first"]

    def second() -> None:
        with hold(place, listener.line, "3/8 student"):
            order.append("second")

    with hold(place, print):
        thread = threading.Thread(target=second)
        thread.start()
        assert listener.heard.wait(HANG_S)
        order.append("first still")
    thread.join(HANG_S)
    assert order == ["first", "first still", "second"]
    assert listener.lines == [f"3/8 student waits for another process that works on {place}"]
    assert not list(place.parent.iterdir()), "no lock is left"


def test_a_link_to_a_place_is_that_place(tmp_path: Path) -> None:
    (tmp_path / "teacher").symlink_to("teachers/1")
    with hold(tmp_path / "teacher", print):
        assert (tmp_path / "teachers" / ".1.lock").exists()


def test_processes_of_one_launcher_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    with hold(tmp_path / "student", listener.line):
        monkeypatch.setenv("RANK", "1")
        with hold(tmp_path / "student", listener.line):
            assert not listener.lines


KILLED = """\
import os, signal, sys
from pathlib import Path
from landmint.pipeline.lock import hold
from landmint.runtime.files import atomic_path

place = Path(sys.argv[1])
with hold(place, print), atomic_path(place) as bundle:
    bundle.mkdir()
    with atomic_path(place / "last.pt") as fresh:
        fresh.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "student"
    mine = [tmp_path / ".student.settings", place / ".hidden", place / "kept.pt"]
    for folder in mine:
        folder.mkdir(parents=True)
    other = tmp_path / ".student2.abcdefgh.unfinished"  # of a process that works on student2
    other.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(place)], timeout=HANG_S)
    assert done.returncode == -signal.SIGKILL
    listener = Listener()
    assert list(tmp_path.glob(".student.*.unfinished")) and list(place.glob(".last.pt.*"))
    with hold(place, listener.line):
        assert sorted([*tmp_path.iterdir(), *place.iterdir()]) == sorted(
            [*mine, other, place, tmp_path / ".student.lock"]
        )
    assert not listener.lines, "the lock has vanished with its process"


class Reached(Exception):
    """Ends a verb where its work begins."""


class Work:
    """Stands in for the work of a verb, and sees which places are held."""

    def __init__(self) -> None:
        self.locks: list[str] = []

    def __call__(self, *arguments: Any, **options: Any) -> None:
        self.locks = [path.name for path in Path().glob(".*.lock")]
        raise Reached


RECIPE = """\
[faces]
kind = "synthetic"
[teacher.model]
name = "hrnet"
[student.model]
name = "pfld"
"""


@pytest.mark.parametrize(
    ("words", "work"),
    [
        (("train", "r.toml"), "train.training.train_network"),
        (("distill", "r.toml", "--teacher", "r.toml"), "train.training.train_network"),
        (("label", "images", "--model", "w"), "pipeline.labelling.label_images"),
        (("qat", "w", "--recipe", "r.toml"), "quantize.qat.adapt.adapt_network"),
        (("export", "w", "--recipe", "r.toml"), "export.bundle_export.export_bundle"),
        (("quantize", "b", "--recipe", "r.toml"), "pipeline.quantizing.quantize_into"),
        (("measure", "b", "--recipe", "r.toml"), "pipeline.measuring.measure_into"),
        (("gate", "m", "--recipe", "r.toml"), "pipeline.judge.judgement.Judgement.write"),
        (("report", "r"), "pipeline.report.write_report"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_verb_holds_the_place_that_it_writes(
    words: tuple[str, ...], work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, sets = Work(), {"train": None, "val": None, "test": None}
    for name, stand_in in {
        work: seen,
        "pipeline.given.learning_faces": lambda *_: sets,
        "pipeline.given.given_faces": lambda *_: sets,
        "pipeline.judge.verdicts.judge_folder": lambda *_: (),
        "pipeline.judge.verdicts.advise_folder": lambda *_: (),
        "pipeline.labelling.load_model": Anything,
        "pipeline.labelling._faces_in": lambda *_: ((), None),
        "train.zoo.find_model": lambda _: Path("r.toml"),
        "train.models.load_model": Anything,
        "runtime.bundle.Bundle.open": Anything,
    }.items():
        monkeypatch.setattr(f"landmint.{name}", stand_in)
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(RECIPE, encoding="utf-8")
    done = CliRunner().invoke(cli.app, [*words, "--out", "o"])
    assert "Reached" in done.stderr
    assert seen.locks == [".o.lock"]
    assert not list(Path().glob(".*.lock"))


class Anything:
    """A network or a bundle of which only a markup is asked."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Whatever it is opened with."""

    def __getattr__(self, name: str) -> Any:
        """Any attribute is another of the kind."""
        return Anything()
