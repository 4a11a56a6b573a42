"""Trains one network by its settings: on true landmarks, and by teachers if there are any.

The network and the task are built here; the training loop is `fit`.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from landmint.runtime.files import digest, sha256_file
from landmint.runtime.progress import SILENT, Progress
from landmint.train.config import Curriculum, NetworkRecipe, TrainingPlan
from landmint.train.distill import DistillTask, says_maps
from landmint.train.faces.dataset import mean_shape
from landmint.train.faces.face import FaceSet
from landmint.train.fit import fit
from landmint.train.lessons import LessonBook
from landmint.train.models import create_model, load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.starting import starting_model, starting_weights
from landmint.train.tasks import Task, task_for
from landmint.train.torch_state import own_random_numbers

LESSONS = "lessons"
"""Folder, within a training's, that keeps the teacher's answers."""


def train_network(
    plan: TrainingPlan,
    place: Path,
    progress: Progress = SILENT,
    lessons: Path | None = None,
    curriculum: Curriculum = "std",
) -> Path:
    """Train one network, or go on where an earlier call was stopped.

    Args:
        plan: the network, its faces and its teachers.
        place: folder for weights, checkpoint and logs.
        progress: called at every step.
        lessons: folder that keeps the teacher's answers, for trainings that share crops. Absent,
            they are kept in `place` if the crops come again, and deleted in the end.
        curriculum: what pseudo-labelled faces teach.

    Returns:
        the path of the weights.

    Raises:
        LandmintError: faces, networks and settings do not fit, the budget is too short, or the
            training diverged.
    """
    with own_random_numbers():
        return _train(plan, place, progress, lessons, curriculum)


def _train(
    plan: TrainingPlan,
    place: Path,
    progress: Progress,
    lessons: Path | None,
    curriculum: Curriculum,
) -> Path:
    """The same; it seeds torch's random numbers."""
    network, train = plan.network, plan.train
    progress.step("building the network")
    torch.manual_seed(network.fit.seed)  # of the first weights; the loop seeds every step
    model = _initial(network, train)
    task: Task = task_for(model, network.loss, train, curriculum)
    identity: dict[str, Any] = {"loss": network.loss.model_dump(mode="json")}
    identity |= {"curriculum": curriculum} if curriculum != "std" else {}
    if network.start is not None:
        identity["start"] = sha256_file(starting_weights(network.start))
    if plan.teachers:
        task = _taught(task, model, plan, place, lessons)
        identity["teacher"] = ", ".join(map(sha256_file, plan.teachers))
        identity["distill"] = plan.distill.model_dump(mode="json")
    weights = fit(
        model,
        task,
        train,
        plan.val,
        network.augment,
        network.fit,
        place,
        progress,
        identity,
        plan.budget,
    )
    shutil.rmtree(place / LESSONS, ignore_errors=True)
    return weights


def _taught(
    task: Task, model: LandmarkModel, plan: TrainingPlan, place: Path, lessons: Path | None
) -> Task:
    """The student's task with its teachers beside it."""
    teachers = [load_model(weights) for weights in plan.teachers]
    books: list[LessonBook] = []
    if lessons or plan.network.augment.views:  # else no crop is seen twice
        groups = [plan.teachers]
        if not says_maps(teachers, plan.distill):
            groups = [(weights,) for weights in plan.teachers]
        books = [_book_for(plan, group, lessons or place / LESSONS) for group in groups]
    return DistillTask(task, model, teachers, plan.distill, books)


def _initial(network: NetworkRecipe, train: FaceSet) -> LandmarkModel:
    """The network before its first step: new, or with the weights that it begins from."""
    if network.start is not None:
        return starting_model(network, network.start)
    return create_model(network.model, mean_shape(train, network.model.crop))


def _book_for(plan: TrainingPlan, teachers: Sequence[Path], folder: Path) -> LessonBook:
    """The store of teachers' answers: a subfolder named after all that they depend on.

    Args:
        plan: network, faces and distillation.
        teachers: weights of those whose answers it keeps.
        folder: where the subfolder is made.
    """
    network, train = plan.network, plan.train
    augment = network.augment
    rows = len(train.faces) * (augment.views or network.fit.epochs)
    lessons = {
        "rows": rows,
        "augment": augment.model_dump(mode="json"),
        "seed": network.fit.seed if augment.seed is None else augment.seed,
        "faces": train.fingerprint,
        "model": network.model.model_dump(mode="json"),
        "teachers": [sha256_file(weights) for weights in teachers],
        "distill": plan.distill.model_dump(mode="json", exclude={"alpha"}),
    }
    return LessonBook(folder / digest(lessons)[:12], rows)
