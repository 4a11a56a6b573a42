"""The rounds of self-training: label faces without labels, train a fresh network, keep the best."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

from landmint.runtime.files import atomic_path
from landmint.runtime.progress import SILENT, Progress
from landmint.train.config import SelfTrainingConfig, TrainingPlan
from landmint.train.evaluate import evaluate
from landmint.train.loop import CHECKPOINT_FILE, HISTORY_FILE, MODEL_FILE
from landmint.train.models import load_model
from landmint.train.self_training import Unlabelled, label_round
from landmint.train.training import train_network


def self_train(
    plan: TrainingPlan,
    config: SelfTrainingConfig,
    student: Path,
    unlabelled: Unlabelled,
    place: Path,
    progress: Progress = SILENT,
) -> Path:
    """Train a student anew in rounds, on labelled faces and on faces that a network labelled.

    Call it again after an interruption: finished rounds are kept, and the one that was interrupted
    goes on from its labels or its checkpoint.

    In each round the best network so far labels the faces. If the newest did, a bad round would
    pass on its errors. Each round has its own seed, so that two rounds with equal labels still
    differ.

    Args:
        plan: how the student is trained; its `train` are the faces with true labels.
        config: the rounds.
        student: weights of the student that labels for the first round.
        unlabelled: faces to label.
        place: folder for a folder of each round, and for weights and history of the best.
        progress: called at every step.

    Returns:
        the path of the weights of the round that is best on the validation faces.

    Raises:
        LandmintError: no unlabelled face is left, or a training failed.
    """
    fit = plan.network.fit
    if config.epochs:
        fit = fit.model_copy(update={"epochs": config.epochs})
    errors = {student: evaluate(load_model(student), plan.val).nme}
    for number, curriculum in enumerate(config.rounds, start=1):
        folder = place / f"{number}-{curriculum}"
        if not (folder / MODEL_FILE).is_file():
            part = _RoundProgress(progress, number, len(config.rounds), curriculum)
            part.step("labelling")
            both = label_round(_best(errors), unlabelled, plan.train, config, fit, folder)
            reseeded = fit.model_copy(update={"seed": fit.seed + number})
            network = plan.network.model_copy(update={"fit": reseeded})
            round_plan = dataclasses.replace(plan, network=network, train=both)
            train_network(round_plan, folder, part, curriculum=curriculum)
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        errors[folder / MODEL_FILE] = evaluate(load_model(folder / MODEL_FILE), plan.val).nme
    del errors[student]
    return _keep(_best(errors).parent, place)


def _best(errors: Mapping[Path, float]) -> Path:
    """The weights with the least error."""
    return min(errors, key=lambda weights: errors[weights])


def _keep(chosen: Path, place: Path) -> Path:
    """Copy weights and history of a round; returns the path of the copied weights."""
    for name in (HISTORY_FILE, MODEL_FILE):
        with atomic_path(place / name) as fresh:
            shutil.copyfile(chosen / name, fresh)
    return place / MODEL_FILE


class _RoundProgress:
    """One round's share in the progress of all of them, so that it does not begin anew in each."""

    def __init__(self, whole: Progress, number: int, rounds: int, curriculum: str) -> None:
        """Round `number` of `rounds`, counted from 1."""
        self._whole, self._before, self._rounds = whole, number - 1, rounds
        self._title = f"round {number}/{rounds} ({curriculum})"

    def at(self, done: int, total: int, note: str = "") -> None:
        """`done` of the round's `total` steps are finished."""
        self._whole.at(self._before * total + done, self._rounds * total, f"{self._title}  {note}")

    def step(self, note: str) -> None:
        """Another step of the round begins."""
        self._whole.step(f"{self._title}: {note}")
