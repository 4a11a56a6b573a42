"""`landmint train`: one network of a recipe, on its faces alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, OutFolder, RecipeFile

if TYPE_CHECKING:
    from landmint.pipeline.progress import Screen


def train(
    recipe: RecipeFile,
    out: OutFolder,
    role: Annotated[
        str, typer.Option(help="Which network of the recipe: teacher or student.")
    ] = "teacher",
    faces: FacesOption = None,
) -> None:
    """Train one network of a recipe on its faces alone.

    Run it again to go on from the last checkpoint.

    Examples:
        landmint train demo --out runs/teacher
        landmint train demo --role student --out runs/undistilled
    """
    from landmint import api
    from landmint.pipeline.progress import Screen

    screen = Screen()
    with screen.bar(f"training the {role}") as bar:
        weights = api.train(recipe, out, role=role, faces=faces, progress=bar)
    show_training(out, weights, screen)


def show_training(out: Path, weights: Path, screen: "Screen") -> None:
    """Say how well a training went, and print where its weights are; in one process alone."""
    from landmint.pipeline.steps.weights import training_summary
    from landmint.train.processes import launcher_rank

    if launcher_rank() == 0:
        screen.line(training_summary(out))
        print(weights)
