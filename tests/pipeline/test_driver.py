"""Stages run in order, once, and go on after an interruption."""

import json
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from landmint.pipeline.driver import (
    first_stale,
    run_stages,
)
from landmint.pipeline.places import record_path
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import Recipe
from landmint.pipeline.record import read_record
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage, tree_signature
from landmint.runtime.errors import Interrupted, LandmintError
from landmint.runtime.progress import Progress

HANG_S = 600  # nothing waits for so long unless it hangs


class Kitchen:
    """Two stages: "flour" writes a file, "bread" reads it; both count their runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[str] = []
        self.grain = "rye"
        self.trouble: Callable[[str], None] = lambda name: None

    def stages(self) -> tuple[Stage, ...]:
        def work(name: str) -> Callable[[Run, Path, Progress], None]:
            def made(run: Run, place: Path, bar: Progress) -> None:
                place.mkdir(exist_ok=True)
                bar.at(1, 2)
                self.trouble(name)
                (place / "made").write_text(f"{name} of {self.grain}", encoding="utf-8")
                self.ran.append(name)

            return made

        flour = Stage(
            "flour",
            1,
            work("flour"),
            settings=lambda run: {"grain": self.grain},
            summary=lambda place: (place / "made").read_text(encoding="utf-8"),
        )
        bread = Stage("bread", 1, work("bread"), needs=lambda run: ("flour",))
        return flour, bread

    def run(
        self,
        until: str | None = None,
        check: Callable[[Run, Collection[str]], None] = lambda run, stages: None,
    ) -> str:
        with (self.root / "log").open("w", encoding="utf-8") as log:
            screen = Screen(Console(file=log, width=200))
            run_stages(self.stages(), _run_in(self.root), screen, until, check)
        return (self.root / "log").read_text(encoding="utf-8")


def _run_in(folder: Path) -> Run:
    """A run of no recipe: the stages here ask for none."""
    return Run(cast(Recipe, None), folder, "bake again")


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    return Kitchen(tmp_path)


def test_a_second_run_finds_everything_up_to_date(kitchen: Kitchen) -> None:
    first = kitchen.run()
    checked: list[Run] = []
    second = kitchen.run(check=lambda run, stages: checked.append(run))
    assert kitchen.ran == ["flour", "bread"]
    assert "1/2 flour" in first and "2/2 bread" in first
    assert second.count("up to date") == 2 and "flour of rye" in second
    assert not checked, "nothing is checked when nothing runs"


def test_changed_settings_run_the_stage_and_what_needs_it(kitchen: Kitchen) -> None:
    kitchen.run()
    kitchen.grain = "wheat"
    kitchen.run()
    assert kitchen.ran == ["flour", "bread"] * 2


def test_what_is_not_up_to_date_is_named_and_nothing_runs(kitchen: Kitchen) -> None:
    assert first_stale(kitchen.stages(), _run_in(kitchen.root)) == "flour"
    kitchen.run(until="flour")
    assert first_stale(kitchen.stages(), _run_in(kitchen.root)) == "bread"
    kitchen.run()
    assert first_stale(kitchen.stages(), _run_in(kitchen.root)) is None
    kitchen.grain = "wheat"
    assert first_stale(kitchen.stages(), _run_in(kitchen.root)) == "flour"
    assert kitchen.ran == ["flour", "bread"]


def test_an_equal_outcome_leaves_what_follows_alone(kitchen: Kitchen) -> None:
    kitchen.run()
    (kitchen.root / "flour" / "made").write_text("mould", encoding="utf-8")
    kitchen.run()
    assert kitchen.ran == ["flour", "bread", "flour"], "bread needs the flour, not its making"


@pytest.mark.parametrize("damage", ["record", "half a record", "place"])
def test_what_is_missing_or_truncated_is_made_again(kitchen: Kitchen, damage: str) -> None:
    kitchen.run()
    record = record_path(kitchen.root / "bread")
    if damage == "record":
        record.unlink()
    elif damage == "half a record":
        record.write_text(record.read_text(encoding="utf-8")[:40], encoding="utf-8")
    else:
        (kitchen.root / "bread" / "made").unlink()
    kitchen.run()
    assert kitchen.ran == ["flour", "bread", "bread"]


def test_another_revision_runs_again(kitchen: Kitchen) -> None:
    kitchen.run()
    flour, bread = kitchen.stages()
    again = (flour, replace(bread, revision=2))
    run_stages(again, _run_in(kitchen.root), Screen(Console(quiet=True)))
    assert kitchen.ran == ["flour", "bread", "bread"]


def test_until_stops_early_and_names_the_choices(kitchen: Kitchen) -> None:
    kitchen.run(until="flour")
    assert kitchen.ran == ["flour"]
    with pytest.raises(LandmintError, match="unknown stage 'cake'") as caught:
        kitchen.run(until="cake")
    assert caught.value.choices == ("flour", "bread")


def test_a_refusal_comes_before_any_work(kitchen: Kitchen) -> None:
    def refuse(run: Run, stages: Collection[str]) -> None:
        raise LandmintError("no oven")

    with pytest.raises(LandmintError, match="no oven"):
        kitchen.run(check=refuse)
    assert not kitchen.ran


def test_an_order_that_cannot_work_is_a_mistake_in_the_code(kitchen: Kitchen) -> None:
    with pytest.raises(ValueError, match="needs"):
        run_stages(kitchen.stages()[::-1], _run_in(kitchen.root), Screen(Console(quiet=True)))


def _interrupt(name: str) -> None:
    if name == "bread":
        raise KeyboardInterrupt


def test_an_interruption_says_what_is_kept_and_how_to_go_on(kitchen: Kitchen) -> None:
    kitchen.trouble = _interrupt
    with pytest.raises(Interrupted) as caught:
        kitchen.run()
    assert str(caught.value).splitlines() == [
        "interrupted in stage bread",
        "  reason: kept: flour",
        "  remedy: go on with: bake again",
    ]
    assert caught.value.exit_code == 3
    assert not (kitchen.root / "bread").exists(), "nothing half-made at its place"
    assert not list(kitchen.root.glob(".bread*"))
    kitchen.trouble = lambda name: None
    kitchen.run()
    assert kitchen.ran == ["flour", "bread"]


def test_a_failure_leaves_what_stood_before(kitchen: Kitchen) -> None:
    kitchen.run()
    kitchen.grain = "wheat"
    kitchen.trouble = lambda name: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        kitchen.run()
    assert (kitchen.root / "flour" / "made").read_text(encoding="utf-8") == "flour of rye"


class Training:
    """A stage of three steps that leaves a checkpoint after each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: list[int] = []
        self.stop_at = 0
        self.rate = 1

    def stage(self) -> Stage:
        return Stage("train", 1, self.work, settings=lambda run: {"rate": self.rate}, resumes=True)

    def work(self, run: Run, place: Path, bar: Progress) -> None:
        place.mkdir(exist_ok=True)
        last = place / "last"
        done = int(last.read_text(encoding="utf-8")) if last.exists() else 0
        for step in range(done + 1, 4):
            if step == self.stop_at:
                raise KeyboardInterrupt
            self.steps.append(step)
            last.write_text(str(step), encoding="utf-8")

    def run(self) -> None:
        run_stages([self.stage()], _run_in(self.root), Screen(Console(quiet=True)))


def test_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    training = Training(tmp_path)
    training.stop_at = 3
    with pytest.raises(Interrupted, match="train goes on where it stopped"):
        training.run()
    record = read_record(tmp_path / "train")
    assert record is not None and not record.outcome
    training.stop_at = 0
    training.run()
    training.run()
    assert training.steps == [1, 2, 3]


def test_training_with_other_settings_starts_anew(tmp_path: Path) -> None:
    training = Training(tmp_path)
    training.stop_at = 3
    with pytest.raises(Interrupted):
        training.run()
    training.stop_at, training.rate = 0, 2
    training.run()
    assert training.steps == [1, 2, 1, 2, 3]


def test_two_runs_at_once_make_a_thing_once(kitchen: Kitchen) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def trouble(name: str) -> None:
        begun.set()
        assert go_on.wait(HANG_S)

    kitchen.trouble = trouble
    first = threading.Thread(target=lambda: _quiet_run(kitchen))
    first.start()
    assert begun.wait(HANG_S)
    second = threading.Thread(target=lambda: _quiet_run(kitchen))
    second.start()
    go_on.set()
    first.join(HANG_S)
    second.join(HANG_S)
    assert sorted(kitchen.ran) == ["bread", "flour"]


def _quiet_run(kitchen: Kitchen) -> None:
    run_stages(kitchen.stages(), _run_in(kitchen.root), Screen(Console(quiet=True)))


def test_a_record_tells_what_went_in(kitchen: Kitchen) -> None:
    kitchen.run()
    content = json.loads(record_path(kitchen.root / "bread").read_text(encoding="utf-8"))
    assert content["stage"] == "bread"
    assert set(content["inputs"]["upstream"]) == {"flour"}
    assert content["seconds"] >= 0


def test_a_signature_sees_another_size_name_or_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1", encoding="utf-8")
    before = tree_signature(tmp_path)
    assert tree_signature(tmp_path) == before
    (tmp_path / "a").write_text("22", encoding="utf-8")
    after = tree_signature(tmp_path)
    assert after != before
    (tmp_path / "b").write_text("", encoding="utf-8")
    assert tree_signature(tmp_path) != after


def test_a_training_that_another_command_made_is_taken_over(tmp_path: Path) -> None:
    training, place = Training(tmp_path), tmp_path / "train"
    place.mkdir()
    (place / "last").write_text("2", encoding="utf-8")
    training.run()
    assert training.steps == [3], "what stands there without a record is not thrown away"
