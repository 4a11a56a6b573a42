"""`landmint train`: one network of a recipe, on its faces alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landmint.pipeline.cli.command import BudgetOption, FacesOption, OutFolder, RecipeFile

if TYPE_CHECKING:
    from landmint.pipeline.progress import Screen


def train(
    recipe: RecipeFile,
    out: OutFolder,
    role: Annotated[
        str,
        typer.Option(
            help="Which network of the recipe: teacher or student; or both: the student then "
            "learns from the teacher."
        ),
    ] = "teacher",
    faces: FacesOption = None,
    budget: BudgetOption = None,
) -> None:
    """Train one network of a recipe on its faces alone, or teacher and student.

    Run it again to go on from the last checkpoint.

    Examples:
        landmint train demo --out runs/teacher
        landmint train demo --role student --out runs/undistilled
        landmint train demo --role both --budget 9m --out runs/quick
    """
    from landmint import api
    from landmint.pipeline.progress import Screen

    screen = Screen()
    title = "training teacher and student" if role == "both" else f"training the {role}"
    with screen.bar(title) as bar:
        weights = api.train(recipe, out, role=role, faces=faces, budget=budget, progress=bar)
    if role == "both":
        show_training(out / "teacher", out / "teacher" / weights.name, screen)
    show_training(weights.parent, weights, screen)
    show_home(out, screen)


def show_training(out: Path, weights: Path, screen: "Screen") -> None:
    """Say how well a training went, and print where its weights are; in one process alone."""
    from landmint.pipeline.steps.weights import budget_summary, training_summary
    from landmint.train.processes import launcher_rank

    if launcher_rank() == 0:
        for line in (budget_summary(out), training_summary(out)):
            screen.line(line) if line else None
        print(weights)


def show_home(out: Path, screen: "Screen") -> None:
    """Say what to take along from a training that had a time budget; in one process alone."""
    from landmint.pipeline.text import mebibytes
    from landmint.train.home import HOME
    from landmint.train.processes import launcher_rank

    files = [file for file in (out / HOME).rglob("*") if file.is_file()]
    if files and launcher_rank() == 0:
        size = mebibytes(sum(file.stat().st_size for file in files))
        screen.line(f"to take along: {out / HOME}, {len(files)} files, {size} MiB")
