"""Programs that run beside this process and hold something on a device until they end.

Such a program holds what it holds until its standard input ends, which it does in whatever way this
process goes. What it prints is bounded.
"""

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO

_MOST_BYTES = 1 << 20
_LAST_SIGNS = 2000
_GRACE_S = 2


class Tail:
    """Reads a stream to its end in a thread and keeps its last signs."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        """Begin to read."""
        assert stream is not None
        self._stream = stream
        self._end = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._stream:
            while piece := self._stream.read1(_LAST_SIGNS):  # type: ignore[attr-defined]
                self._end = (self._end + piece)[-_LAST_SIGNS:]

    def text(self) -> str:
        """What was read last, in one line, once the stream has ended."""
        self._thread.join(2)
        return printable(self._end)


def start_aside(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program with pipes; its messages are in English, to be recognised.

    It has a session of its own: Ctrl-C goes to the caller alone, who ends it in order.

    Raises:
        OSError: there is no such program.
    """
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, env=environment()
    )


def environment() -> dict[str, str]:
    """That of this process, for messages in English."""
    return {**os.environ, "LC_ALL": "C"}


def find_line(stream: IO[bytes] | None, wanted: Callable[[bytes], bool]) -> bytes:
    """The first such line; empty where the stream ends, or says much else, before."""
    assert stream is not None
    left = _MOST_BYTES
    while left > 0 and (line := stream.readline(left)):
        if wanted(line):
            return line
        left -= len(line)
    return b""


def end_gently(process: subprocess.Popen[bytes]) -> None:
    """End its standard input; end the program too, if it stays."""
    with contextlib.suppress(OSError, ValueError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        process.kill()
        process.wait()
    if process.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            process.stdout.close()


def printable(printed: bytes) -> str:
    """What a device printed, in one line of signs that a terminal shows as they are."""
    text = printed.decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
