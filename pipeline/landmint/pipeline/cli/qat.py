"""`landmint qat`: a trained student learns to bear INT8."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, ModelArgument, OutFolder
from landmint.pipeline.cli.train import show_training


def qat(
    model: ModelArgument,
    recipe: Annotated[
        Path,
        typer.Option("--recipe", metavar="RECIPE", help="Of the student; \\[qat] says how."),
    ],
    out: OutFolder,
    teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="A trained network to learn from as well; or several."),
    ] = None,
    faces: FacesOption = None,
) -> None:
    """Quantisation-aware training: let a trained student learn to bear INT8.

    It is rounded as its INT8 form will be and guided by what it said before. Give the weights that
    come out to `landmint quantize --adapted`.

    Examples:
        landmint qat runs/demo/student/model.safetensors --recipe demo --out q
    """
    from landmint import api
    from landmint.pipeline.progress import Screen

    screen = Screen()
    with screen.bar("quantisation-aware training") as bar:
        weights = api.adapt(model, recipe, out, teacher=teacher or (), faces=faces, progress=bar)
    show_training(out, weights, screen)
