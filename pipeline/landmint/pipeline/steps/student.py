"""The stage of the student: the network that is deployed, with its teachers if it has any."""

from pathlib import Path

from landmint.pipeline.places import LESSONS
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.pipeline.steps.weights import (
    check_student_weights,
    student_plan,
    student_settings,
    training_summary,
    weights_outcome,
)
from landmint.runtime.progress import Progress


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.train.training import train_network

    shared = run.folder.parent / LESSONS if run.recipe.distill.lesson == "points" else None
    train_network(student_plan(run), place, bar, shared)


STUDENT = Stage(
    name="student",
    revision=1,
    needs=lambda run: ("faces", *run.taught),
    settings=student_settings,
    check=check_student_weights,
    work=_work,
    outcome=weights_outcome,
    summary=training_summary,
    resumes=True,
)
