"""What drives a run: which stages are up to date, which have to run, where one goes on.

A stage is up to date when a record stands beside what it made, with the digest of its inputs as
they are now, and what it made is as it left it. Not a build system: no rules, no globbing, and one
stage at a time. Torch is imported by the work of a stage and by the check before the first work.
"""

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from landmint.pipeline.lock import hold
from landmint.pipeline.places import record_path
from landmint.pipeline.record import Record, read_record, write_record
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.pipeline.steps import stages_of
from landmint.pipeline.steps.weights import gone_weights
from landmint.pipeline.text import duration
from landmint.pipeline.view import View
from landmint.runtime.errors import Interrupted, LandmintError
from landmint.runtime.files import (
    atomic_path,
    digest,
    remove_unfinished,
)
from landmint.runtime.progress import Progress


def bring_up_to_date(run: Run, view: View, until: str | None = None) -> None:
    """Run every stage of a run that is not up to date.

    Args:
        run: which.
        view: shows what happens.
        until: the last stage to run; all when absent.

    Raises:
        LandmintError: the recipe cannot work, or a stage failed.
        Interrupted: Ctrl-C.
    """
    for weights in gone_weights(run):
        view.line(f"{weights} is gone; only a new training would need it", style="dim")
    run_stages(stages_of(run), run, view, until, check_run)


def draw_faces(run: Run, view: View) -> None:
    """Bring the faces alone up to date, for a verb that borrows them.

    Raises:
        LandmintError: they cannot be drawn or read.
        Interrupted: Ctrl-C.
    """
    run_stages(stages_of(run), run, view, until="faces")


def check_run(run: Run, stages: Collection[str]) -> None:
    """Refuse before any work what would fail after hours of it.

    Args:
        run: which.
        stages: names of those that it shall go through; what only others need is not checked.

    Raises:
        LandmintError: the faces are not there, too few or not apart, networks do not fit each
            other, or the weights that one begins from or learns from are not there.
    """
    from landmint.pipeline.networks import check_named_teachers, check_networks
    from landmint.pipeline.recipe_faces import check_recipe_faces
    from landmint.train.starting import check_beginning
    from landmint.train.torch_state import own_random_numbers

    recipe, root = run.recipe, run.faces_config.root
    if recipe.faces.kind != "synthetic" and not root.is_dir():
        raise LandmintError(
            f"the faces of {recipe.file} are not at {root}",
            reason="there is no such folder",
            remedy="correct faces.root in the recipe, or give the folder with --faces ROOT",
        )
    if recipe.self_training and not run.unlabelled_config.root.is_dir():
        raise LandmintError(
            f"the unlabelled faces of {recipe.file} are not at {run.unlabelled_config.root}",
            reason="there is no such folder",
            remedy="correct self_training.faces.root in the recipe",
        )
    check_recipe_faces(run, stages)
    with own_random_numbers():  # networks are built to see
        check_networks(recipe)
        if gone_weights(run):  # which no stage may need; one that does says so before it begins
            return
        for network in (recipe.teacher, recipe.student):
            if network:
                check_beginning(network)
        if recipe.teachers and "student" in stages:
            check_named_teachers(recipe)


def run_stages(
    stages: Sequence[Stage],
    run: Run,
    view: View,
    until: str | None = None,
    check: Callable[[Run, Collection[str]], None] = lambda run, stages: None,
) -> dict[str, Path]:
    """Bring every stage up to date.

    Args:
        stages: in their order.
        run: what they work for.
        view: shows what happens.
        until: the last stage to run; all when absent.
        check: called once, with the stages up to `until`, before the first that has to run: the
            place to refuse what would fail later.

    Returns:
        where each stage's outcome stands.

    Raises:
        LandmintError: `until` names no stage, `check` refused, or a stage failed.
        Interrupted: Ctrl-C, with what is kept.
    """
    chosen = _chosen(stages, run, until)
    outcomes: dict[str, str] = {}
    places: dict[str, Path] = {}
    checked = False
    for number, stage in enumerate(chosen, start=1):
        inputs = _inputs(stage, run, outcomes)
        place = stage.place_in(run, digest(inputs))
        title = f"{number}/{len(chosen)} {stage.name:<13}"
        outcome = _outcome_if_current(stage, run, place, inputs)
        if outcome is None:
            if not checked:
                check(run, [stage.name for stage in chosen])
                checked = True
            stage.check(run)
            try:
                outcome = _run_locked(stage, run, place, inputs, title, view)
            except KeyboardInterrupt:
                raise _interrupted(stage, place, list(places), run.command) from None
        else:
            view.line(f"{title} up to date  {_summary(stage, place)}".rstrip(), style="dim")
        outcomes[stage.name], places[stage.name] = outcome, place
    return places


def first_stale(stages: Sequence[Stage], run: Run) -> str | None:
    """The name of the first stage that is not up to date; None when all are. Nothing is run."""
    outcomes: dict[str, str] = {}
    for stage in _chosen(stages, run, None):
        inputs = _inputs(stage, run, outcomes)
        place = stage.place_in(run, digest(inputs))
        outcome = _outcome_if_current(stage, run, place, inputs)
        if outcome is None:
            return stage.name
        outcomes[stage.name] = outcome
    return None


def _chosen(stages: Sequence[Stage], run: Run, until: str | None) -> Sequence[Stage]:
    """The stages up to `until`, after a look at the order."""
    names = [stage.name for stage in stages]
    for i, stage in enumerate(stages):
        if absent := set(stage.needs(run)) - set(names[:i]):
            raise ValueError(f"stage {stage.name} needs {absent}, which do not come before it")
    if until is None:
        return stages
    if until not in names:
        raise LandmintError(f"unknown stage '{until}'", choices=names)
    return stages[: names.index(until) + 1]


def _inputs(stage: Stage, run: Run, outcomes: Mapping[str, str]) -> dict[str, Any]:
    upstream = {name: outcomes[name] for name in stage.needs(run)}
    return {"revision": stage.revision, "upstream": upstream, "settings": dict(stage.settings(run))}


def _outcome_if_current(
    stage: Stage, run: Run, place: Path, inputs: Mapping[str, Any]
) -> str | None:
    """The digest of what stands at the place if the stage need not run, else None."""
    record = read_record(place)
    if record is None or not record.outcome or record.digest != digest(inputs):
        return None
    try:
        standing = stage.outcome(run, place)
    except (LandmintError, OSError):
        return None
    return standing if standing == record.outcome else None


def _run_locked(
    stage: Stage, run: Run, place: Path, inputs: Mapping[str, Any], title: str, view: View
) -> str:
    """Run a stage while no other process does; another one may have done it meanwhile."""
    with hold(place, view.line, title):
        remove_unfinished(record_path(place))
        outcome = _outcome_if_current(stage, run, place, inputs)
        if outcome is None:
            start = time.monotonic()
            with view.bar(title) as bar:
                _work(stage, run, place, inputs, bar)
            seconds = time.monotonic() - start
            outcome = stage.outcome(run, place)
            write_record(stage.name, place, Record(digest(inputs), outcome, inputs, seconds))
            view.line(f"{title} {duration(seconds):<10}  {_summary(stage, place)}".rstrip())
        return outcome


def _work(stage: Stage, run: Run, place: Path, inputs: Mapping[str, Any], bar: Progress) -> None:
    if not stage.resumes:
        record_path(place).unlink(missing_ok=True)
        with atomic_path(place) as fresh:
            stage.work(run, fresh, bar)
        return
    begun = read_record(place)
    if begun is not None and begun.digest != digest(inputs):
        shutil.rmtree(place, ignore_errors=True)
    # Without a record, another command may have filled the folder, such as `landmint train --out`:
    # the stage goes on from its checkpoint, or refuses one of another training. Nothing is deleted.
    write_record(stage.name, place, Record(digest(inputs), "", inputs))
    stage.work(run, place, bar)


def _summary(stage: Stage, place: Path) -> str:
    """A summary never stops a run that is otherwise whole."""
    try:
        return stage.summary(place)
    except (LandmintError, KeyError, OSError):
        return ""


def _interrupted(stage: Stage, place: Path, done: list[str], again: str) -> Interrupted:
    kept = f"kept: {', '.join(done)}" if done else "no stage was finished"
    begun = stage.resumes and place.is_dir() and any(place.iterdir())
    part = f"; {stage.name} goes on where it stopped" if begun else ""
    return Interrupted(
        f"interrupted in stage {stage.name}",
        reason=f"{kept}{part}",
        remedy=f"go on with: {again}",
    )
