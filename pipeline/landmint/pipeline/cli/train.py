"""`landmint train`: one network of a recipe, on its faces alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, OutFolder, RecipeFile

if TYPE_CHECKING:
    from landmint.pipeline.progress import Screen
    from landmint.pipeline.recipe import Recipe
    from landmint.train.config import NetworkRecipe


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
    from landmint.pipeline.cli.given import recipe_on
    from landmint.runtime.errors import LandmintError

    settings = recipe_on(recipe, faces)
    networks = {"teacher": settings.teacher, "student": settings.student}
    network = networks.get(role)
    if network is None:
        raise LandmintError(
            f"{recipe} has no network '{role}'",
            choices=[name for name, known in networks.items() if known],
        )
    train_into(out, settings, network, None)


def train_into(out: Path, recipe: "Recipe", network: "NetworkRecipe", teacher: Path | None) -> None:
    """Train a network, alone or with a teacher, and print where its weights are.

    Raises:
        LandmintError: teacher and student do not fit, or the training failed.
    """
    from landmint.pipeline.cli.given import learning_faces
    from landmint.pipeline.lock import hold
    from landmint.pipeline.progress import Screen
    from landmint.train.training import train_network

    screen = Screen()
    sets = learning_faces(recipe, screen)
    train, val = sets["train"], sets["val"]
    with hold(out, screen), screen.bar(f"training {network.model.name}") as bar:
        weights = train_network(network, train, val, out, bar, teacher, recipe.distill)
    show_training(out, weights, screen)


def show_training(out: Path, weights: Path, screen: "Screen") -> None:
    """Say how well a training went, and print where its weights are; in one process alone."""
    from landmint.pipeline.steps.weights import training_summary
    from landmint.train.processes import launcher_rank

    if launcher_rank() == 0:
        screen.line(training_summary(out))
        print(weights)
