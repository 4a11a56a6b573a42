"""A board over ssh, by a real sshd: what is copied and held, and what happens when things break."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.targets.profile import Limits
from landmint.targets.ssh import SshTarget
from landmint.targets.target import Link
from tests.targets.sshd import Device, device

pytestmark = pytest.mark.slow
LONG_S = 600  # nothing here waits for so long unless it hangs


def _stored(board: Device) -> set[str]:
    return {file.name for file in (board.home / "files").iterdir()}


def test_only_what_changed_is_copied(board: Device, tmp_path: Path) -> None:
    folder = tmp_path / "it's a bundle; $(reboot)"
    folder.mkdir()
    (folder / "same").write_text("same")
    (folder / "other").write_text("one")
    target = SshTarget(board.profile())
    first = target.push(folder)
    before = _stored(board)
    (folder / "other").write_text("two")
    second = target.push(folder)
    assert len(_stored(board) - before) == 1
    assert first != second == target.push(folder)
    target.pull(f"{second}/other", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "two"
    target.pull(f"{first}/other", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "one"


def test_a_visit_holds_the_board(board: Device, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    first = SshTarget(board.profile())
    first.push(tmp_path / "file")
    with pytest.raises(NotMeasuredError, match="another landmint is visiting"):
        SshTarget(board.profile()).push(tmp_path / "file")
    del first
    SshTarget(board.profile()).push(tmp_path / "file")


def test_a_probe_copies_nothing(tmp_path: Path) -> None:
    with device(tmp_path / "board") as fresh:
        found = {each.what: each for each in SshTarget(fresh.profile()).probe()}
        assert not fresh.home.exists()
    assert found["Python"].state
    assert not any(each.stops for each in found.values())


def test_an_unknown_and_a_changed_host_key(tmp_path: Path) -> None:
    with device(tmp_path / "board") as fresh:
        known = fresh.known_hosts.read_text()
        fresh.known_hosts.write_text("")
        with pytest.raises(NotMeasuredError, match="nobody has confirmed the host key"):
            SshTarget(fresh.profile()).probe()
        mine = (tmp_path / "board" / "key.pub").read_text()
        fresh.known_hosts.write_text(f"{known.split()[0]} {mine}")
        with pytest.raises(NotMeasuredError, match="another machine answers there than before"):
            SshTarget(fresh.profile()).probe()
        assert not fresh.home.exists()


@pytest.mark.parametrize("address", ["", "-oProxyCommand=touch x", "a b", "a;b", "a\nb"])
def test_an_address_is_no_option(address: str, board: Device) -> None:
    with pytest.raises(LandmintError, match="has (no|the) address"):
        SshTarget(board.profile(address=address)).probe()


@pytest.mark.parametrize(
    ("command", "script", "said"),
    [
        ("uname", "echo riscv64", "machine of board is riscv64, the profile is for"),
        ("python3", "exit 127", "there is none"),
        ("python3", "echo 3.9.2", "3.9.2; landmint needs 3.11"),
        ("getconf", "echo 32", "programs are of 32 bits.*tflite-runtime"),
        ("df", "echo /dev/root 9 9 1024 99 /", "1 MiB are free"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_copied(
    command: str, script: str, said: str, bundle: Bundle, tmp_path: Path
) -> None:
    with device(tmp_path / "board") as fresh:
        fresh.pretend(command, script)
        for other in ("3.11", "3.12", "3.13") if command == "python3" else ():
            fresh.pretend(f"python{other}", script)
        profile = fresh.profile(
            architectures=("x86_64", "aarch64"),
            limits=Limits(free_disk_mib=5),
            settings={"python": "", "install": True},
        )
        with pytest.raises(NotMeasuredError, match=said):
            SshTarget(profile).push(bundle.path)
        assert not fresh.home.exists()


@pytest.fixture
def cuttable(tmp_path: Path) -> Iterator[Device]:
    """A device of this test alone."""
    with device(tmp_path / "cuttable") as fresh:
        yield fresh


def test_a_cut_connection_ends_a_question_and_the_next_visit_works(
    cuttable: Device, bundle: Bundle
) -> None:
    target = SshTarget(cuttable.profile())
    link = target.start(target.push(bundle.path), "null/float32", 1, LONG_S)
    cuttable.relay.cut()
    with pytest.raises(NotMeasuredError, match="the connection was lost"):
        link.ask({"do": "load"}, LONG_S)
    link.close()
    again = _when_released(
        lambda: target.start(target.push(bundle.path), "null/float32", 1, LONG_S)
    )
    assert again.ask({"do": "load"}, LONG_S)["ok"]
    again.close()
    link.close()


def _when_released(work: Callable[[], Link]) -> Link:
    """Do it once the device has seen that the old visit is over."""
    for _ in range(100):
        try:
            return work()
        except NotMeasuredError as error:
            assert re.search("another landmint|connection .*lost", str(error))
            threading.Event().wait(0.1)
    pytest.fail("the board stays held")


def test_a_killed_agent_is_named(board: Device, bundle: Bundle) -> None:
    target = SshTarget(board.profile())
    link = target.start(target.push(bundle.path), "null/float32", 1, LONG_S)
    for process in Path("/proc").glob("[0-9]*"):
        words = _arguments(process)
        if "serve" in words and any(word.startswith(str(board.home)) for word in words):
            if "python" in Path(words[0]).name:
                os.kill(int(process.name), signal.SIGKILL)
    with pytest.raises(NotMeasuredError, match="the agent died of SIGKILL"):
        link.ask({"do": "load"}, LONG_S)


def _arguments(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text().split("\0")
    except OSError:
        return [""]


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    limit = 'ForceCommand ulimit -f 100; eval "$SSH_ORIGINAL_COMMAND"\n'
    (tmp_path / "large").write_bytes(bytes(10**6))
    with device(tmp_path / "board", limit) as fresh:
        target = SshTarget(fresh.profile())
        with pytest.raises(NotMeasuredError, match="File too large"):
            target.push(tmp_path / "large")
        assert not list((fresh.home / "files").iterdir())
