"""`landmint distill`: a recipe's student, with a trained teacher beside it."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, OutFolder, RecipeFile
from landmint.pipeline.cli.train import show_training


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
    from landmint import api
    from landmint.pipeline.progress import Screen

    screen = Screen()
    with screen.bar("training the student") as bar:
        weights = api.distill(recipe, teacher, out, faces=faces, progress=bar)
    show_training(out, weights, screen)
