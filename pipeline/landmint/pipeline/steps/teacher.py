"""The stage of the teacher: the heavy network, trained on the faces alone."""

import os
from pathlib import Path

from landmint.pipeline.places import TEACHERS
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.pipeline.steps.weights import (
    settings_before,
    training_settings,
    training_summary,
    weights_outcome,
)
from landmint.runtime.progress import Progress
from landmint.train.config import NetworkRecipe, TrainingPlan
from landmint.train.starting import starting_weights


def _network(run: Run) -> NetworkRecipe:
    assert run.recipe.teacher is not None
    return run.recipe.teacher


def _place(run: Run, key: str) -> Path:
    """Where the teacher stands; a link in the run's folder leads there."""
    place = run.folder.parent / TEACHERS / key[:12]
    link = run.place("teacher")
    target = os.path.relpath(place, run.folder)
    if not link.is_symlink() or str(link.readlink()) != target:
        run.folder.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)
    return place


def _check(run: Run) -> None:
    if (start := _network(run).start) is not None:
        starting_weights(start)


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.train.training import train_network

    plan = TrainingPlan(_network(run), run.faces("train"), run.faces("val"))
    train_network(plan, place, bar)


TEACHER = Stage(
    name="teacher",
    revision=1,
    needs=lambda run: ("faces",),
    settings=lambda run: training_settings(_network(run), settings_before(run, "teacher")),
    check=_check,
    wanted=lambda run: run.recipe.teacher is not None,
    place=_place,
    work=_work,
    outcome=weights_outcome,
    summary=training_summary,
    resumes=True,
)
