"""Whether a recipe's networks, losses and distillation fit each other: they are built to see.

Asked before the first stage runs, so that a mistake in the student's section is not found after
the teacher's hours. Nothing is trained; weights are those of a fresh network, or those that the
recipe begins from.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from landmint.export.fused_decode import fusable_decoder
from landmint.pipeline.recipe import Problem, Recipe, problems_error
from landmint.runtime.crop import box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.config import NetworkRecipe
from landmint.train.distill import check_teachers
from landmint.train.faces.face import Face, FaceSet
from landmint.train.models import load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.starting import stand_in_shape, untrained_model
from landmint.train.tasks import Task, no_curriculum, task_for
from landmint.train.zoo import find_model


def check_networks(recipe: Recipe) -> None:
    """Build what the recipe trains.

    Raises:
        LandmintError: something does not fit; all problems in one message, each with its line.
    """
    problems = list(_problems(recipe))
    if problems:
        raise problems_error(recipe.file, recipe.file.read_text(encoding="utf-8"), problems)


def check_named_teachers(recipe: Recipe) -> None:
    """Read the trained teachers that a recipe names.

    Raises:
        LandmintError: one is not there, or does not fit the student or the recipe's own teacher.
    """
    own = [recipe.teacher] if recipe.teacher else []
    named = [load_model(find_model(given)) for given in recipe.teachers]
    teachers = [*map(untrained_model, own), *named]
    check_teachers(untrained_model(recipe.student), teachers, recipe.distill)


def _problems(recipe: Recipe) -> Iterator[Problem]:
    built: dict[str, tuple[LandmarkModel, Task]] = {}
    for role in ("teacher", "student"):
        network: NetworkRecipe | None = getattr(recipe, role)
        if network is None:
            continue
        section = "model"
        try:
            model = untrained_model(network)
            section = "loss"
            built[role] = model, task_for(model, network.loss, _one_face(network))
        except LandmintError as error:
            yield Problem((role, section), _one_line(error))
    if recipe.self_training is not None and "student" in built:
        yield from _self_training_problems(recipe.student, built["student"][0], recipe)
    if recipe.export.fuse_decode and "student" in built:
        try:
            fusable_decoder(built["student"][0].contract)
        except LandmintError as error:
            yield Problem(("export", "fuse_decode"), _one_line(error))
    if len(built) == 2 and not recipe.teachers:  # else what they say depends on weights
        (teacher, _), (student, _) = built["teacher"], built["student"]
        try:
            check_teachers(student, [teacher], recipe.distill)
        except LandmintError as error:
            yield Problem(("student", "model"), _one_line(error))


def _self_training_problems(
    network: NetworkRecipe, model: LandmarkModel, recipe: Recipe
) -> Iterator[Problem]:
    """Whether the student can learn what each round teaches."""
    assert recipe.self_training is not None
    if model.contract.head.kind != "pip":
        yield Problem(("self_training",), _one_line(no_curriculum(model)))
        return
    for curriculum in dict.fromkeys(recipe.self_training.rounds):
        try:
            task_for(model, network.loss, _one_face(network), curriculum)
        except LandmintError as error:
            yield Problem(("self_training", "rounds"), f"{curriculum}: {_one_line(error)}")


def _one_face(network: NetworkRecipe) -> FaceSet:
    """A face without attributes or picture, for tasks that count attributes."""
    points = stand_in_shape(get_markup(network.model.markup).points)
    visible = np.ones(len(points), dtype=np.bool_)
    face = Face("stand-in", Path("stand-in.png"), points, box_of(points), "nobody", visible, {})
    return FaceSet(network.model.markup, (face,), "stand-in", "")


def _one_line(error: LandmintError) -> str:
    parts = [error.fact, error.reason, error.remedy]
    choices = f"choices: {', '.join(error.choices)}" if error.choices else ""
    return "; ".join(part for part in (*parts, choices) if part)
