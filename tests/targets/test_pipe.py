"""A link to a process that misbehaves in every way ends in one clear message."""

import os
import sys

import pytest

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.targets.pipe import PipeLink

GREET = 'import os, sys; print(\'{"ok": true, "engine": "fake"}\', flush=True);'
HANG = "import signal; signal.pause()"
LONG_S = 600  # nothing here waits for so long unless it hangs


def start(code: str, timeout_s: float = LONG_S) -> PipeLink:
    return PipeLink([sys.executable, "-c", code], os.environ, timeout_s)


def test_a_segfault_is_named_with_the_last_words() -> None:
    link = start(
        GREET + "print('kernel panic', file=sys.stderr); input(); os.kill(os.getpid(), 11)"
    )
    with pytest.raises(NotMeasuredError, match="died of SIGSEGV\n.*kernel panic"):
        link.ask({"do": "load"}, LONG_S)
    with pytest.raises(NotMeasuredError, match="died of SIGSEGV"):  # and stays dead
        link.ask({"do": "load"}, LONG_S)


def test_a_hang_ends() -> None:
    link = start(GREET + HANG)
    with pytest.raises(NotMeasuredError, match="no answer within 0.2 s"):
        link.ask({"do": "load"}, 0.2)
    with pytest.raises(NotMeasuredError, match="died of SIGKILL"):
        link.ask({"do": "load"}, LONG_S)


def test_no_greeting() -> None:
    with pytest.raises(NotMeasuredError, match="exit code 3\n.*no such board"):
        start("import sys; print('no such board', file=sys.stderr); sys.exit(3)")
    with pytest.raises(NotMeasuredError, match="no answer within 0.3 s"):
        start(HANG, 0.3)


def test_an_answer_that_is_no_answer() -> None:
    with pytest.raises(NotMeasuredError, match="not JSON: Segmentation"):
        start("print('Segmentation fault')")
    with pytest.raises(LandmintError, match="says nothing"):
        start("print('{}')")


def test_a_program_that_is_missing() -> None:
    with pytest.raises(NotMeasuredError, match="/no/such/python cannot be started"):
        PipeLink(["/no/such/python"], os.environ, LONG_S)


def test_closing_ends_the_process() -> None:
    link = start(GREET + "input()")
    link.close()
    with pytest.raises(NotMeasuredError):
        link.ask({"do": "load"}, LONG_S)
