"""One time budget for a teacher and its student, shared by what their schedules cost.

Rule: of the time that is left when faces are read and both networks are measured, the teacher gets
the share that its whole schedule would take of the time of both; the student gets what the teacher
leaves. So where there is too little time, both schedules are shortened by about the same factor.
"""

import csv
import tempfile
from dataclasses import replace
from pathlib import Path

from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, remove_if_empty, write_json
from landmint.runtime.progress import SILENT, Progress
from landmint.train.budget import BUDGET_FILE, Budget, ShortBudgetError, budget_option, duration
from landmint.train.config import TrainingPlan
from landmint.train.faces.face import FaceSet, face_set
from landmint.train.models import save_model
from landmint.train.starting import untrained_model
from landmint.train.training import train_network

_BATCHES = 6
"""Batches of each of the two epochs that are measured; the first of them warms up."""
_VALIDATED = 4
"""Faces that are validated meanwhile: a training needs some."""


def teacher_share(teacher: TrainingPlan, student: TrainingPlan) -> float:
    """The share of the time for both trainings that the teacher's schedule takes.

    Args:
        teacher: how the teacher is trained.
        student: how the student is trained; its teacher need not be trained yet, since an untrained
            network of the same kind answers as fast.

    Raises:
        LandmintError: faces, networks and settings do not fit.
    """
    with tempfile.TemporaryDirectory() as folder:
        stand_in = Path(folder) / "teacher.safetensors"
        save_model(untrained_model(teacher.network), stand_in)
        costs = [
            schedule_s(plan)
            for plan in (teacher, replace(student, teachers=(stand_in, *student.teachers)))
        ]
    return costs[0] / sum(costs)


def train_pair(
    teacher: TrainingPlan,
    student: TrainingPlan,
    out: Path,
    budget: Budget | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Train a teacher, then its student, or go on where an earlier call was stopped.

    Args:
        teacher: how the teacher is trained.
        student: how the student is; the teacher's weights come before those that it names.
        out: gets a folder for each: teacher/ and student/.
        budget: the time for both.
        progress: told of every step.

    Returns:
        the path of the student's weights.

    Raises:
        LandmintError: as `train_network`.
    """
    if budget is not None:
        return _train_within(budget, teacher, student, out, progress)
    weights = train_network(teacher, out / "teacher", progress)
    student = replace(student, teachers=(weights, *student.teachers))
    return train_network(student, out / "student", progress)


def _train_within(
    budget: Budget, teacher: TrainingPlan, student: TrainingPlan, out: Path, progress: Progress
) -> Path:
    """The same, inside a budget."""
    share, prepared_s = _kept_share(teacher, student, out, budget, progress)
    part = replace(budget, seconds=prepared_s + share * (budget.seconds - prepared_s))
    try:
        weights = train_network(replace(teacher, budget=part), out / "teacher", progress)
    except ShortBudgetError as error:
        (out / BUDGET_FILE).unlink(missing_ok=True)  # several processes come here
        remove_if_empty(out)
        # In the least time for the teacher's epoch, the student has time for this many of its own.
        student_epochs = student.network.fit.epochs / teacher.network.fit.epochs
        pair_s = (error.needed_s - prepared_s) / share / min(1, student_epochs)
        option = budget_option(prepared_s + pair_s)
        remedy = f"give {option} or more, fewer faces, or smaller networks"
        raise _too_short(budget, "teacher", part, error, remedy) from None
    spent_s = read_json(out / "teacher" / BUDGET_FILE)["spent_s"]
    rest = Budget(budget.seconds - spent_s, budget.clock)
    student = replace(student, teachers=(weights, *student.teachers), budget=rest)
    try:
        return train_network(student, out / "student", progress)
    except ShortBudgetError as error:
        option = budget_option(prepared_s + error.needed_s / (1 - share))
        remedy = (
            f"give {option} or more and another --out, "
            f"or let the trained teacher teach: landmint distill --teacher {weights}"
        )
        raise _too_short(budget, "student", rest, error, remedy) from None


def _too_short(
    budget: Budget, role: str, part: Budget, error: ShortBudgetError, remedy: str
) -> LandmintError:
    """What to say where a network's part of the budget is too short for an epoch."""
    return LandmintError(
        f"a budget of {duration(budget.seconds)} is too short for teacher and student",
        reason=f"the {role} gets {duration(part.seconds)} of it; {error.reason}",
        remedy=remedy,
    )


def _kept_share(
    teacher: TrainingPlan, student: TrainingPlan, out: Path, budget: Budget, progress: Progress
) -> tuple[float, float]:
    """The teacher's share, and the seconds that went before the first training.

    Both are found once, so that a run that was stopped keeps to them.
    """
    path = out / BUDGET_FILE
    if path.is_file():
        kept = read_json(path)
        if kept["budget_s"] == budget.seconds:
            return float(kept["teacher_share"]), float(kept["prepared_s"])
    progress.step("measuring teacher and student, to share the budget")
    share = teacher_share(teacher, student)
    prepared_s = budget.clock() - budget.began
    if prepared_s >= budget.seconds:
        raise LandmintError(
            f"a budget of {duration(budget.seconds)} is too short for teacher and student",
            reason=f"to read the faces and to measure both networks took {duration(prepared_s)}",
            remedy="give more time, or fewer faces; drawn faces are kept for the next try",
        )
    figures = {"budget_s": budget.seconds, "prepared_s": prepared_s, "teacher_share": share}
    write_json(path, {"schema": 1, **figures})
    progress.step(
        f"{duration(prepared_s)} of the budget went into faces and measuring; of the rest "
        f"{100 * share:.0f} % go to the teacher, what it leaves to the student"
    )
    return share, prepared_s


def schedule_s(plan: TrainingPlan) -> float:
    """Seconds that a plan's epochs would take, without validation, by short trainings.

    A teacher is asked at every step, or once about each crop where the views are fixed.
    """
    faces, epochs = len(plan.train.faces), plan.network.fit.epochs
    asking_s = face_s(plan, views=0)
    if not plan.teachers or not plan.network.augment.views:
        return epochs * faces * asking_s
    knowing_s = min(face_s(plan, views=1), asking_s)
    return epochs * faces * knowing_s + plan.crops * (asking_s - knowing_s)


def face_s(plan: TrainingPlan, views: int) -> float:
    """Seconds that a face takes in the second epoch of a short training.

    Args:
        plan: the training.
        views: 0 for new crops, about which a teacher is asked; 1 for those of the first epoch.
    """
    fit = plan.network.fit
    few = {"epochs": 2, "validate_every_epochs": 2, "log_every_steps": 100}
    augment = plan.network.augment.model_copy(update={"views": views})
    short = plan.network.model_copy(
        update={"fit": fit.model_copy(update=few), "augment": augment, "start": None}
    )
    faces = _first(plan.train, _BATCHES * fit.batch_size * fit.devices * fit.nodes)
    with tempfile.TemporaryDirectory() as folder:
        val = _first(plan.val, _VALIDATED)
        train_network(replace(plan, network=short, train=faces, val=val), Path(folder))
        with (Path(folder) / "metrics.csv").open(newline="", encoding="utf-8") as lines:
            *_, last = csv.DictReader(lines)
    return 1 / float(last["faces_per_s"])


def _first(faces: FaceSet, count: int) -> FaceSet:
    return face_set(faces.markup, list(faces.faces[:count]), faces.source)
