"""Instructions of landmint's own share are counted stage by stage, and compared exactly."""

import shutil
import subprocess
from pathlib import Path

import pytest

from landmint.runtime.errors import NotMeasuredError
from tests.scripts import ROOT, benchmark

own = benchmark("own_instructions")


def test_each_stage_counts_at_its_best() -> None:
    pfld = [value for i in range(own.REPEATS) for value in (100 + i, 20 - i, 3)]
    other = [value for _ in range(own.REPEATS) for value in (7, 8, 9)]
    counts = own.counts_of([*pfld, *other], ["pfld", "other"])
    assert counts["pfld"] == {"crop": 100, "input": 20 - (own.REPEATS - 1), "decode": 3}
    assert counts["other"] == {"crop": 7, "input": 8, "decode": 9}
    with pytest.raises(NotMeasuredError, match="counted 30 stretches, not one for each stage"):
        own.counts_of([*pfld, *other], ["pfld"])


def test_dumps_are_read_in_their_order_without_the_start(tmp_path: Path) -> None:
    for number in (1, 2, 10, 11):
        text = f"events: Ir\nsummary: {number}\ntotals: {100 * number}\n"
        (tmp_path / f"counted.{number}").write_text(text)
    (tmp_path / "counted").write_text("totals: 5\n")
    assert own.read_totals(tmp_path) == [200, 1000, 1100]


def test_more_than_two_percent_more_is_a_regression() -> None:
    before = {"pfld": {"crop": 1000, "input": 1000, "decode": 1000}}
    now = {"pfld": {"crop": 1019, "input": 1021, "decode": 500}}
    changes = own.changes_of(before, now)
    assert [change.stage for change in changes] == ["input", "crop", "decode"]
    assert [change.is_regression for change in changes] == [True, False, False]


def test_a_commit_may_say_why_there_are_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "First\n\nMore instructions: of long ago")
    git("tag", "landed")
    git("commit", "-q", "--allow-empty", "-m", "Second\n\nMore instructions: the crop is rounder")
    monkeypatch.setattr(own, "ROOT", tmp_path)
    assert own.expectations("landed") == ["More instructions: the crop is rounder"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("valgrind"), reason="there is no valgrind")
def test_work_that_was_added_to_a_stage_is_seen_there_and_nowhere_else(tmp_path: Path) -> None:
    """A copy with added work stands for the landed state; the code at hand is compared with it."""
    code = tmp_path / "code"
    shutil.copytree(ROOT / "runtime", code / "runtime")
    path = code / "runtime" / "landmint" / "runtime" / "crop.py"
    path.write_text(path.read_text() + SLOWER)
    slower, now = own.count_both(code, tmp_path)
    ratios = {(c.model, c.stage): c.now / c.before for c in own.changes_of(slower, now)}
    assert {stage for (_, stage), ratio in ratios.items() if ratio < 0.95} == {"input"}
    assert all(0.98 < ratio < 1.02 for (_, stage), ratio in ratios.items() if stage != "input")


SLOWER = """

_quick_normalise = normalise


def normalise(crops, contract):
    for _ in range(10_000):
        pass
    return _quick_normalise(crops, contract)
"""
