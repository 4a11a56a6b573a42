"""The protocol by which long work reports its progress, and an implementation that is silent.

What people see of it is up to the caller.
"""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one piece of work."""

    def at(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps are finished; `note` says more about the newest."""

    def step(self, note: str) -> None:
        """A step begins, which `note` describes; the number of steps is not known."""


class _Silent:
    """Shows nothing."""

    def at(self, done: int, total: int, note: str = "") -> None:
        pass

    def step(self, note: str) -> None:
        pass


SILENT: Progress = _Silent()
"""For work that nobody watches."""
