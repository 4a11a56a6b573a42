"""Whole commands of which one file or one word is wrong: done, or refused in landmint's words.

Some of each, the same in every run; `make fuzz` goes on for hours. What it finds becomes a case
beside this file.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.strangers.commands import (
    COMMANDS,
    Broken,
    broken,
    command_ending,
    sound_files,
)

_EXAMPLES, _FEWER = 8, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound_files(tmp_path_factory.mktemp("commands") / "sound")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder that stays empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_broken_command_is_done_or_refused(name: str, folder: Path) -> None:
    command = COMMANDS[name]

    @settings(
        max_examples=_FEWER if command.slow else _EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(broken(command, folder))
    def check(case: Broken) -> None:
        assert command_ending(case, folder) == ""

    check()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_sound_command_ends_as_it_should(name: str, folder: Path) -> None:
    """Else nothing behind the first refusal would ever be tried."""
    command = COMMANDS[name]
    assert command_ending(Broken(tuple(command.words.split())), folder, (command.code,)) == ""
