"""`landmint distill`: a recipe's student, with a trained teacher beside it."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, OutFolder, RecipeFile
from landmint.pipeline.cli.train import train_into


def distill(
    recipe: RecipeFile,
    teacher: Annotated[
        Path, typer.Option(metavar="CHECKPOINT", help="The teacher's model.safetensors.")
    ],
    out: OutFolder,
    faces: FacesOption = None,
) -> None:
    """Train a recipe's student with a trained teacher beside it.

    Examples:
        landmint distill demo --teacher runs/teacher/model.safetensors --out runs/s
    """
    from landmint.pipeline.cli.given import recipe_on
    from landmint.runtime.errors import LandmintError

    settings = recipe_on(recipe, faces)
    if not teacher.is_file():
        raise LandmintError(
            f"{teacher} does not exist", remedy="give the model.safetensors of `landmint train`"
        )
    train_into(out, settings, settings.student, teacher)
