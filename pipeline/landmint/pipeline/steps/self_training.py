"""The stage of self-training: the student anew in rounds, on faces without labels as well."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.pipeline.steps.faces import faces_settings, faces_signature
from landmint.pipeline.steps.weights import (
    check_student_weights,
    student_plan,
    student_settings,
    training_summary,
    weights_outcome,
)
from landmint.runtime.progress import Progress


def _settings(run: Run) -> Mapping[str, Any]:
    assert run.recipe.self_training is not None
    root = run.unlabelled_config.root
    config = run.recipe.self_training
    return {
        "self_training": {
            **config.model_dump(mode="json"),
            "faces": faces_settings(config.faces),
        },
        "unlabelled": faces_signature(root) if root.is_dir() else "",
        **student_settings(run),
    }


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.train.rounds import self_train
    from landmint.train.self_training import find_unlabelled

    config, plan = run.recipe.self_training, student_plan(run)
    assert config is not None
    bar.step("looking for unlabelled faces")
    judges = plan.val, run.faces("test")
    unlabelled = find_unlabelled(run.unlabelled_config, plan.train, judges)
    self_train(plan, config, run.place("student") / WEIGHTS, unlabelled, place, bar)


SELF_TRAINING = Stage(
    name="self-training",
    revision=2,
    needs=lambda run: ("faces", *run.taught, "student"),
    settings=_settings,
    check=check_student_weights,
    wanted=lambda run: run.recipe.self_training is not None,
    work=_work,
    outcome=weights_outcome,
    summary=training_summary,
    resumes=True,
)
