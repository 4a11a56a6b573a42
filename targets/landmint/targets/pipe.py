"""Talks to an agent through the pipes of a process: of Python here, or of ssh."""

import collections
import contextlib
import json
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO

from landmint.runtime.agent import Answer, Request
from landmint.runtime.errors import NotMeasuredError
from landmint.targets.target import unwrap

_LAST_LINES = 6
_GRACE_S = 2.0
# A device may say anything: what is read of it is bounded.
_LONGEST_ANSWER = 16 * 2**20
_LONGEST_LINE = 4096
_MOST_UNREAD = 16
_DRAINS = 100


class PipeLink:
    """A process that speaks the agent's protocol on its standard streams."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> None:
        """Start the process and wait for its greeting.

        Args:
            command: program and arguments.
            environment: of the process, whole.
            timeout_s: longest wait for the greeting.

        Raises:
            LandmintError: the agent refused the bundle or the variant.
            NotMeasuredError: the process cannot be started, died, or did not greet.
        """
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                text=True,
                encoding="utf-8",
                errors="replace",
                # Ctrl-C goes to the caller alone, who then closes its agents in order.
                start_new_session=True,
            )
        except OSError as error:
            raise NotMeasuredError(f"{command[0]} cannot be started", reason=str(error)) from None
        self._answers: queue.Queue[str | None] = queue.Queue(_MOST_UNREAD)
        self._errors: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        self._readers = [
            _read_aside(self._process.stdout, _LONGEST_ANSWER, self._collect_answers),
            _read_aside(self._process.stderr, _LONGEST_LINE, self._errors.extend),
        ]
        try:
            self.hello = self._answer(timeout_s)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Request, timeout_s: float) -> Answer:
        """Send one request and wait for its answer, as `Link.ask` says."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it ended: the answer tells how
            stdin.write(json.dumps(request, allow_nan=False) + "\n")
            stdin.flush()
        return self._answer(timeout_s)

    def close(self) -> None:
        """Close its standard input, which ends an agent; kill one that stays."""
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._drain()
        self._readers[1].join(_GRACE_S)

    def _drain(self) -> None:
        """Throw away what nobody will read: the reader may wait for room."""
        for _ in range(_DRAINS):
            self._readers[0].join(_GRACE_S / _DRAINS)
            if not self._readers[0].is_alive():
                break
            with contextlib.suppress(queue.Empty):
                self._answers.get_nowait()
        with contextlib.suppress(queue.Full):
            self._answers.put_nowait(None)

    def _answer(self, timeout_s: float) -> Answer:
        try:
            line = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            self._process.kill()
            raise self._lost(f"no answer within {timeout_s:g} s") from None
        if line is None:
            self._answers.put(None)  # for whoever asks again
            self._process.wait()
            raise self._lost(self._ending(self._process.returncode))
        try:
            answer: Answer = json.loads(line)
        except json.JSONDecodeError:
            self._process.kill()
            raise self._lost(f"an answer that is not JSON: {line.strip()[:200]}") from None
        return unwrap(answer)

    def _lost(self, fact: str) -> NotMeasuredError:
        self.close()
        return NotMeasuredError(fact, reason="; ".join(self._errors))

    def _collect_answers(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._answers.put(line)
        self._answers.put(None)

    @staticmethod
    def _ending(code: int) -> str:
        """How the process ended, in words."""
        if code >= 0:
            return f"the agent ended with exit code {code}"
        return f"the agent died of {signal_name(-code)}"


def _read_aside(
    stream: IO[str] | None, longest: int, consume: Callable[[Iterable[str]], object]
) -> threading.Thread:
    """Read a stream to its end in a thread; a line that is longer is read as several."""
    assert stream is not None

    def read() -> None:
        with stream:
            consume(line.rstrip("\n") for line in iter(lambda: stream.readline(longest), ""))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGKILL; its number where it has none."""
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
