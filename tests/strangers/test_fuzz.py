"""Broken files without end: whatever stands in one, it is read or refused in landmint's words.

Some of each kind, the same in every run; `make fuzz` goes on for hours. What it finds becomes
a case beside this file.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from landmint.runtime.errors import LandmintError
from tests.strangers.mutations import mutated
from tests.strangers.readings import READINGS, Reading, ending

_FEWER = {"networks of a recipe": 12, "weights": 30}
"""Networks are built, which takes longer than to read a file."""


@pytest.mark.parametrize("name", READINGS)
def test_a_broken_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    reading = READINGS[name]
    content = reading.content(tmp_path)

    @settings(
        max_examples=_FEWER.get(name, 60),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(content, reading.kind))
    def check(broken: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            assert ending(reading, broken, Path(folder)) == ""

    check()


@pytest.mark.parametrize("reading", READINGS.values(), ids=list(READINGS))
def test_a_sound_file_is_read(reading: Reading, tmp_path: Path) -> None:
    """Else nothing behind the first refusal would ever be tried."""
    content = reading.content(tmp_path)
    with tempfile.TemporaryDirectory() as folder:
        reading.read(Path(folder), content)


def test_an_error_that_is_not_landmints_own_is_told(tmp_path: Path) -> None:
    def fall(folder: Path, content: bytes) -> object:
        return "a"[len(content)]

    def unhelpful(folder: Path, content: bytes) -> object:
        raise LandmintError("no")

    assert ending(Reading("bytes", READINGS["pts"].content, fall), b"a", tmp_path).startswith(
        "IndexError"
    )
    assert "no remedy" in ending(
        Reading("bytes", READINGS["pts"].content, unhelpful), b"a", tmp_path
    )
