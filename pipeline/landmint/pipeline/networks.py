"""Whether a recipe's networks, losses and distillation fit each other: they are built to see.

Asked before the first stage runs, so that a mistake in the student's section is not found after
the teacher's hours. Nothing is trained; weights are those of a fresh network, or those that the
recipe begins from.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from landmint.export.fused_decode import fusable_decoder
from landmint.pipeline.recipe import (
    NetworkRecipe,
    Problem,
    Recipe,
    problems_error,
    starting_weights,
)
from landmint.runtime.crop import Floats, box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.distill import DistillTask
from landmint.train.faces.face import Face, FaceSet
from landmint.train.models import ModelConfig, create_model, load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Task, no_curriculum, task_for


def check_networks(recipe: Recipe) -> None:
    """Build what the recipe trains.

    Raises:
        LandmintError: something does not fit; all problems in one message, each with its line.
    """
    problems = list(_problems(recipe))
    if problems:
        raise problems_error(recipe.file, recipe.file.read_text(encoding="utf-8"), problems)


def starting_model(network: NetworkRecipe, start: str) -> LandmarkModel:
    """The network with the weights that it begins from.

    They may be of a network with another activation, with gates that this one leaves out, or of
    another input size: whatever weights find their place.

    Raises:
        LandmintError: there are no such weights, or this network needs others.
    """
    there = load_model(starting_weights(start))
    changed = _changed(network.model, there.config)
    if not changed:
        return there
    model = _fresh(network)
    found, needed = there.state_dict(), model.state_dict()
    lacking = [
        name
        for name, tensor in needed.items()
        if name not in found or found[name].shape != tensor.shape
    ]
    if lacking:
        raise LandmintError(
            f"{start} holds another network than the recipe",
            reason=f"there {', '.join(changed)}: {len(lacking)} of {len(needed)} tensors are not "
            f"there or of another shape, such as {lacking[0]}",
            remedy="write the same under [student.model] or [teacher.model], or drop start",
        )
    model.load_state_dict({name: found[name] for name in needed})
    # Whom a landmark votes for was learned from the faces of then.
    neighbours = there.contract.head.neighbours
    model.contract = replace(
        model.contract, head=replace(model.contract.head, neighbours=neighbours)
    )
    return model.eval()


def _changed(wanted: ModelConfig, there: ModelConfig) -> list[str]:
    """In what the configuration of the weights differs, in words."""
    settings = there.model_dump(exclude={"pretrained"})
    return [
        f"{name} is {value!r}" for name, value in settings.items() if value != getattr(wanted, name)
    ]


def _problems(recipe: Recipe) -> Iterator[Problem]:
    built: dict[str, tuple[LandmarkModel, Task]] = {}
    for role in ("teacher", "student"):
        network: NetworkRecipe | None = getattr(recipe, role)
        if network is None:
            continue
        section = "model"
        try:
            model = _fresh(network)
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
    if recipe.teacher is not None and len(built) == 2:
        (teacher, _), (student, task) = built["teacher"], built["student"]
        try:
            DistillTask(task, student, teacher, recipe.distill)
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


def _fresh(network: NetworkRecipe) -> LandmarkModel:
    """The network with a stand-in for the mean face; no weights are fetched."""
    config = network.model.model_copy(update={"pretrained": False})
    return create_model(config, _stand_in(get_markup(config.markup).points))


def _stand_in(points: int) -> Floats:
    """Any shape (L, 2) will do, so long as its landmarks stand apart."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return 0.5 + 0.4 * np.column_stack([np.cos(angle), np.sin(angle)])


def _one_face(network: NetworkRecipe) -> FaceSet:
    """A face without attributes or picture, for tasks that count attributes."""
    points = _stand_in(get_markup(network.model.markup).points)
    visible = np.ones(len(points), dtype=np.bool_)
    face = Face("stand-in", Path("stand-in.png"), points, box_of(points), "nobody", visible, {})
    return FaceSet(network.model.markup, (face,), "stand-in", "")


def _one_line(error: LandmintError) -> str:
    parts = [error.fact, error.reason, error.remedy]
    choices = f"choices: {', '.join(error.choices)}" if error.choices else ""
    return "; ".join(part for part in (*parts, choices) if part)
