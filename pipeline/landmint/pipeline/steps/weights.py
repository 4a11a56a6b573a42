"""What the stages that train have in common: settings, outcome and summary of trained weights."""

import csv
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from landmint.pipeline.places import HISTORY_FILE, WEIGHTS
from landmint.pipeline.record import read_record
from landmint.pipeline.run import Run
from landmint.runtime.errors import LandmintError
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


def training_settings(network: NetworkRecipe, before: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the weights of a network.

    Args:
        network: which.
        before: `settings_before` of the network.

    Raises:
        LandmintError: the weights that it begins from do not exist, and never did.
    """
    exclude: dict[str, Any] = {"fit": set(INDIFFERENT)}
    for part, later in _LATER.items():
        config = getattr(network, part)
        exclude[part] = {name for name, before in later.items() if getattr(config, name) == before}
    settings = network.model_dump(mode="json", exclude={**exclude, "start": True})
    if network.start is not None:
        settings["start"] = _sha256(starting_weights, network.start, before.get("start"))
    return settings


def settings_before(run: Run, role: str) -> Mapping[str, Any]:
    """The settings that a network of the run was trained with; {} where its training is not done.

    They remember the digests of weights that have been deleted since: a network that learned from
    them stays what it is.
    """
    record = read_record(run.place(role).resolve())
    settings: Mapping[str, Any] = record.inputs["settings"] if record and record.outcome else {}
    return settings


def _sha256(find: Callable[[str], Path], given: str, before: str | None) -> str:
    """The digest of weights; the one before where they are gone."""
    try:
        return sha256_file(find(given))
    except LandmintError:
        if before is None:
            raise
        return before


def gone_weights(run: Run) -> tuple[str, ...]:
    """What the networks of a run learned from that is no longer there."""
    needed: list[tuple[Callable[[str], Path], str]] = []
    for role, network in run.networks.items():
        if settings_before(run, role):
            needed += [(starting_weights, network.start)] if network.start else []
            needed += [(find_model, each) for each in run.recipe.teachers if role != "teacher"]
    return tuple(dict.fromkeys(given for find, given in needed if _is_gone(find, given)))


def _is_gone(find: Callable[[str], Path], given: str) -> bool:
    try:
        find(given)
    except LandmintError:
        return True
    return False


def student_settings(run: Run) -> dict[str, Any]:
    """What decides the weights of the student: its own settings, and what the teachers teach."""
    own = training_settings(run.recipe.student, settings_before(run, "student"))
    return {**own, "distill": distill_settings(run)}


def check_student_weights(run: Run) -> None:
    """Refuse to train a student without what it begins from and learns from.

    Raises:
        LandmintError: some of that does not exist.
    """
    if run.recipe.student.start is not None:
        starting_weights(run.recipe.student.start)
    teacher_weights(run)


def distill_settings(run: Run) -> dict[str, Any] | None:
    """What decides what the student hears of its teachers; None where it learns alone.

    Raises:
        LandmintError: the weights of a teacher that the recipe names do not exist, and never did.
    """
    recipe = run.recipe
    if not (recipe.teacher or recipe.teachers):
        return None
    settings = recipe.distill.model_dump(mode="json")
    if recipe.teachers:
        before = (settings_before(run, "student").get("distill") or {}).get("teachers") or ()
        settings["teachers"] = [
            _sha256(find_model, given, digest)
            for given, digest in zip_longest(recipe.teachers, before[: len(recipe.teachers)])
        ]
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
