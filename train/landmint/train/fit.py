"""Training: a network, a task and faces in, `model.safetensors` out.

A run that was interrupted goes on from its checkpoint and gives, bit for bit on a CPU, the weights
of one that was not. Nothing is printed. No test faces come here.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import SILENT, Progress
from landmint.train.budget import Budget
from landmint.train.faces.augment import AugmentConfig
from landmint.train.faces.face import FaceSet
from landmint.train.fit_config import INDIFFERENT, FitConfig
from landmint.train.fit_job import FitJob
from landmint.train.launch import fabric_for, launch
from landmint.train.loop import MODEL_FILE, Loop
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Task
from landmint.train.torch_state import own_random_numbers, torch_threads

__all__ = ["FitConfig", "fit"]


def fit(
    model: LandmarkModel,
    task: Task,
    train: FaceSet,
    val: FaceSet,
    augmentation: AugmentConfig | None,
    config: FitConfig,
    run_dir: Path,
    progress: Progress = SILENT,
    identity: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
) -> Path:
    """Train a network, or go on where an earlier call with the same arguments was stopped.

    Writes into `run_dir`: model.safetensors (when all is done), last.pt (to go on from),
    metrics.csv (a line per epoch) and tensorboard/. With several processes `run_dir` must be one
    folder that all of them see. Processes started by torchrun or Slurm all return when the first
    has written the weights; what follows a training is the work of that one.

    Args:
        model: the network, with fresh or pre-trained weights; trained in place.
        task: its loss; nets that exist only in training are its submodules.
        train: faces to learn from.
        val: faces to choose the weights on; never those of a test.
        augmentation: how crops vary; None takes the device's own crop.
        config: the loop's settings.
        run_dir: folder of this run alone.
        progress: called after every step, and once before the first.
        identity: plain values that name what this function cannot see, such as the settings of
            the loss; a checkpoint of another identity is refused.
        budget: the time that the training may take. It then chooses the epochs by the measured
            pace, and writes the plan into `run_dir` as budget.json.

    Returns:
        the path of model.safetensors.

    Raises:
        LandmintError: the loss is not finite; the faces do not fit; the checkpoint is broken or
            of another run; the machine lacks what the config asks for; the budget is too short.
        KeyboardInterrupt: SIGINT or SIGTERM came; the state was written first.
    """
    for name, faces in (("training", train), ("validation", val)):
        if not faces.faces:
            raise LandmintError(f"there are no {name} faces", reason=f"{faces.source} is empty")
    seen = _identity_of(model, task, train, val, augmentation, config) | dict(identity or {})
    seen |= {"budget_s": budget.seconds} if budget else {}
    job = FitJob(model, task, train, val, augmentation, config, run_dir, seen, budget)
    fabric = fabric_for(config)
    launch(fabric, config, partial(_work, job), progress)
    return run_dir / MODEL_FILE


def _work(job: FitJob, fabric: Fabric, progress: Progress) -> None:
    with torch_threads(job.config.threads), own_random_numbers():
        Loop(job, fabric, progress).go()


def _identity_of(
    model: LandmarkModel,
    task: Task,
    train: FaceSet,
    val: FaceSet,
    augmentation: AugmentConfig | None,
    config: FitConfig,
) -> dict[str, Any]:
    """What the trained weights depend on, as plain values by name."""
    settings = config.model_dump(mode="json", exclude=INDIFFERENT)
    drawn = augmentation.model_dump(mode="json") if augmentation else {"": None}
    shapes = {
        f"{part}.{name}": list(tensor.shape)
        for part, module in (("model", model), ("task", task))
        for name, tensor in module.state_dict().items()
    }
    return {
        **{f"fit.{name}": value for name, value in settings.items()},
        **{f"augment.{name}": value for name, value in drawn.items()},
        "training faces": train.fingerprint,
        "validation faces": val.fingerprint,
        "contract": model.contract.to_json(),
        "activation": model.config.activation or None,  # the one choice without weights
        "task": type(task).__name__,
        "weights": shapes,
    }
