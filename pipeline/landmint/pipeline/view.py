"""Who watches work of several stages: lines, and a bar for each. Drawing it is `progress`'s."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from landmint.runtime.progress import SILENT, Progress


class View(Protocol):
    """What is seen of a run."""

    def line(self, text: str, style: str = "") -> None:
        """Something is over, and `text` says what came of it."""

    def bar(self, title: str) -> AbstractContextManager[Progress]:
        """A piece of work, until the body ends."""


class Relay:
    """Passes everything on to one progress."""

    def __init__(self, progress: Progress) -> None:
        """Say nothing yet."""
        self._progress = progress

    def line(self, text: str, style: str = "") -> None:
        """A line is a step."""
        self._progress.step(text)

    @contextmanager
    def bar(self, title: str) -> Iterator[Progress]:
        """A piece of work reports to the same progress."""
        yield self._progress


UNWATCHED: View = Relay(SILENT)
"""For a run that nobody watches."""
