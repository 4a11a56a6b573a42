"""What the stages that train have in common: settings, outcome and summary of trained weights."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.pipeline.places import HISTORY_FILE, WEIGHTS
from landmint.pipeline.run import Run
from landmint.runtime.files import read_json, sha256_file
from landmint.train.budget import BUDGET_FILE
from landmint.train.config import NetworkRecipe, TrainingPlan
from landmint.train.fit_config import INDIFFERENT
from landmint.train.starting import starting_weights
from landmint.train.zoo import find_model

_LATER: Mapping[str, Mapping[str, Any]] = {
    "model": {
        "activation": "",
        "squeeze_excite": True,
        "decoder": "",
        "soft_argmax_tau": 10.0,
        "soft_argmax_radius": 2,
    },
    "augment": {"views": 0, "seed": None},
}
"""Settings of a network that came after the first, and what they were before they could be set: at
that they do not count, so that what was trained without them stays up to date."""


def training_settings(network: NetworkRecipe) -> dict[str, Any]:
    """What decides the weights of a network.

    Raises:
        LandmintError: the weights that it begins from do not exist.
    """
    exclude: dict[str, Any] = {"fit": set(INDIFFERENT)}
    for part, later in _LATER.items():
        config = getattr(network, part)
        exclude[part] = {name for name, before in later.items() if getattr(config, name) == before}
    settings = network.model_dump(mode="json", exclude={**exclude, "start": True})
    if network.start is not None:
        settings["start"] = sha256_file(starting_weights(network.start))
    return settings


def student_settings(run: Run) -> dict[str, Any]:
    """What decides the weights of the student: its own settings, and what the teachers teach."""
    return {**training_settings(run.recipe.student), "distill": distill_settings(run)}


def distill_settings(run: Run) -> dict[str, Any] | None:
    """What decides what the student hears of its teachers; None where it learns alone.

    Raises:
        LandmintError: the weights of a teacher that the recipe names do not exist.
    """
    recipe = run.recipe
    if not (recipe.teacher or recipe.teachers):
        return None
    settings = recipe.distill.model_dump(mode="json")
    if recipe.teachers:
        settings["teachers"] = [sha256_file(find_model(given)) for given in recipe.teachers]
    return settings


def teacher_weights(run: Run) -> tuple[Path, ...]:
    """Weights of the teachers, the run's own first; none where the student learns alone."""
    own = (run.place("teacher") / WEIGHTS,) if run.recipe.teacher else ()
    return own + tuple(find_model(given) for given in run.recipe.teachers)


def student_plan(run: Run) -> TrainingPlan:
    """How the student is trained: its settings, the run's faces, and the teachers."""
    recipe = run.recipe
    train, val = run.faces("train"), run.faces("val")
    return TrainingPlan(recipe.student, train, val, teacher_weights(run), recipe.distill)


def weights_outcome(run: Run, place: Path) -> str:
    """Digest of trained weights."""
    return sha256_file(place / WEIGHTS)


def training_figures(folder: Path) -> dict[str, float]:
    """The last line of a training's history, with the lowest NME on the validation faces.

    Returns:
        epoch, seconds, loss, val_nme of the last validation and best_nme, as far as they are
        known; {} without a history.
    """
    try:
        with (folder / HISTORY_FILE).open(newline="", encoding="utf-8") as file:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    except (OSError, ValueError):
        return {}
    wanted = ("epoch", "seconds", "loss", "val_nme", "best_nme")
    return {key: row[key] for row in rows for key in wanted if key in row}


def training_summary(place: Path) -> str:
    """Error and length of a training; empty without a history."""
    figures = training_figures(place)
    if "best_nme" not in figures:
        return ""
    return f"val NME {100 * figures['best_nme']:.2f} %, {figures['epoch']:.0f} epochs"


def budget_summary(place: Path) -> str:
    """What a time budget chose and why; empty where there was none."""
    path = place / BUDGET_FILE
    return str(read_json(path)["summary"]) if path.is_file() else ""
