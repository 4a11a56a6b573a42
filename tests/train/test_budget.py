"""A time budget chooses the epochs, by a clock that the tests move themselves."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.runtime.crop import box_of
from landmint.runtime.errors import LandmintError
from landmint.train import budget as budgets
from landmint.train import loop, sharing
from landmint.train.budget import Budget, Pace, budget_seconds, planned
from landmint.train.config import LossConfig, NetworkRecipe, TrainingPlan
from landmint.train.evaluate import Evaluation, evaluate
from landmint.train.faces.augment import AugmentConfig
from landmint.train.faces.dataset import finish_batch
from landmint.train.faces.face import Face, FaceSet, face_set
from landmint.train.fit import fit
from landmint.train.fit_config import FitConfig
from landmint.train.models import ModelConfig
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import task_for

MakeModel = Callable[..., LandmarkModel]
Sets = tuple[FaceSet, FaceSet]

FIT = FitConfig(
    epochs=10,
    batch_size=2,
    warmup_epochs=1,
    accelerator="cpu",
    precision="32",
    threads=1,
    workers=0,
    checkpoint_every_s=1e9,
)
STEPS_PER_EPOCH, STEP_S, VALIDATION_S = 6, 1.0, 2.0


class Clock:
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Steps:
    """A signal may come after a step; what is announced is kept."""

    def __init__(self, stop_at: int = -1) -> None:
        self._stop_at = stop_at
        self.said: list[str] = []
        self.done = 0

    def at(self, done: int, total: int, note: str = "") -> None:
        self.done = done
        if done == self._stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def step(self, note: str) -> None:
        self.said.append(note)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """12 faces to train on, 3 to validate."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    shape, made = rng.uniform(0, 1, (68, 2)), []
    for i in range(15):
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (80, 80, 3), dtype=np.uint8))
        points = shape * 40 + 20
        made.append(Face(str(i), path, points, box_of(points), f"{i}", np.ones(68, bool), {}))
    return face_set("68", made[:12], "train"), face_set("68", made[12:], "val")


@pytest.fixture
def train(
    sets: Sets, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, Any], Steps]]:
    """Trains inside a budget; returns the plan that it leaves, and what was seen."""

    def run(
        seconds: float,
        step_s: Callable[[int], float] = lambda done: STEP_S,
        stop_at: int = -1,
        folder: str = "run",
        **settings: object,
    ) -> tuple[dict[str, Any], Steps]:
        clock = Clock()

        def slow(*arguments: Any) -> Evaluation:
            clock.now += VALIDATION_S
            return evaluate(*arguments)

        def sent(*arguments: Any) -> dict[str, Tensor]:
            clock.now += step_s(seen.done + 1)
            return finish_batch(*arguments)

        monkeypatch.setattr(loop, "evaluate", slow)
        monkeypatch.setattr(loop, "finish_batch", sent)
        model = make_model("pfld", input_size=64, width=0.25)
        task = task_for(model, LossConfig(), sets[0])
        seen = Steps(stop_at)
        config = FIT.model_copy(update=settings)
        place, budget = tmp_path / folder, Budget(seconds, clock)
        fit(model, task, *sets, AugmentConfig(), config, place, seen, budget=budget)
        plan: dict[str, Any] = json.loads((place / "budget.json").read_text())
        assert clock.now - 100.0 <= seconds or stop_at >= 0, "a resumed run has another beginning"
        return plan, seen

    return run


def test_a_short_budget_cuts_the_recipe(train: Callable[..., Any]) -> None:
    plan, seen = train(45.0)
    # Each epoch takes 6 steps and a validation, 8 s; 3 % of the budget are kept back.
    assert plan["epochs"] == 5 and seen.done == 5 * STEPS_PER_EPOCH
    assert plan["epoch_s"] == pytest.approx(8)
    assert plan["faces_per_s"] == pytest.approx(2)
    assert "5 of the recipe's 10 epochs" in seen.said[-1] == plan["summary"]


def test_a_long_budget_takes_the_whole_recipe_or_what_it_allows(train: Callable[..., Any]) -> None:
    plan, _ = train(90.0, epochs=2)
    assert plan["epochs"] == 2 and "all 2 epochs" in plan["summary"]
    plan, _ = train(90.0, folder="raised", epochs=2, most_epochs=4)
    assert plan["epochs"] == 4 and "more than the recipe's 2" in plan["summary"]
    assert "fit.most_epochs is 4" in plan["summary"]
    plan, _ = train(42.0, folder="filled", epochs=2, most_epochs=1000)
    assert plan["epochs"] == 5


def test_a_stopped_run_keeps_its_plan(train: Callable[..., Any], tmp_path: Path) -> None:
    train(28.0, folder="whole")
    with pytest.raises(KeyboardInterrupt, match="after step 8"):
        train(28.0, stop_at=8)
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["state"]["run"]
    assert state["epochs"] == 3 and state["seconds"] == pytest.approx(10)
    plan, seen = train(28.0, step_s=lambda done: 0.01)  # faster now: more would fit
    assert plan["epochs"] == 3 and seen.done == 18
    weights = [
        torch.load(tmp_path / name / "last.pt", weights_only=True)["state"]["weights"]
        for name in ("whole", "run")
    ]
    assert _same(*weights)


def test_another_budget_or_none_is_another_run(train: Callable[..., Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(60.0, stop_at=2)
    with pytest.raises(LandmintError, match=r"budget_s was 60\.0, is 70\.0"):
        train(70.0)


def test_a_machine_that_slows_down_still_ends_in_time(train: Callable[..., Any]) -> None:
    plan, _ = train(80.0, step_s=lambda done: 1.0 if done <= 30 else 2.0)
    assert plan["epochs"] == 7


def test_a_budget_too_short_for_one_epoch(
    train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(budgets, "MEASURED_STEPS", 2)
    with pytest.raises(LandmintError, match=r"6 s is too short for one epoch") as error:
        train(6.0)
    assert "--budget 1m" in str(error.value) and "1 s a step" in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("9m", 540), ("1h30m", 5400), ("90s", 90), ("1.5m", 90), (" 2h ", 7200)]
)
def test_budgets_are_lengths_of_time(text: str, seconds: float) -> None:
    assert budget_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0", "banana", "", "0m", "-3m", "9", "9 minutes", "m", "1m2h"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(LandmintError, match="no length of time") as error:
        budget_seconds(text)
    assert "9m, 1h30m or 90s" in str(error.value)


def test_a_shortened_schedule_keeps_its_shape() -> None:
    assert planned(FIT, 10) == FIT
    assert planned(FIT, 30).warmup_epochs == pytest.approx(1)
    short = planned(FIT, 2)
    assert short.epochs == 2 and short.warmup_epochs == pytest.approx(0.4)


def test_the_first_steps_do_not_count() -> None:
    """Loaders start and kernels are chosen: ten steps of 5 s, then one a second."""
    clock = Clock()
    pace = Pace(Budget(2000, clock), FIT, steps_per_epoch=100, val_batches=0)
    while not pace.measured:
        clock.now += 5 if clock.now < 150 else 1
        pace.step_taken()
        if pace.due():
            pace.look()
    assert clock.now == pytest.approx(170)
    assert pace.epochs(step=30, spent_s=70, before=None) == 10
    assert pace.epochs(step=30, spent_s=1500, before=None) == 4


def test_rare_validations_cost_less() -> None:
    clock = Clock()
    config = FIT.model_copy(update={"validate_every_epochs": 5, "most_epochs": 99})
    pace = Pace(Budget(1000, clock), config, steps_per_epoch=10, val_batches=10)
    for _ in range(10):
        clock.now += 1
        pace.step_taken()
    pace.epoch_trained()
    # An epoch takes 10 s and a fifth of a validation that is taken to last 10 s.
    assert pace.epochs(step=10, spent_s=10, before=None) == int((970 - 10 - 10) / 12) + 1


def test_teacher_and_student_share_a_budget(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what their whole schedules cost: here 300 s and 100 s."""
    plans: dict[str, TrainingPlan] = {}
    clock = Clock()

    def trained(plan: TrainingPlan, place: Path, progress: object) -> Path:
        plans[place.name] = plan
        place.mkdir(parents=True, exist_ok=True)
        (place / "budget.json").write_text('{"spent_s": 70.0}')
        return place / "model.safetensors"

    costs = iter([300.0, 100.0])
    monkeypatch.setattr(sharing, "schedule_s", lambda plan: next(costs))
    monkeypatch.setattr(sharing, "train_network", trained)
    network = NetworkRecipe(model=ModelConfig(name="fan", backbone="fan_1", input_size=64))
    teacher = TrainingPlan(network, *sets)
    student = replace(teacher, network=NetworkRecipe(model=ModelConfig(name="pfld")))
    weights = sharing.train_pair(teacher, student, tmp_path, Budget(100, clock))
    assert weights == tmp_path / "student" / "model.safetensors"
    shares = [plan.budget.seconds for plan in plans.values() if plan.budget]
    assert shares == pytest.approx([75, 30])
    assert plans["student"].teachers == (tmp_path / "teacher" / "model.safetensors",)
    sharing.train_pair(teacher, student, tmp_path, Budget(100, clock))  # measures no second time


def test_what_went_before_the_first_training_is_shared_too(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faces were drawn for 20 s and networks measured for 20 s: 60 of 100 s are left to share."""
    clock, given = Clock(), []
    begun = Budget(100, clock)

    def measured(teacher: TrainingPlan, student: TrainingPlan) -> float:
        clock.now += 20
        return 0.5

    def trained(plan: TrainingPlan, place: Path, progress: object) -> Path:
        assert plan.budget
        given.append(plan.budget.seconds)
        place.mkdir(parents=True, exist_ok=True)
        (place / "budget.json").write_text('{"spent_s": 65.0}')
        return place / "model.safetensors"

    monkeypatch.setattr(sharing, "teacher_share", measured)
    monkeypatch.setattr(sharing, "train_network", trained)
    plan = TrainingPlan(NetworkRecipe(model=ModelConfig(name="pfld"), fit=FIT), *sets)
    clock.now += 20
    sharing.train_pair(plan, plan, tmp_path / "pair", begun)
    assert given == pytest.approx([70, 35])
    clock.now += 1000
    sharing.train_pair(plan, plan, tmp_path / "pair", Budget(100, clock))
    assert given[2:] == pytest.approx([70, 35]), "what goes on keeps to the plan"
    with pytest.raises(LandmintError, match=r"measure both networks took 17\.7 min") as error:
        sharing.train_pair(plan, plan, tmp_path / "late", begun)
    assert "drawn faces are kept" in str(error.value)
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize(
    ("short", "teacher_epochs", "budget"),
    [
        ("teacher", 60, "--budget 8m or more"),  # 360 s are 3/4 of 480 s
        ("teacher", 120, "--budget 16m or more"),  # and the student gets half an epoch of them
        ("student", 60, "--budget 24m or more and another --out"),  # 360 s are 1/4 of 1440 s
    ],
)
def test_a_budget_too_short_for_a_pair(
    sets: Sets,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    short: str,
    teacher_epochs: int,
    budget: str,
) -> None:
    def trained(plan: TrainingPlan, place: Path, progress: object) -> Path:
        if place.name == short:
            error = budgets.ShortBudgetError("too short", reason="its pace")
            error.needed_s = 360
            raise error
        place.mkdir(parents=True)
        (place / "budget.json").write_text('{"spent_s": 150.0}')
        return place / "model.safetensors"

    monkeypatch.setattr(sharing, "teacher_share", lambda teacher, student: 0.75)
    monkeypatch.setattr(sharing, "train_network", trained)
    student = TrainingPlan(NetworkRecipe(model=ModelConfig(name="pfld"), fit=FIT), *sets)
    student = _with_epochs(student, 60)
    out = tmp_path / "pair"
    with pytest.raises(LandmintError, match=r"of 3\.33 min is too short for teacher and") as error:
        teacher = _with_epochs(student, teacher_epochs)
        sharing.train_pair(teacher, student, out, Budget(200, Clock()))
    part = {"teacher": "2.5 min", "student": "50 s"}[short]
    assert budget in str(error.value) and f"the {short} gets {part} of it" in str(error.value)
    assert out.exists() == (short == "student")


def _with_epochs(plan: TrainingPlan, epochs: int) -> TrainingPlan:
    fit = plan.network.fit.model_copy(update={"epochs": epochs})
    return replace(plan, network=plan.network.model_copy(update={"fit": fit}))


def test_fixed_views_are_asked_about_once(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "face_s", lambda plan, views: 0.1 if views else 0.5)
    network = NetworkRecipe(model=ModelConfig(name="pfld"), fit=FIT)
    plan = TrainingPlan(network, *sets, (Path("teacher.safetensors"),))
    assert sharing.schedule_s(plan) == pytest.approx(10 * 12 * 0.5)
    fixed = network.model_copy(update={"augment": AugmentConfig(views=3)})
    plan = replace(plan, network=fixed)
    assert sharing.schedule_s(plan) == pytest.approx(10 * 12 * 0.1 + 3 * 12 * 0.4)


@pytest.mark.slow
@pytest.mark.parametrize("views", [0, 2])
def test_the_cost_of_a_schedule_is_measured_by_short_trainings(sets: Sets, views: int) -> None:
    fan = ModelConfig(name="fan", backbone="fan_1", input_size=64)
    teacher = TrainingPlan(NetworkRecipe(model=fan, fit=FIT), *sets)
    pfld = ModelConfig(name="pfld", input_size=64, width=0.25)
    network = NetworkRecipe(model=pfld, fit=FIT, augment=AugmentConfig(views=views))
    student = replace(teacher, network=network)
    assert 0 < sharing.teacher_share(teacher, student) < 1


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
