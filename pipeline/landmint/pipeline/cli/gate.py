"""`landmint gate`: measurements, judged by the limits of a recipe."""

from pathlib import Path
from typing import Annotated

import typer


def gate(
    measurements: Annotated[
        Path, typer.Argument(metavar="MEASUREMENTS", help="A folder of measurements.")
    ],
    recipe: Annotated[Path, typer.Option(metavar="RECIPE", help="Its gate table has the limits.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the verdict and what CI reads of it; see docs/ci.md."),
    ] = None,
) -> int:
    """Judge measurements by the limits of a recipe; the exit code is the verdict.

    Examples:
        landmint gate runs/demo/measurements --recipe demo --out verdict
    """
    from landmint import api

    judgement = api.judge(measurements, recipe=recipe, out=out)
    print(judgement.text, end="")
    return judgement.exit_code
