"""Ctrl-C and SIGTERM between two steps, never inside one.

Not a way to survive SIGKILL or a power cut: checkpoints by time are for those.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self


class StopSignal:
    """While entered, notes the first SIGINT or SIGTERM; a second SIGINT interrupts at once.

    In a thread other than the main one Python lets nobody handle signals: nothing is noted there.
    """

    def __init__(self) -> None:
        """Note nothing yet."""
        self.received = ""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take over both signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give both signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name


@contextlib.contextmanager
def workers_end_too(stop: StopSignal) -> Iterator[None]:
    """A signal to the whole group ends loader processes that just start; torch tells that first.

    It does so in the midst of a step: the last checkpoint stands, but none can be written.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:  # whichever end of a pipe breaks first
        if not stop.received:
            raise
        raise KeyboardInterrupt(f"training stopped by {stop.received}") from error
