"""The rounds of self-training: label faces without labels, train a fresh network, keep the best."""

import shutil
from pathlib import Path

from landmint.runtime.files import atomic_path
from landmint.runtime.progress import SILENT, Progress
from landmint.train.config import DistillConfig, NetworkRecipe, SelfTrainingConfig
from landmint.train.evaluate import evaluate
from landmint.train.faces.face import FaceSet
from landmint.train.loop import CHECKPOINT_FILE, HISTORY_FILE, MODEL_FILE
from landmint.train.models import load_model
from landmint.train.self_training import Unlabelled, label_round
from landmint.train.training import train_network


def self_train(
    network: NetworkRecipe,
    config: SelfTrainingConfig,
    student: Path,
    unlabelled: Unlabelled,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    progress: Progress = SILENT,
    teacher: Path | None = None,
    distill: DistillConfig | None = None,
) -> Path:
    """Self-training with curriculum, or what is left of it after an interruption.

    A round that has weights is done; one that lacks them goes on from its labels or checkpoint. The
    best network so far labels: a round that made a worse one would else teach its errors on. Every
    round has a seed of its own, so that one with the labels of the last is not the last again.

    Args:
        network: how the student is trained.
        config: the rounds.
        student: weights of the student that labels for the first round.
        unlabelled: faces to label.
        train: faces with true labels.
        val: faces to choose the weights on.
        place: folder for a folder of each round, and for weights and history of the best.
        progress: called at every step.
        teacher: weights of a trained network to learn from as well.
        distill: how to learn from the teacher.

    Returns:
        the path of the weights of the round that is best on the validation faces.

    Raises:
        LandmintError: no unlabelled face is left, or a training failed.
    """
    fit = network.fit
    if config.epochs:
        fit = fit.model_copy(update={"epochs": config.epochs})
    errors = {student: evaluate(load_model(student), val).nme}
    for number, curriculum in enumerate(config.rounds, start=1):
        folder = place / f"{number}-{curriculum}"
        if not (folder / MODEL_FILE).is_file():
            part = _RoundProgress(progress, number, len(config.rounds), curriculum)
            part.step("labelling")
            best = min(errors, key=lambda weights: errors[weights])
            both = label_round(best, unlabelled, train, config, fit, folder)
            reseeded = fit.model_copy(update={"seed": fit.seed + number})
            another = network.model_copy(update={"fit": reseeded})
            train_network(another, both, val, folder, part, teacher, distill, curriculum=curriculum)
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        errors[folder / MODEL_FILE] = evaluate(load_model(folder / MODEL_FILE), val).nme
    del errors[student]
    chosen = min(errors, key=lambda weights: errors[weights]).parent
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
