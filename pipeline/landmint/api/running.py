"""The whole way of a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING

from landmint.pipeline.extras import naming_extras
from landmint.pipeline.view import UNWATCHED, View

if TYPE_CHECKING:
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
