"""Ctrl-C and SIGTERM between two steps, never inside one.

Not a way to survive SIGKILL or a power cut: checkpoints by time are for those.
"""

import signal
import threading
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
