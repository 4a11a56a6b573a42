"""Stages in their order: which are up to date, which have to run, where an interrupted one goes on.

A stage is up to date when a record stands beside what it made, with the digest of its inputs as
they are now, and what it made is as it left it. Not a build system: no rules, no globbing, and one
stage at a time. What the stages do stands in `run.py`.
"""

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.pipeline.lock import hold
from landmint.pipeline.places import record_path
from landmint.pipeline.progress import Bar, Screen
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import (
    atomic_path,
    digest,
    read_json,
    remove_unfinished,
    sha256_file,
    write_json,
)

SCHEMA = 1


@dataclass(frozen=True)
class Stage:
    """One step from inputs to something on disk."""

    name: str
    """Its name, and that of its place unless `place` says otherwise."""
    revision: int
    """Raised when the stage's code makes something else of the same inputs."""
    needs: tuple[str, ...]
    """Stages whose outcome is an input; they come before it."""
    settings: Mapping[str, Any]
    """What else decides the outcome, as JSON."""
    place: Callable[[str], Path]
    """From the digest of the inputs to the file or folder that the stage makes."""
    work: Callable[[Path, Bar], None]
    """Makes it at the path given; an unfinished one is never seen at its place."""
    outcome: Callable[[Path], str]
    """Digest of what stands there, for the stages that need it; may raise LandmintError."""
    summary: Callable[[Path], str] = lambda place: ""
    """One line about what stands there."""
    resumes: bool = False
    """True: `work` writes at the place itself and goes on with what an interrupted one left."""


@dataclass(frozen=True)
class Record:
    """What is known of a stage that ran, or was interrupted."""

    digest: str
    """Digest of its inputs."""
    outcome: str
    """Digest of what it made; empty while it is unfinished."""
    inputs: Mapping[str, Any]
    """The inputs themselves, to see what changed."""
    seconds: float = 0.0
    """How long it took, of the last start."""


class Interrupted(LandmintError):
    """The user stopped a run; what was finished stays."""

    exit_code = 3


def run_stages(
    stages: Sequence[Stage],
    screen: Screen,
    again: str,
    until: str | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> dict[str, Path]:
    """Bring every stage up to date.

    Args:
        stages: in their order.
        screen: shows what happens.
        again: the command that goes on after an interruption.
        until: the last stage to run; all when absent.
        prepare: called once before the first stage that has to run: the place to refuse what
            would fail later.

    Returns:
        where each stage's outcome stands.

    Raises:
        LandmintError: `until` names no stage, `prepare` refused, or a stage failed.
        Interrupted: Ctrl-C, with what is kept.
    """
    chosen = _chosen(stages, until)
    outcomes: dict[str, str] = {}
    places: dict[str, Path] = {}
    prepared = False
    for number, stage in enumerate(chosen, start=1):
        inputs = _inputs(stage, outcomes)
        place = stage.place(digest(inputs))
        title = f"{number}/{len(chosen)} {stage.name:<13}"
        outcome = _outcome_if_current(stage, place, inputs)
        if outcome is None:
            if not prepared:
                prepare()
                prepared = True
            try:
                outcome = _run_locked(stage, place, inputs, title, screen)
            except KeyboardInterrupt:
                raise _interrupted(stage, place, list(places), again) from None
        else:
            screen.line(f"{title} up to date  {stage.summary(place)}".rstrip(), style="dim")
        outcomes[stage.name], places[stage.name] = outcome, place
    return places


def first_stale(stages: Sequence[Stage]) -> str | None:
    """The name of the first stage that is not up to date; None when all are. Nothing is run."""
    outcomes: dict[str, str] = {}
    for stage in _chosen(stages, None):
        inputs = _inputs(stage, outcomes)
        outcome = _outcome_if_current(stage, stage.place(digest(inputs)), inputs)
        if outcome is None:
            return stage.name
        outcomes[stage.name] = outcome
    return None


def files_digest(place: Path, pattern: str = "**/*") -> str:
    """Digest of the names and contents of the files of a folder, or of one file.

    Raises:
        LandmintError: there is none.
    """
    if place.is_file():
        return sha256_file(place)
    files = sorted(file for file in place.glob(pattern) if file.is_file())
    if not files:
        raise LandmintError(f"{place} holds no {pattern}")
    return digest({str(file.relative_to(place)): sha256_file(file) for file in files})


def tree_signature(root: Path, ignore: Collection[str] = ()) -> str:
    """Digest of the names, sizes and times of change of all files under a folder.

    Thousands of pictures are looked at, not read: whoever changes one changes its time too.

    Args:
        root: the folder.
        ignore: names of files that do not count.
    """
    files = sorted(f for f in root.rglob("*") if f.is_file() and f.name not in ignore)
    facts = [(str(f.relative_to(root)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return digest(facts)


def _chosen(stages: Sequence[Stage], until: str | None) -> Sequence[Stage]:
    """The stages up to `until`, after a look at the order."""
    names = [stage.name for stage in stages]
    for i, stage in enumerate(stages):
        if absent := set(stage.needs) - set(names[:i]):
            raise ValueError(f"stage {stage.name} needs {absent}, which do not come before it")
    if until is None:
        return stages
    if until not in names:
        raise LandmintError(f"unknown stage '{until}'", choices=names)
    return stages[: names.index(until) + 1]


def _inputs(stage: Stage, outcomes: Mapping[str, str]) -> dict[str, Any]:
    upstream = {name: outcomes[name] for name in stage.needs}
    return {"revision": stage.revision, "upstream": upstream, "settings": dict(stage.settings)}


def _outcome_if_current(stage: Stage, place: Path, inputs: Mapping[str, Any]) -> str | None:
    """The digest of what stands at the place if the stage need not run, else None."""
    record = read_record(place)
    if record is None or not record.outcome or record.digest != digest(inputs):
        return None
    try:
        standing = stage.outcome(place)
    except (LandmintError, OSError):
        return None
    return standing if standing == record.outcome else None


def read_record(place: Path) -> Record | None:
    """The record of what stands at `place`; None when there is none that can be read."""
    try:
        content = read_json(record_path(place))
        if content["schema"] != SCHEMA:
            return None
        return Record(content["digest"], content["outcome"], content["inputs"], content["seconds"])
    except (LandmintError, KeyError, TypeError):
        return None


def _write_record(stage: Stage, place: Path, record: Record) -> None:
    content = {"schema": SCHEMA, "stage": stage.name, **vars(record)}
    write_json(record_path(place), content)


def _run_locked(
    stage: Stage, place: Path, inputs: Mapping[str, Any], title: str, screen: Screen
) -> str:
    """Run a stage while no other process does; another one may have done it meanwhile."""
    with hold(place, screen, title):
        remove_unfinished(record_path(place))
        outcome = _outcome_if_current(stage, place, inputs)
        if outcome is None:
            start = time.monotonic()
            with screen.bar(title) as bar:
                _work(stage, place, inputs, bar)
            seconds = time.monotonic() - start
            outcome = stage.outcome(place)
            _write_record(stage, place, Record(digest(inputs), outcome, inputs, seconds))
            screen.line(f"{title} {_duration(seconds):<10}  {stage.summary(place)}".rstrip())
        return outcome


def _work(stage: Stage, place: Path, inputs: Mapping[str, Any], bar: Bar) -> None:
    if not stage.resumes:
        record_path(place).unlink(missing_ok=True)
        with atomic_path(place) as fresh:
            stage.work(fresh, bar)
        return
    begun = read_record(place)
    if begun is None or begun.digest != digest(inputs):
        shutil.rmtree(place, ignore_errors=True)
    _write_record(stage, place, Record(digest(inputs), "", inputs))
    stage.work(place, bar)


def _interrupted(stage: Stage, place: Path, done: list[str], again: str) -> Interrupted:
    kept = f"kept: {', '.join(done)}" if done else "no stage was finished"
    begun = stage.resumes and place.is_dir() and any(place.iterdir())
    part = f"; {stage.name} goes on where it stopped" if begun else ""
    return Interrupted(
        f"interrupted in stage {stage.name}",
        reason=f"{kept}{part}",
        remedy=f"go on with: {again}",
    )


def _duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
