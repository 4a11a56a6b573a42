"""A board over ssh, by a real sshd: what is copied and held, and what happens when things break."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.latency import LatencyConfig
from landmint.targets import ssh, sustained
from landmint.targets.measure import measure_bundle
from landmint.targets.profile import Hygiene, Limits
from landmint.targets.ssh import SshTarget
from landmint.targets.target import Link
from tests.targets.sshd import Device, device

pytestmark = pytest.mark.slow
LONG_S = 600  # nothing here waits for so long unless it hangs
QUICK = LatencyConfig(
    launches=2, samples=20, seconds=0.2, block_ms=1, block_runs=3, warm_ms=5, timeout_s=LONG_S
)
Crops = Callable[[int], Path]


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
    for agent in _agents(board):
        os.kill(agent, signal.SIGKILL)
    with pytest.raises(NotMeasuredError, match="the agent died of SIGKILL"):
        link.ask({"do": "load"}, LONG_S)


def _agents(board: Device) -> list[int]:
    """The agents that run on a device."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        words = _arguments(process)
        if "serve" in words and any(word.startswith(str(board.home)) for word in words):
            if "python" in Path(words[0]).name:
                found.append(int(process.name))
    return found


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


@pytest.fixture
def governor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The governor of a device, as a file that is no kernel's."""
    file = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    file.parent.mkdir(parents=True)
    file.write_text("ondemand\n")
    monkeypatch.setattr(ssh, "_SYSTEM", str(tmp_path / "sys"))
    return file


def _wait_until_left(board: Device, governor: Path) -> None:
    """Wait until no agent runs on a device and its governor is what it was."""
    for _ in range(600):
        if not _agents(board) and governor.read_text() == "ondemand":
            return
        threading.Event().wait(0.1)
    pytest.fail(f"agents {_agents(board)}, governor {governor.read_text()}")


def test_a_connection_cut_in_mid_run_is_no_measurement(
    cuttable: Device, governor: Path, bundle: Bundle, write_crops: Crops, tmp_path: Path
) -> None:
    class Cut:
        def at(self, done: int, total: int, note: str = "") -> None:
            if note.endswith("warm-up 1"):
                assert governor.read_text() == "performance" and _agents(cuttable)
                cuttable.relay.cut()

        def step(self, note: str) -> None: ...

    target = SshTarget(cuttable.profile(hygiene=Hygiene("performance")))
    names, folder = ("null/float32",), tmp_path / "m"
    (raw,) = measure_bundle(target, bundle, names, write_crops(3), QUICK, folder, Cut())
    assert (raw.status, raw.launches) == ("not measured", ())
    assert "the connection was lost" in raw.reason
    _wait_until_left(cuttable, governor)


MEASURING = """
import json, signal, sys
from pathlib import Path
from landmint.runtime.bundle import Bundle
from landmint.runtime.latency import LatencyConfig
from landmint.targets import ssh
from landmint.targets.measure import measure_bundle
from landmint.targets.profile import Hygiene, Profile

class Told:
    def at(self, done, total, note=""):
        print(note, flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell's "&" began it
ssh._SYSTEM, bundle, crops, folder, settings = sys.argv[1:]
profile = Profile("board", "", "ssh", address="board", settings=json.loads(settings),
                  hygiene=Hygiene("performance"))
config = LatencyConfig(launches=1, samples=10**9, seconds=600)
measure_bundle(ssh.SshTarget(profile), Bundle.open(Path(bundle)), ("null/float32",), Path(crops),
               config, Path(folder), Told())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_who_is_ended_in_mid_run_leaves_the_board_as_it_was(
    number: signal.Signals,
    cuttable: Device,
    governor: Path,
    bundle: Bundle,
    write_crops: Crops,
    tmp_path: Path,
) -> None:
    settings = json.dumps(dict(cuttable.profile().settings))
    places = ssh._SYSTEM, str(bundle.path), str(write_crops(3)), str(tmp_path / "m")
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURING, *places, settings],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line.strip().endswith("warm-up 1") for line in lines)
        assert governor.read_text() == "performance" and _agents(cuttable)
        process.send_signal(number)
        _, said = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
    _wait_until_left(cuttable, governor)
    assert process.returncode == -number, said
    assert not (tmp_path / "m").exists()


JUMPING = """
import time
real, calls = time.time, []

def jumping():
    calls.append(0)
    return real() + (3600 if len(calls) % 2 else -3600)

time.time, time.time_ns = jumping, lambda: round(jumping() * 1e9)
open({seen!r}, "a").close()
"""


def test_a_board_whose_clock_jumps_by_an_hour_is_timed_as_any(
    board: Device,
    bundle: Bundle,
    write_crops: Crops,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sustained, "sleep", lambda seconds: None)
    seen, python = tmp_path / "seen", tmp_path / "python3"
    (tmp_path / "sitecustomize.py").write_text(JUMPING.format(seen=str(seen)))
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{tmp_path}:$PYTHONPATH" exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    target = SshTarget(board.profile(settings={"python": str(python)}))
    names, folder = ("onnx/float32", "null/float32"), tmp_path / "m"
    crops = write_crops(3)
    found = measure_bundle(target, bundle, names, crops, QUICK, folder, minutes=0.03)
    assert seen.exists(), "the agents ran with such a clock"
    for raw in found:
        assert raw.status == "measured" and raw.latency is not None
        samples = [ms for block in raw.blocks_ms for ms in block]
        assert 0 < min(samples) and max(samples) < 600_000
        assert all(0 <= launch.load_ms < 600_000 for launch in raw.launches)
        assert raw.sustained is not None and not raw.sustained.cut
        steps = np.diff(raw.sustained.begun_s)
        assert len(steps) and (steps >= 1).all() and (steps < 600).all()
        file_made = datetime.fromtimestamp(seen.stat().st_mtime, UTC)
        apart = abs(datetime.fromisoformat(raw.session) - file_made)
        assert apart < timedelta(minutes=30), "by the clock of this machine, not the board's"
