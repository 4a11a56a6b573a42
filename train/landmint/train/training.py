"""Trains one network by its settings: on true landmarks, and by teachers if there are any.

The network and the task are built here; the training loop is `fit`.
"""

import shutil
from pathlib import Path
from typing import Any

import torch

from landmint.runtime.files import digest, sha256_file
from landmint.runtime.progress import SILENT, Progress
from landmint.train.config import Curriculum, NetworkRecipe, TrainingPlan
from landmint.train.distill import DistillTask, check_teachers, says_maps
from landmint.train.faces.dataset import mean_shape
from landmint.train.faces.face import FaceSet, missing_lines
from landmint.train.fit import fit
from landmint.train.lessons import LessonBook
from landmint.train.models import create_model, load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.points_book import points_book
from landmint.train.starting import starting_model, starting_weights
from landmint.train.tasks import Task, task_for
from landmint.train.torch_state import own_random_numbers

LESSONS = "lessons"
"""Folder, within a training's, that keeps the teachers' answers."""


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
        lessons: folder that keeps the teachers' answers, for trainings that share crops. Absent,
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
    for part in (train, plan.val):
        for line in missing_lines(part):
            progress.step(line)
    progress.step("building the network")
    torch.manual_seed(network.fit.seed)  # of the first weights; the loop seeds every step
    model = _initial(network, train, progress)
    task: Task = task_for(model, network.loss, train, curriculum)
    identity: dict[str, Any] = {"loss": network.loss.model_dump(mode="json")}
    identity |= {"curriculum": curriculum} if curriculum != "std" else {}
    if network.start is not None:
        identity["start"] = sha256_file(starting_weights(network.start))
    if plan.teachers:
        folder = lessons or (place / LESSONS if network.augment.views else None)
        task = _taught(task, model, plan, folder, progress)
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
    task: Task,
    student: LandmarkModel,
    plan: TrainingPlan,
    folder: Path | None,
    progress: Progress,
) -> Task:
    """The student's task with its teachers beside it.

    Args:
        task: on the true landmarks.
        student: the network to train.
        plan: its teachers, and what they are asked about.
        folder: of books; None where no crop is seen twice.
        progress: called while a teacher is asked about all crops.
    """
    teachers, config = [load_model(weights) for weights in plan.teachers], plan.distill
    check_teachers(student, teachers, config)  # before hours of asking
    books: list[LessonBook] = []
    if folder and says_maps(teachers, config):
        books = [_maps_book(plan, folder)]
    elif folder:
        books = [points_book(plan, weights, folder, progress) for weights in plan.teachers]
    return DistillTask(task, student, teachers, config, books)


def _initial(network: NetworkRecipe, train: FaceSet, progress: Progress) -> LandmarkModel:
    """The network before its first step: new, or with the weights that it begins from."""
    shape = mean_shape(train, network.model.crop)
    if network.start is None:
        return create_model(network.model, shape)
    fresh = create_model(network.model.model_copy(update={"pretrained": False}), shape)
    return starting_model(fresh, network.start, progress)


def _maps_book(plan: TrainingPlan, folder: Path) -> LessonBook:
    """The store of the teachers' maps: a subfolder named after all that they depend on."""
    network, train = plan.network, plan.train
    augment = network.augment
    lessons = {
        "rows": plan.crops,
        "augment": augment.model_dump(mode="json"),
        "seed": network.fit.seed if augment.seed is None else augment.seed,
        "faces": train.fingerprint,
        "model": network.model.model_dump(mode="json"),
        "teachers": [sha256_file(weights) for weights in plan.teachers],
        "distill": plan.distill.model_dump(mode="json", exclude={"alpha"}),
    }
    return LessonBook(folder / digest(lessons)[:12], plan.crops)
