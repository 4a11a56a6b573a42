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
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="The teacher's, to learn from it as well."),
    ] = None,
    faces: FacesOption = None,
) -> None:
    """Quantisation-aware training: let a trained student learn to bear INT8.

    It is rounded as its INT8 form will be and guided by what it said before. Give the weights that
    come out to `landmint quantize --adapted`.

    Examples:
        landmint qat runs/demo/student/model.safetensors --recipe demo --out q
    """
    from landmint.pipeline.cli.given import learning_faces, recipe_on
    from landmint.pipeline.lock import hold
    from landmint.pipeline.progress import Screen
    from landmint.quantize.config import QatConfig
    from landmint.quantize.qat.adapt import adapt_network
    from landmint.train.models import load_model
    from landmint.train.zoo import find_model

    settings, student, screen = recipe_on(recipe, faces), find_model(model), Screen()
    load_model(student)  # before the faces, which take longer
    sets = learning_faces(settings, screen)
    train, val = sets["train"], sets["val"]
    with hold(out, screen), screen.bar("quantisation-aware training") as bar:
        weights = adapt_network(
            settings.student,
            settings.qat or QatConfig(),
            settings.quantize,
            student,
            train,
            val,
            out,
            bar,
            teacher,
            settings.distill,
        )
    show_training(out, weights, screen)
