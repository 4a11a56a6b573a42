"""The system's adb client, and one phone that it reaches.

The user's adb server and keys count. What a phone says is bounded in size, and nothing of it is
ever given to a shell: what is quoted here is read by the phone's own shell alone.
"""

import re
import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.targets.processes import environment, printable

MARK = "landmint."
"""What begins each line of a phone's output that is meant for landmint."""
_STATUS = f"{MARK}status="
_LARGEST_OUTPUT = 1 << 20
_LAST_BYTES = 500
_QUICK_S, _COPY_S = 60.0, 1800.0
_SERIAL = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.:%\[\]-]{0,120}")
_LISTED = re.compile(r"(\S+)\t(\S.*)")
_READY = "device"


class Adb:
    """The client, which runs one command at a time."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self.deadline = float("inf")
        """When whatever runs is ended, by `time.monotonic`."""
        self._running: subprocess.Popen[bytes] | None = None

    def call(self, words: Sequence[str], timeout_s: float) -> tuple[int, bytes]:
        """Exit code and output of a command; negative where it was ended.

        Raises:
            NotMeasuredError: there is no adb here, or it printed too much.
        """
        try:
            process = subprocess.Popen(
                ["adb", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(),
                # Ctrl-C goes to the caller alone.
                start_new_session=True,
            )
        except OSError as error:
            raise NotMeasuredError(
                "adb cannot be started", reason=str(error), remedy="sudo apt install adb"
            ) from None
        self._running = process
        left_s = max(0.0, min(timeout_s, self.deadline - time.monotonic()))
        late = threading.Timer(left_s, process.kill)
        late.start()
        assert process.stdout is not None
        try:
            with process.stdout as stdout:
                printed = stdout.read(_LARGEST_OUTPUT + 1)
            if len(printed) <= _LARGEST_OUTPUT:
                process.wait()
        finally:
            late.cancel()
            process.kill()
            process.wait()
            self._running = None
        if len(printed) > _LARGEST_OUTPUT:
            raise NotMeasuredError(f"adb printed more than {_LARGEST_OUTPUT} bytes")
        return process.returncode, printed

    def stop(self) -> None:
        """End what runs, whose caller then gets an error."""
        if (running := self._running) is not None:
            running.kill()


class Phone:
    """A phone by its serial. Nothing stays connected between two commands."""

    def __init__(self, name: str, serial: str) -> None:
        """Reach nothing yet.

        Args:
            name: of the target, in messages.
            serial: of the phone, as adb lists it.
        """
        self.name, self.serial = name, serial
        self.adb = Adb()
        """What its commands are given by."""

    def command(self, script: str) -> list[str]:
        """Program and arguments here that run a script of the POSIX shell there."""
        return ["adb", "-s", self.serial, "shell", script]

    def run(self, script: str, timeout_s: float = _QUICK_S) -> str:
        """What a script of the POSIX shell prints there, errors too.

        Args:
            script: what to run; arguments in it are quoted by the caller.
            timeout_s: longest time that it may take.

        Raises:
            NotMeasuredError: it failed, printed too much, took longer, or the phone was lost.
        """
        # Old phones do not tell how a command ended, and one that is lost tells nothing.
        marked = f"(\n{script}\n) 2>&1 </dev/null; s=$?; echo; echo {_STATUS}$s"
        code, printed = self._call(["shell", marked], timeout_s)
        text = printed.decode("utf-8", "replace").replace("\r\n", "\n")
        content, mark, status = text.rpartition(f"\n{_STATUS}")
        if not mark:
            raise self._failed(code, printed)
        if status.strip() != "0":
            reason = printable(content.encode()[-_LAST_BYTES:])
            raise NotMeasuredError(f"a command failed on {self.name}", reason=reason)
        return content

    def push(self, local: Path, remote: str) -> None:
        """Copy a file, or what is in a folder into one that is there.

        Raises:
            NotMeasuredError: it did not arrive whole.
        """
        source = local.resolve()  # absolute: never read as an option
        words = ["push", f"{source}/." if source.is_dir() else str(source), remote]
        code, printed = self._call(words, _COPY_S)
        if code:
            raise self._failed(code, printed)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the phone.

        Raises:
            LandmintError: there is no such file.
            NotMeasuredError: the phone was lost.
        """
        code, printed = self._call(["pull", remote, str(local.resolve())], _COPY_S)
        if not code:
            return
        if b"does not exist" in printed or b"No such file" in printed:
            raise LandmintError(f"{remote[:200]} does not exist on {self.name}")
        raise self._failed(code, printed)

    def _call(self, words: Sequence[str], timeout_s: float) -> tuple[int, bytes]:
        return self.adb.call(["-s", self.serial, *words], timeout_s)

    def _failed(self, code: int, printed: bytes) -> NotMeasuredError:
        """Why a command of adb did not do what it should."""
        words = printable(printed[-_LAST_BYTES:])
        if code < 0:
            return NotMeasuredError(f"{self.name} did not answer in time", reason=words)
        if known := _refusal(self.name, self.serial, words):
            return known
        # What ends without a word is a connection that was cut: adb tells of it when asked again.
        _, state = self._call(["get-state"], _QUICK_S)
        if state.strip() == _READY.encode():
            return NotMeasuredError(f"{self.name} did not do it", reason=words)
        known = _refusal(self.name, self.serial, printable(state[-_LAST_BYTES:]))
        return known or NotMeasuredError(
            f"the connection to {self.name} was lost",
            reason=words,
            remedy="see that it is on and connected, by `adb devices`; then measure again",
        )


def find_serial(name: str, address: str) -> str:
    """The serial of the phone to measure on, which is ready.

    Args:
        name: of the target, in messages.
        address: a serial; empty for the one phone that is connected.

    Raises:
        LandmintError: the address is no serial, or several phones are connected.
        NotMeasuredError: adb is missing, or the phone is not connected, not allowed or offline.
    """
    if address and not _SERIAL.fullmatch(address):
        raise LandmintError(
            f"the target {name} has the address {address[:200]!r}",
            reason="the address of a phone is its serial",
            remedy="take it from the first column of `adb devices`",
        )
    states = _connected()
    ready = [serial for serial, state in states.items() if state == _READY]
    serial = address or (ready or [*states, ""])[0]
    if not address and (len(ready) > 1 or (not ready and len(states) > 1)):
        raise LandmintError(
            f"{len(states)} phones are connected, and {name} has no address",
            reason="nothing says which of them is meant",
            remedy=f'write "{name}:SERIAL", or `address` in a profile of your own',
            choices=[f"{name}:{serial}" for serial in states],
        )
    if serial not in states:
        raise _absent(name, serial)
    if states[serial] != _READY:
        state = states[serial]
        raise _refusal(name, serial, state) or NotMeasuredError(
            f"{name} is not reached: adb calls {serial} '{state}'", remedy=f"adb -s {serial} reboot"
        )
    return serial


def _connected() -> dict[str, str]:
    """State by serial of all that adb knows."""
    _, printed = Adb().call(["devices"], _QUICK_S)
    lines = printed.decode("utf-8", "replace").splitlines()
    pairs = [match.groups() for line in lines if (match := _LISTED.fullmatch(line.rstrip()))]
    return {serial: state for serial, state in pairs if _SERIAL.fullmatch(serial)}


def _absent(name: str, serial: str) -> NotMeasuredError:
    if ":" in serial:
        remedy = f"adb connect {shlex.quote(serial)}"
    else:
        remedy = "turn on USB debugging in the phone's developer options, connect it, "
        remedy += "and look for it in `adb devices`"
    which = f"adb knows no device {serial}" if serial else "adb knows no device"
    return NotMeasuredError(f"{name} is not reached: {which}", remedy=remedy)


def _refusal(name: str, serial: str, words: str) -> NotMeasuredError | None:
    """Why a phone is not reached, with what mends it, from adb's words; None for other words."""
    if "not found" in words and "device" in words:
        return _absent(name, serial)
    quoted = shlex.quote(serial)
    for sign, fact, remedy in (
        (
            "unauthorized",
            "it has not allowed this computer",
            f"unlock the phone, run `adb -s {quoted} reconnect`, and allow USB debugging there",
        ),
        (
            "offline",
            "it is offline",
            f"unlock the phone, and run `adb -s {quoted} reconnect`",
        ),
        (
            "no permissions",
            "this user may not open it",
            "sudo apt install android-sdk-platform-tools-common; then connect it again",
        ),
    ):
        if sign in words:
            return NotMeasuredError(f"{name} is not reached: {fact}", reason=words, remedy=remedy)
    return None
