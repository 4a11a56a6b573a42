"""What a training is given and what it has done: `fit` makes the one, the loop the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landmint.train.budget import Budget
from landmint.train.faces.augment import AugmentConfig
from landmint.train.faces.face import FaceSet
from landmint.train.fit_config import FitConfig
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Task


@dataclass(frozen=True)
class FitJob:
    """What every process of a run needs to know."""

    model: LandmarkModel
    """The network to train."""
    task: Task
    """Its loss."""
    train: FaceSet
    """Faces to learn from."""
    val: FaceSet
    """Faces to choose the weights on."""
    augmentation: AugmentConfig | None
    """How crops vary."""
    config: FitConfig
    """The loop's settings."""
    run_dir: Path
    """Where everything is written."""
    identity: Mapping[str, Any]
    """What a checkpoint must agree on to be resumed."""
    budget: Budget | None = None
    """The time that it may take, which then chooses the epochs."""


@dataclass
class State:
    """What a checkpoint holds beside network and optimiser."""

    step: int = 0
    """Steps that are done."""
    seconds: float = 0.0
    """Time spent on them, validation included; of a budget, all that was spent."""
    epochs: int = 0
    """How many epochs the budget allows; 0 where there is none, or no plan yet."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of each part of the loss, over the epoch under way."""
    counted: int = 0
    """Steps in those sums."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row per finished epoch."""
    best: dict[str, Any] = field(default_factory=dict)
    """nme, epoch and weights of the best average so far."""
