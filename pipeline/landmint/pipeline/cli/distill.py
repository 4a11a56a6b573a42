"""`landmint distill`: a recipe's student, with trained teachers beside it."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import BudgetOption, FacesOption, OutFolder, RecipeFile
from landmint.pipeline.cli.train import show_home, show_training


def distill(
    recipe: RecipeFile,
    teacher: Annotated[
        list[str],
        typer.Option(
            metavar="MODEL",
            help="A trained network's model.safetensors, or a shipped one; several teach together.",
        ),
    ],
    out: OutFolder,
    lessons: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder that keeps the teachers' answers, for students that see the same crops.",
        ),
    ] = None,
    faces: FacesOption = None,
    budget: BudgetOption = None,
) -> None:
    """Train a recipe's student with one trained teacher or more beside it.

    Examples:
        landmint distill demo --teacher runs/teacher/model.safetensors --out runs/s
        landmint distill demo --teacher A.safetensors --teacher B.safetensors --out runs/s
    """
    from landmint import api
    from landmint.pipeline.progress import Screen

    screen = Screen()
    with screen.bar("training the student") as bar:
        weights = api.distill(
            recipe,
            teacher,
            out,
            lessons=lessons,
            faces=faces,
            budget=budget,
            progress=bar,
        )
    show_training(out, weights, screen)
    show_home(out, screen)
