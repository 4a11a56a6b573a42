"""The rooms' trainings, called with a recipe's settings; imported when a training begins."""

from pathlib import Path

from landmint.pipeline.recipe import Recipe
from landmint.quantize import adapt
from landmint.quantize.config import QatConfig
from landmint.runtime.progress import Progress
from landmint.train import rounds
from landmint.train.faces.face import FaceSet
from landmint.train.self_training import Unlabelled
from landmint.train.training import train_network

__all__ = ["adapt_network", "self_train", "train_network"]


def self_train(
    recipe: Recipe,
    student: Path,
    unlabelled: Unlabelled,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    bar: Progress,
    teacher: Path | None = None,
) -> Path:
    """Call train's `self_train` with a recipe's settings."""
    config = recipe.self_training
    assert config is not None
    return rounds.self_train(
        recipe.student,
        config,
        student,
        unlabelled,
        train,
        val,
        place,
        bar,
        teacher,
        recipe.distill,
    )


def adapt_network(
    recipe: Recipe,
    student: Path,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    bar: Progress,
    teacher: Path | None = None,
) -> Path:
    """Call quantize's `adapt_network` with a recipe's settings."""
    return adapt.adapt_network(
        recipe.student,
        recipe.qat or QatConfig(),
        recipe.quantize,
        student,
        train,
        val,
        place,
        bar,
        teacher,
        recipe.distill,
    )
