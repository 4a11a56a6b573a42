"""One connection of the system's OpenSSH to a device, which every command there shares.

The user's configuration, agent and known hosts count; the host key is checked and nothing is asked.
What the device says is bounded in size, and nothing of it is ever given to a shell here.
"""

import json
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, Any

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.targets.bootstrap.keeper import MARK
from landmint.targets.processes import Tail, end_gently, find_line, start_aside

_READY = "landmint-is-connected"
_CONNECT_S = 20
_LARGEST_OUTPUT = 1 << 20
_LAST_SIGNS = 2000
_LOST = 255
_ADDRESS = re.compile(r"(ssh://)?[A-Za-z0-9_.][A-Za-z0-9_.%+@:\[\]-]{0,250}")
# No question, no forwarding, nothing of the user's that a plain command would not want.
_OPTIONS = (
    *("BatchMode=yes", "LogLevel=ERROR", f"ConnectTimeout={_CONNECT_S}", "RemoteCommand=none"),
    *("ServerAliveInterval=5", "ServerAliveCountMax=3", "ControlPersist=no"),
    *("ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes", "PermitLocalCommand=no"),
)


class NoAnswerError(NotMeasuredError):
    """Nothing answers at the address, or nothing that speaks ssh."""


class Connection:
    """A way to run commands on a device; it ends with this object, or with this process."""

    def __init__(self, name: str, address: str, config: str = "") -> None:
        """Connect.

        Args:
            name: of the target, in messages.
            address: as ssh takes it: a host, user@host, ssh://user@host:port, or a name of the
                user's configuration.
            config: a file of ssh's configuration instead of the user's; empty for the user's.

        Raises:
            LandmintError: the address is none.
            NotMeasuredError: there is no ssh here, or the device is not reached, with the remedy.
        """
        if not _ADDRESS.fullmatch(address):
            raise LandmintError(
                f"the target {name} has {f'the address {address!r}' if address else 'no address'}",
                reason="ssh has to know where it is",
                remedy=f'write "{name}:user@host", or `address` in a profile of your own',
            )
        self.name, self.address = name, address
        self._folder = tempfile.mkdtemp(prefix="landmint-ssh-")
        self._options = [word for option in _OPTIONS for word in ("-o", option)]
        self._options += ["-F", config] if config else []
        self._options += ["-T", "-S", f"{self._folder}/s"]
        # It holds the connection until its standard input ends, in whatever way this process goes.
        master = ["-o", "ControlMaster=yes", "--", address, f"echo {_READY}; exec cat"]
        try:
            self._master = start_aside(["ssh", *self._options, *master])
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise NotMeasuredError(
                "ssh cannot be started", reason=str(error), remedy="apt install openssh-client"
            ) from None
        self.close = weakref.finalize(self, _disconnect, self._master, self._folder)
        errors = Tail(self._master.stderr)
        if not _is_ready(self._master):
            self.close()
            raise _unreachable(name, address, errors.text())
        # Whatever else it says is thrown away, so that it never waits for a reader.
        Tail(self._master.stdout)

    @property
    def alive(self) -> bool:
        """Whether the connection still stands."""
        return self._master.poll() is None

    def command(self, script: str) -> list[str]:
        """Program and arguments here that run a script of the POSIX shell there."""
        # Without the shared connection there must be no other one.
        shared = ["-o", "ControlMaster=no", "-o", "ProxyCommand=false"]
        words = f"exec sh -c {shlex.quote(script)}"
        return ["ssh", *self._options, *shared, "--", self.address, words]

    def run(
        self,
        script: str,
        given: IO[bytes] | None = None,
        largest: int = _LARGEST_OUTPUT,
        timeout_s: float = 60,
    ) -> bytes:
        """What a script of the POSIX shell prints there.

        Args:
            script: what to run; arguments in it are quoted by the caller.
            given: what it reads; nothing when absent.
            largest: most bytes that it may print.
            timeout_s: longest time that it may take.

        Raises:
            NotMeasuredError: it failed, printed more, took longer, or the connection was lost.
        """
        process = subprocess.Popen(
            self.command(script),
            stdin=given or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        late = threading.Timer(timeout_s, process.kill)
        late.start()
        errors = Tail(process.stderr)
        assert process.stdout is not None
        try:
            with process.stdout as stdout:
                printed = stdout.read(largest + 1)
                if len(printed) > largest:
                    process.kill()
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            late.cancel()
        if len(printed) > largest:
            raise NotMeasuredError(f"{self.name} sent more than {largest} bytes")
        if code == _LOST or (code and not self.alive):
            raise self.lost()
        if code < 0:
            raise NotMeasuredError(f"{self.name} did not finish within {timeout_s:g} s")
        if code:
            raise NotMeasuredError(f"a command failed on {self.name}", reason=errors.text())
        return printed

    def answer(
        self, script: str, given: IO[bytes] | None = None, timeout_s: float = 60
    ) -> dict[str, Any]:
        """The answer of a program of `landmint.targets.bootstrap`, as `run` gets it.

        Raises:
            NotMeasuredError: as in `run`, or the program says that it failed.
        """
        printed = self.run(script, given, timeout_s=timeout_s)
        return read_answer(self.name, printed.decode("utf-8", "replace"))

    def lost(self) -> NotMeasuredError:
        """The error of a connection that ended by itself."""
        return NotMeasuredError(
            f"the connection to {self.name} was lost",
            remedy="see that the device is on and in reach, and measure again",
        )


class Held:
    """A program there that runs until this object, or this process, ends: in whatever way."""

    def __init__(self, connection: Connection, script: str, timeout_s: float) -> None:
        """Start it and wait for its greeting.

        Args:
            connection: to the device.
            script: of `program`.
            timeout_s: longest wait.

        Raises:
            NotMeasuredError: it did not greet, or told that it failed.
        """
        self._process = start_aside(connection.command(script))
        self._close = weakref.finalize(self, end_gently, self._process)
        late = threading.Timer(timeout_s, self._process.kill)
        late.start()
        errors = Tail(self._process.stderr)
        try:
            printed = find_line(self._process.stdout, lambda line: line.startswith(MARK.encode()))
        finally:
            late.cancel()
        if not printed:
            self._close()
            raise NotMeasuredError(f"{connection.name} cannot be held", reason=errors.text())
        try:
            self.greeting = read_answer(connection.name, printed.decode("utf-8", "replace"))
        except NotMeasuredError:
            self._close()
            raise


def program(python: str, source: Path, *arguments: str) -> str:
    """A script of the POSIX shell that runs a program of `landmint.targets.bootstrap`."""
    words = [python, "-I", "-c", source.read_text(encoding="utf-8"), *arguments]
    return f"exec {shlex.join(words)}"


def read_answer(name: str, printed: str) -> dict[str, Any]:
    """The marked line of what a program of `landmint.targets.bootstrap` printed.

    A shell there may print a welcome before it.

    Raises:
        NotMeasuredError: there is none, or it says that the program failed.
    """
    marked = [line for line in printed.splitlines() if line.startswith(MARK)]
    try:
        answer = json.loads(marked[-1].removeprefix(MARK))
    except (IndexError, ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise NotMeasuredError(f"{name} did not answer as expected", reason=printed[-200:].strip())
    if "error" in answer:
        raise NotMeasuredError(f"{name} could not do it", reason=str(answer["error"])[:500])
    return answer


def _is_ready(master: subprocess.Popen[bytes]) -> bool:
    """Wait until the device has answered; what its shell prints before is skipped."""
    late = threading.Timer(2 * _CONNECT_S, master.kill)
    late.start()
    try:
        return bool(find_line(master.stdout, lambda line: line.strip() == _READY.encode()))
    finally:
        late.cancel()


def _disconnect(master: subprocess.Popen[bytes], folder: str) -> None:
    """Close the connection: what runs there sees its standard input end."""
    end_gently(master)
    shutil.rmtree(folder, ignore_errors=True)


def _unreachable(name: str, address: str, errors: str) -> NotMeasuredError:
    """Why there is no connection, with what mends it."""
    remedy = f"try `ssh {shlex.quote(address)}` until that works without a question"
    for sign, fact, mend in (
        (
            "IDENTIFICATION HAS CHANGED",
            "another machine answers there than before",
            "if you installed the device anew, forget its old key with `ssh-keygen -R HOST`",
        ),
        (
            "Host key verification failed",
            "nobody has confirmed the host key of the device yet",
            f"run `ssh {shlex.quote(address)}` once and compare the key that it shows",
        ),
        (
            "Permission denied",
            "the device does not let you in without a password",
            f"run `ssh-copy-id {shlex.quote(address)}` once",
        ),
    ):
        if sign in errors:
            return NotMeasuredError(f"{name} is not reached: {fact}", reason=errors, remedy=mend)
    return NoAnswerError(f"{name} is not reached at {address}", reason=errors, remedy=remedy)
