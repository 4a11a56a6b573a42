"""What is seen while work goes on: bars on a terminal, plain lines elsewhere.

Everything here goes to the standard error; results go to the standard output.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Column

from landmint.pipeline.view import View
from landmint.runtime.progress import Progress

# Plain lines: not more often than the first, and not for less progress unless the second passed.
_SECONDS_BETWEEN_LINES, _LONGEST_SILENCE_S = 10.0, 60.0
_SHARE_BETWEEN_LINES = 0.05

_CUT = Column(no_wrap=True, overflow="ellipsis")


class Screen:
    """The person's view of a run."""

    def __init__(self, console: Console | None = None) -> None:
        """Write to `console`, the standard error by default."""
        self.console = console or Console(stderr=True, highlight=False)

    def line(self, text: str, style: str = "") -> None:
        """Write one line, letter by letter as it is."""
        self.console.print(escape(text), style=style or None, soft_wrap=True)

    @contextmanager
    def bar(self, title: str) -> Iterator[Progress]:
        """Show a piece of work until the body ends."""
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            yield _Lines(self, title)
            return
        whole = Column(no_wrap=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=whole),
            BarColumn(bar_width=12),
            TaskProgressColumn(table_column=whole),
            TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("[dim]{task.fields[note]}", table_column=_CUT),
        )
        with RichProgress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(escape(title.rstrip()), total=None, note="")
            yield _Live(progress, task)


class _Live:
    """A bar of rich."""

    def __init__(self, progress: RichProgress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def at(self, done: int, total: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, note=escape(note))

    def step(self, note: str) -> None:
        self._progress.update(self._task, note=escape(note))


class Side:
    """One of several pieces of work that are seen at the same time: plain lines, under its name.

    What is up to date is not told: that would be a line for each stage and each name.
    """

    def __init__(self, view: View, name: str) -> None:
        """Say nothing yet."""
        self._view, self._name = view, name

    def line(self, text: str, style: str = "") -> None:
        """Write one line, unless it is a dim one."""
        if style != "dim":
            self._view.line(f"{self._name}: {text}", style)

    @contextmanager
    def bar(self, title: str) -> Iterator[Progress]:
        """A piece of work, in lines."""
        yield _Lines(self, title)


class _Lines:
    """Plain lines, few enough for a log."""

    def __init__(self, screen: View, title: str) -> None:
        self._screen, self._title = screen, title.rstrip()
        self._start = self._last = time.monotonic()
        self._shown = 0

    def at(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        waited, news = now - self._last, done - self._shown
        early = waited < _SECONDS_BETWEEN_LINES or news < _SHARE_BETWEEN_LINES * total
        if done < total and early and waited < _LONGEST_SILENCE_S:
            return
        self._last, self._shown = now, done
        spent = now - self._start
        left = f", {spent / done * (total - done):.0f} s left" if 0 < done < total else ""
        share = f"{100 * done // max(1, total)} % ({done}/{total})"
        self._screen.line(f"{self._title}: {share}{left}  {note}".rstrip())

    def step(self, note: str) -> None:
        self._screen.line(f"{self._title}: {note}")
