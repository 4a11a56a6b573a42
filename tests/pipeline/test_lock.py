"""A place is written by one process at a time, and nothing is left there of a killed one."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from landmint.pipeline import cli, verbs
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
        with hold(place, listener, "3/8 student"):
            order.append("second")

    with hold(place, Screen(Console(quiet=True))):
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
    with hold(tmp_path / "teacher", Listener()):
        assert (tmp_path / "teachers" / ".1.lock").exists()


def test_processes_of_one_launcher_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    with hold(tmp_path / "student", listener):
        monkeypatch.setenv("RANK", "1")
        with hold(tmp_path / "student", listener):
            assert not listener.lines


KILLED = """\
import os, signal, sys
from pathlib import Path
from landmint.pipeline.lock import hold
from landmint.pipeline.progress import Screen
from landmint.runtime.files import atomic_path

place = Path(sys.argv[1])
with hold(place, Screen()), atomic_path(place) as bundle:
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
    with hold(place, listener):
        assert sorted([*tmp_path.iterdir(), *place.iterdir()]) == sorted(
            [*mine, other, place, tmp_path / ".student.lock"]
        )
    assert not listener.lines, "the lock has vanished with its process"


class Held:
    """Stands in for `hold`, and for the work that must be done while the place is held."""

    def __init__(self) -> None:
        self.place: Path | None = None
        self.worked_on: list[Path | None] = []

    @contextlib.contextmanager
    def hold(self, place: Path, screen: Screen) -> Iterator[None]:
        self.place = place
        yield
        self.place = None

    def work(self, *arguments: Any, **options: Any) -> Path:
        self.worked_on.append(self.place)
        return Path("weights")


RECIPE = """\
[faces]
kind = "synthetic"
[teacher.model]
name = "hrnet"
[student.model]
name = "pfld"
"""


@pytest.mark.parametrize(
    "words",
    [
        ("train", "r.toml"),
        ("distill", "r.toml", "--teacher", "r.toml"),
        ("qat", "w", "--recipe", "r.toml"),
        ("export", "w", "--recipe", "r.toml"),
        ("quantize", "b", "--recipe", "r.toml"),
    ],
    ids=lambda words: words[0],
)
def test_a_verb_holds_the_place_that_it_writes(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    monkeypatch.setattr(verbs, "hold", held.hold)
    for work in (
        "landmint.pipeline.training.train_network",
        "landmint.pipeline.training.adapt_network",
        "landmint.export.bundle_export.export_bundle",
        "landmint.quantize.bundle_quantize.quantize_bundle",
    ):
        monkeypatch.setattr(work, held.work)
    sets = {"train": None, "val": None, "test": None}
    monkeypatch.setattr(verbs, "learning_faces", lambda *_: sets)
    monkeypatch.setattr(verbs, "given_faces", lambda *_: (None, sets))
    monkeypatch.setattr(verbs, "find_model", lambda _: Path("r.toml"))
    for opened in ("load_model", "Bundle.open"):
        monkeypatch.setattr(f"landmint.pipeline.verbs.{opened}", lambda _: Anything())
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(RECIPE, encoding="utf-8")
    done = CliRunner().invoke(cli.app, [*words, "--out", "o"])
    assert done.exit_code == 0, done.output
    assert held.worked_on == [Path("o")]


class Anything:
    """A network or a bundle of which only a markup is asked."""

    def __getattr__(self, name: str) -> Any:
        """Any attribute is another of the kind."""
        return self
