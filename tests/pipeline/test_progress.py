"""What is seen of work: few lines in a log, a bar on a terminal."""

import io
import itertools

import pytest
from rich.console import Console

from landmint.pipeline.progress import Screen


def _seen(terminal: bool, seconds_per_step: float, monkeypatch: pytest.MonkeyPatch) -> str:
    clock = itertools.count(0, seconds_per_step)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80)
    with Screen(console).bar("2/8 teacher    ") as bar:
        bar.step("building")
        for done in range(1, 1001):
            bar.at(done, 1000, f"epoch [{done}]")
    return out.getvalue()


def test_a_log_gets_a_line_at_a_time_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _seen(False, 1.0, monkeypatch).splitlines()
    assert lines[0] == "2/8 teacher: building"
    assert lines[-1] == "2/8 teacher: 100 % (1000/1000)  epoch [1000]"
    assert 18 <= len(lines) <= 24, "one for each twentieth"


def test_slow_work_is_not_silent_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _seen(False, 30.0, monkeypatch).splitlines()
    assert 450 <= len(lines) <= 550


def test_quick_work_says_little(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(_seen(False, 0.001, monkeypatch).splitlines()) == 2


def test_a_terminal_gets_a_bar_that_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    with Screen(Console(file=out, force_terminal=True, width=80)).bar("2/8 teacher    ") as bar:
        bar.at(1, 2, "epoch [1]")
    shown = out.getvalue()
    assert "2/8 teacher" in shown
    assert " 50%" in shown
    assert "epoch [1]" in shown, "square brackets are no markup"


def test_a_terminal_without_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = io.StringIO()
    with Screen(Console(file=out, force_terminal=True, width=80)).bar("2/8 teacher") as bar:
        bar.at(2, 2, "epoch 1")
    assert out.getvalue() == "2/8 teacher: 100 % (2/2)  epoch 1\n"


def test_lines_are_shown_letter_by_letter() -> None:
    out = io.StringIO()
    Screen(Console(file=out, width=20)).line("a path [that] is longer than the screen is wide")
    assert out.getvalue() == "a path [that] is longer than the screen is wide\n"
