"""The whole way of a recipe, to one target or to several."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landmint.pipeline.extras import naming_extras
from landmint.pipeline.view import UNWATCHED, View

if TYPE_CHECKING:
    from landmint.pipeline.judge.target_results import Visits
    from landmint.pipeline.recipe import Recipe


@naming_extras
def run(
    recipe: "Recipe | str | Path",
    out: str | Path | None = None,
    *,
    faces: str | Path | None = None,
    until: str | None = None,
    again: str = "the same call",
    view: View = UNWATCHED,
) -> Path:
    """The whole way: faces, teacher, student, bundle, INT8, measurements, verdict, report.

    A stage that is up to date is left alone; an interrupted run goes on where it was.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        out: the run's folder; runs/NAME, by the recipe's name, when absent.
        faces: the data set's folder, instead of the recipe's.
        until: the last stage to run; all when absent.
        again: what makes the run again, for the report and for whoever interrupts it.
        view: told of every stage; nobody when absent.

    Returns:
        the run's folder.

    Raises:
        LandmintError: the recipe cannot work, or a stage failed.
        Interrupted: Ctrl-C; what was finished stays.
        MissingLibraryError: a library of landmint[all] is not installed.

    Example:
        >>> from landmint import api
        >>> folder = api.run("demo", "runs/short", until="student")
        >>> sorted(path.name for path in folder.iterdir() if path.is_dir())
        ['faces', 'stages', 'student', 'teacher']
    """
    from landmint.pipeline.driver import bring_up_to_date
    from landmint.pipeline.given import recipe_on
    from landmint.pipeline.places import RUNS
    from landmint.pipeline.run import Run

    settings = recipe_on(recipe, faces)
    folder = RUNS / settings.name if out is None else Path(out)
    bring_up_to_date(Run(settings, folder, again), view, until)
    return folder


@naming_extras
def run_on_targets(
    recipe: "Recipe | str | Path",
    targets: Sequence[str],
    out: str | Path | None = None,
    *,
    faces: str | Path | None = None,
    again: str = "the same call",
    view: View = UNWATCHED,
) -> "Visits":
    """The whole way up to the bundle, which is then measured and judged on several targets.

    Targets on different machines are visited at the same time, those on one machine in turn. A
    target that drops out leaves the others whole; the same call tries it again, and leaves alone
    what is up to date.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        targets: as `landmint targets` lists them, or files of profiles; an address may follow
            after a colon.
        out: the run's folder; runs/NAME, by the recipe's name, when absent.
        faces: the data set's folder, instead of the recipe's.
        again: what makes the run again, for whoever interrupts it.
        view: told of every stage and target; nobody when absent.

    Returns:
        what came of each target, and the page that compares them.

    Raises:
        LandmintError: the recipe cannot work, a stage before the measurements failed, or a target
            is unknown or named twice.
        Interrupted: Ctrl-C; what was finished stays.

    Example:
        >>> from landmint import api
        >>> visits = api.run_on_targets("demo", ["host", "rpi5"])  # doctest: +SKIP
        >>> {result.target: result.status for result in visits.results}  # doctest: +SKIP
        {'host': 'pass', 'rpi5': 'not measured'}
    """
    from landmint.pipeline.driver import bring_up_to_date
    from landmint.pipeline.given import recipe_on
    from landmint.pipeline.judge.target_results import Visits
    from landmint.pipeline.places import RUNS, TARGETS_REPORT_FILE
    from landmint.pipeline.report.render import render
    from landmint.pipeline.report.targets import targets_page
    from landmint.pipeline.run import Run
    from landmint.pipeline.several_targets import checked_targets, visit_targets
    from landmint.runtime.files import write_text

    names, settings = checked_targets(targets), recipe_on(recipe, faces)
    run = Run(settings, RUNS / settings.name if out is None else Path(out), again)
    bring_up_to_date(run, view, until="bundle")
    results = visit_targets(run, names, view)
    report = run.folder / TARGETS_REPORT_FILE
    write_text(report, render(targets_page(settings.name, results)))
    return Visits(results, report)
