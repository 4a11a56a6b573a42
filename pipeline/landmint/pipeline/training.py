"""How a recipe's networks are trained: alone, by a teacher, on faces without labels, to bear INT8.

The train room's and the quantize room's functions, called with a recipe's settings; `work.py` makes
stages of them, and the verbs that train call them too.
"""

import shutil
from pathlib import Path
from typing import Any

import torch

from landmint.pipeline.networks import starting_model
from landmint.pipeline.places import HISTORY_FILE, WEIGHTS
from landmint.pipeline.progress import Bar, RoundBar
from landmint.pipeline.recipe import NetworkRecipe, Recipe, starting_weights
from landmint.quantize.config import QatConfig
from landmint.quantize.decision import RANGES, decide, write_decision
from landmint.quantize.qat import (
    QatTask,
    calibration_crops,
    carried,
    fit_config,
    float_graph,
    simulate,
    truth_task,
)
from landmint.runtime.files import atomic_path, digest, sha256_file
from landmint.train.config import Curriculum, DistillConfig
from landmint.train.distill import DistillTask
from landmint.train.evaluate import evaluate
from landmint.train.faces.dataset import mean_shape
from landmint.train.faces.face import FaceSet
from landmint.train.fit import Progress, fit
from landmint.train.lessons import LessonBook
from landmint.train.loop import CHECKPOINT_FILE
from landmint.train.models import create_model, load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.self_training import Unlabelled, label_round
from landmint.train.tasks import Task, task_for

LESSONS = "lessons"
"""Folder, within a training's, of what the teacher said."""


def train_network(
    network: NetworkRecipe,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    bar: Bar,
    teacher: Path | None = None,
    distill: DistillConfig | None = None,
    lessons: Path | None = None,
    curriculum: Curriculum = "std",
) -> Path:
    """Train one network, or go on where an earlier call was stopped.

    Args:
        network: what to train and how.
        train: faces to learn from.
        val: faces to choose the weights on.
        place: folder for weights, checkpoint and logs.
        bar: told of every step.
        teacher: weights of a trained network to learn from as well.
        distill: how.
        lessons: folder that keeps what the teacher says, for trainings that share crops. Absent,
            it is kept in `place` if the crops come again, and deleted in the end.
        curriculum: what pseudo-labelled faces teach.

    Returns:
        the path of the weights.

    Raises:
        LandmintError: faces, networks and settings do not fit, or the training diverged.
    """
    bar.step("building the network")
    torch.manual_seed(network.fit.seed)  # of the first weights; the loop seeds every step
    model = _first(network, train)
    task: Task = task_for(model, network.loss, train, curriculum)
    identity: dict[str, Any] = {"loss": network.loss.model_dump(mode="json")}
    identity |= {"curriculum": curriculum} if curriculum != "std" else {}
    if network.start is not None:
        identity["start"] = sha256_file(starting_weights(network.start))
    if teacher is not None:
        distill = distill or DistillConfig()
        book = None
        if lessons or network.augment.views:  # else no crop is seen twice
            book = _book_for(network, distill, train, teacher, lessons or place / LESSONS)
        task = DistillTask(task, model, load_model(teacher), distill, book)
        identity |= {"teacher": sha256_file(teacher), "distill": distill.model_dump(mode="json")}
    weights = fit(
        model,
        task,
        train,
        val,
        network.augment,
        network.fit,
        place,
        lambda progress: _tell(bar, progress),
        identity,
    )
    shutil.rmtree(place / LESSONS, ignore_errors=True)
    return weights


def _first(network: NetworkRecipe, train: FaceSet) -> LandmarkModel:
    """The network before its first step: new, or with the weights that it begins from."""
    if network.start is not None:
        return starting_model(network, network.start)
    return create_model(network.model, mean_shape(train, network.model.crop))


def _book_for(
    network: NetworkRecipe, distill: DistillConfig, train: FaceSet, teacher: Path, folder: Path
) -> LessonBook:
    """What keeps the teacher's answers, in a folder for whatever they depend on."""
    augment = network.augment
    rows = len(train.faces) * (augment.views or network.fit.epochs)
    lessons = {
        "rows": rows,
        "augment": augment.model_dump(mode="json"),
        "seed": network.fit.seed if augment.seed is None else augment.seed,
        "faces": train.fingerprint,
        "model": network.model.model_dump(mode="json"),
        "teacher": sha256_file(teacher),
        "distill": distill.model_dump(mode="json", exclude={"alpha"}),
    }
    return LessonBook(folder / digest(lessons)[:12], rows)


def self_train(
    recipe: Recipe,
    student: Path,
    unlabelled: Unlabelled,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    bar: Bar,
    teacher: Path | None = None,
) -> Path:
    """Self-training with curriculum, or what is left of it after an interruption.

    A round that has weights is done; one that lacks them goes on from its labels or checkpoint. The
    best network so far labels: a round that made a worse one would else teach its errors on. Every
    round has a seed of its own, so that one with the labels of the last is not the last again.

    Args:
        recipe: how the student is trained, and the rounds.
        student: weights of the student that labels for the first round.
        unlabelled: faces to label.
        train: faces with true labels.
        val: faces to choose the weights on.
        place: folder for a folder of each round, and for weights and history of the best.
        bar: told of every step.
        teacher: weights of a trained network to learn from as well.

    Returns:
        the path of the weights of the round that is best on the validation faces.

    Raises:
        LandmintError: no unlabelled face is left, or a training failed.
    """
    config, network, fit = recipe.self_training, recipe.student, recipe.student.fit
    assert config is not None
    errors = {student: evaluate(load_model(student), val).nme}
    if config.epochs:
        fit = fit.model_copy(update={"epochs": config.epochs})
    for number, curriculum in enumerate(config.rounds, start=1):
        folder = place / f"{number}-{curriculum}"
        if not (folder / WEIGHTS).is_file():
            part = RoundBar(bar, number, len(config.rounds), curriculum)
            part.step("labelling")
            best = min(errors, key=lambda weights: errors[weights])
            both = label_round(best, unlabelled, train, config, fit, folder)
            reseeded = fit.model_copy(update={"seed": fit.seed + number})
            another = network.model_copy(update={"fit": reseeded})
            train_network(
                another, both, val, folder, part, teacher, recipe.distill, curriculum=curriculum
            )
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        errors[folder / WEIGHTS] = evaluate(load_model(folder / WEIGHTS), val).nme
    del errors[student]
    chosen = min(errors, key=lambda weights: errors[weights]).parent
    for name in (HISTORY_FILE, WEIGHTS):
        with atomic_path(place / name) as fresh:
            shutil.copyfile(chosen / name, fresh)
    return place / WEIGHTS


def adapt_network(
    recipe: Recipe,
    student: Path,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    bar: Bar,
    teacher: Path | None = None,
) -> Path:
    """Train a recipe's trained student on, rounded as it will be deployed.

    Args:
        recipe: how the student was trained, how it is quantised, and how it adapts.
        student: its weights.
        train: faces to learn from; some of them set the ranges.
        val: faces to choose the weights on.
        place: folder for weights, checkpoint and logs.
        bar: told of every step.
        teacher: weights of a trained network to learn from as well.

    Returns:
        the path of the adapted weights.

    Raises:
        LandmintError: a library is missing, faces, networks and settings do not fit, or the
            training diverged.
    """
    bar.step("rounding the network as its INT8 graph does")
    network, config, settings = load_model(student), recipe.qat or QatConfig(), recipe.student
    # What corrects the weights of a network that was not trained for it would correct twice here.
    int8 = recipe.quantize.model_copy(update={"equalise": False, "bias_correction": False})
    graph = float_graph(network)
    crops = calibration_crops(network.contract, graph, train, int8)
    decision = decide(graph, crops, int8)
    simulated = simulate(network, graph, decision, crops, int8)
    truth = truth_task(network, settings.loss, train)
    teaches = None if teacher is None else load_model(teacher)
    files = {"student": student, "teacher": teacher}
    identity = {role: sha256_file(file) for role, file in files.items() if file}
    said = recipe.model_dump(mode="json", include={"qat", "quantize", "distill"})
    weights = fit(
        simulated,
        QatTask(truth, network, config, teaches, recipe.distill),
        train,
        val,
        settings.augment,
        fit_config(settings.fit, config),
        place,
        lambda progress: _tell(bar, progress),
        identity | said | {"loss": settings.loss.model_dump(mode="json")},
    )
    write_decision(place / RANGES, carried(decision, load_model(weights)))
    return weights


def _tell(bar: Bar, progress: Progress) -> None:
    metrics = progress.metrics
    note = f"epoch {min(progress.epoch + 1, progress.epochs)}/{progress.epochs}"
    note += f"  loss {metrics['loss']:.3g}" if "loss" in metrics else ""
    note += f"  NME {100 * metrics['val_nme']:.2f} %" if "val_nme" in metrics else ""
    bar.at(progress.done, progress.total, note)
