"""How work says how far it is, in every room: one protocol, and one that shows nothing.

Nothing is drawn here: what people see belongs to whoever calls.
"""

from typing import Protocol


class Progress(Protocol):
    """Where one piece of work says how far it is."""

    def at(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps are finished; `note` says more about the newest."""

    def step(self, note: str) -> None:
        """A step begins that `note` names; how many there are is not known."""


class _Silent:
    """Shows nothing."""

    def at(self, done: int, total: int, note: str = "") -> None:
        pass

    def step(self, note: str) -> None:
        pass


SILENT: Progress = _Silent()
"""For work that nobody watches."""
