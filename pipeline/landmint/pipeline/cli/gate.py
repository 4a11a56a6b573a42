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
        Path | None, typer.Option(help="Folder for verdict.md and junit.xml; none by default.")
    ] = None,
) -> int:
    """Judge measurements by the limits of a recipe; the exit code is the verdict.

    Examples:
        landmint gate runs/demo/measurements --recipe demo --out verdict
    """
    from landmint.pipeline.judge.advice import advise_folder
    from landmint.pipeline.judge.gate import exit_code
    from landmint.pipeline.judge.verdicts import judge_folder, verdict_text, write_verdicts
    from landmint.pipeline.lock import hold
    from landmint.pipeline.progress import Screen
    from landmint.pipeline.recipe import load_recipe

    settings = load_recipe(recipe)
    verdicts = judge_folder(measurements, settings.gate.limits)
    advice = advise_folder(measurements, settings.gate.limits)
    if out is not None:
        with hold(out, Screen()):
            write_verdicts(verdicts, advice, settings.name, out)
    print(verdict_text(verdicts, advice, settings.name), end="")
    return exit_code(verdicts)
