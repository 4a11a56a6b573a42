"""`landmint run`: the whole way of one recipe."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, HistoryOption, RecipeFile

if TYPE_CHECKING:
    from landmint.pipeline.progress import Screen
    from landmint.pipeline.recipe import Recipe


def run(
    recipe: RecipeFile,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; runs/<recipe name> by default.")
    ] = None,
    faces: FacesOption = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after it.")] = None,
    history: HistoryOption = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET,...",
            help="Measure and judge on each of these instead of the recipe's own target, see "
            "`landmint targets`; one page compares them.",
        ),
    ] = None,
) -> int:
    """The whole way: faces, teacher, student, bundle, INT8, measurements, verdict, report.

    A stage that is up to date is left alone; an interrupted run goes on where it was, training
    from its last checkpoint.

    Examples:
        landmint run demo
        landmint run pfld-ytf68 --faces /data/ytf68
        landmint run demo --until student
        landmint run demo --targets host,emulated-rpi4,rpi5:pi@raspberrypi.local
    """
    from landmint import api
    from landmint.pipeline.history.importing import add_folders, check_writable, revision_here
    from landmint.pipeline.progress import Screen

    _refuse_launchers()
    if history is not None:
        check_writable(history)
    settings, screen = api.load_recipe(recipe), Screen()
    screen.line(f"{settings.name}  {settings.about}".rstrip(), style="bold")
    again = _again(recipe, out, faces, until, targets)
    if targets is not None:
        names = tuple(name.strip() for name in targets.split(","))
        _refuse_both(until)
        return _on_targets(settings, names, out, faces, again, history, screen)
    folder = api.run(settings, out, faces=faces, until=until, again=again, view=screen)
    if history is not None and (folder / "measurements").is_dir():
        add_folders(history, [folder / "measurements"], revision_here())
    return 0 if until not in (None, "verdict", "report") else _show(folder, until)


def _refuse_launchers() -> None:
    """Refuse to be one of several processes.

    Raises:
        LandmintError: a launcher has started several.
    """
    from landmint.runtime.errors import LandmintError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise LandmintError(
            "`landmint run` is the work of one process",
            reason="a launcher has started several of them",
            remedy="start `landmint train` and `landmint distill` with the launcher",
        )


def _refuse_both(until: str | None) -> None:
    """Refuse to stop before what is asked for.

    Raises:
        LandmintError: a last stage is named.
    """
    from landmint.runtime.errors import LandmintError

    if until is not None:
        raise LandmintError(
            "--until and --targets are given",
            reason="targets are visited when the bundle is done",
            remedy="give one of the two",
        )


def _on_targets(
    recipe: "Recipe",
    targets: tuple[str, ...],
    out: Path | None,
    faces: Path | None,
    again: str,
    history: Path | None,
    screen: "Screen",
) -> int:
    """Visit several targets, and print what came of each; returns the worst verdict's exit code."""
    from landmint import api
    from landmint.pipeline.history.importing import add_folders, revision_here
    from landmint.pipeline.report.targets import targets_table, variants_table
    from landmint.pipeline.tables import as_rich, print_tables

    visits = api.run_on_targets(recipe, targets, out, faces=faces, again=again, view=screen)
    if history is not None and visits.measurements:
        add_folders(history, visits.measurements, revision_here())
    print_tables(as_rich(targets_table(visits.results)), as_rich(variants_table(visits.results)))
    print(f"report:  {visits.report}")
    return visits.exit_code


def _show(folder: Path, until: str | None) -> int:
    """Print advice and verdict; returns the verdict's exit code."""
    from landmint.pipeline.places import REPORT_FILE, VERDICT_FILE
    from landmint.runtime.files import read_json

    verdict = read_json(folder / "verdict" / VERDICT_FILE)
    for line in verdict["advice"]:
        print(line)
    print(f"verdict: {verdict['summary']} (exit code {verdict['exit_code']})")
    if until != "verdict":
        print(f"report:  {folder / REPORT_FILE}")
    code: int = verdict["exit_code"]
    return code


def _again(
    recipe: Path, out: Path | None, faces: Path | None, until: str | None, targets: str | None
) -> str:
    """The same command, to be typed."""
    words = ["landmint", "run", str(recipe)]
    options = {"out": out, "faces": faces, "until": until, "targets": targets}
    for name, value in options.items():
        words += [f"--{name}", str(value)] if value is not None else []
    return shlex.join(words)
