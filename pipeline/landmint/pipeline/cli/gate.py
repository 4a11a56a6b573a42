"""`landmint gate`: measurements against limits, a build against a baseline, or the gate itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landmint.pipeline.cli.command import FacesOption, PlansOption

if TYPE_CHECKING:
    from landmint.pipeline.measure_config import MeasureConfig
    from landmint.pipeline.recipe import Recipe


def gate(
    measurements: Annotated[
        Path | None, typer.Argument(metavar="[MEASUREMENTS]", help="A folder of measurements.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="RECIPE", help="Its gate table has the limits; or its faces."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE|REF",
            help="A bundle, or a git revision: the candidate's folder as it was then. Either may "
            "end in :VARIANT.",
        ),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="The bundle that is judged; may end in :VARIANT. With --history its measurements.",
        ),
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help='Only such as "*/int8"; may be given again.'),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Where both run; the recipe's, or host, by default.")
    ] = None,
    margin: Annotated[
        float, typer.Option(metavar="PERCENT", help="Surely less than this slower passes.")
    ] = 5.0,
    drift: Annotated[
        float, typer.Option(metavar="POINTS", help="Surely less NME than this more passes.")
    ] = 0.3,
    baseline_python: Annotated[
        str,
        typer.Option(metavar="PATH", help="Python of another environment, for the baseline."),
    ] = "",
    candidate_python: Annotated[
        str, typer.Option(metavar="PATH", help="Likewise, for the candidate.")
    ] = "",
    self_test: Annotated[
        int | None,
        typer.Option(metavar="N", help="Gate the candidate N times against itself."),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Judge by this device's own history, where it cannot hold two builds at once.",
        ),
    ] = None,
    faces: FacesOption = None,
    plans: PlansOption = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the verdict and what CI reads of it; see docs/ci.md."),
    ] = None,
) -> int:
    """Judge measurements by the limits of a recipe, or a build by a baseline.

    The exit code is the verdict. Against a baseline both builds run in turns on the same machine,
    until it is clear whether the candidate is slower; docs/gate.md tells how.

    Examples:
        landmint gate runs/demo/measurements --recipe demo --out verdict
        landmint gate --baseline main --candidate models/face
        landmint gate --baseline old --candidate new --variants "*/int8"
        landmint gate --baseline b:tflite/float32 --candidate b:tflite/int8
        landmint gate --candidate b:onnx/int8 --self-test 20
        landmint gate --candidate measurements --history pi5.sqlite
    """
    from landmint.runtime.errors import LandmintError

    if measurements is not None and baseline is None and candidate is None:
        return _by_limits(measurements, recipe, out)
    sources = (baseline, self_test, history)
    if measurements is not None or candidate is None or sources.count(None) != 2:
        raise LandmintError(
            "it is not clear what to judge",
            remedy="give MEASUREMENTS with --recipe, or --candidate with one of --baseline, "
            "--history and --self-test",
        )
    from landmint import api

    if history is not None:
        judgement = api.gate_by_history(candidate, history, out=out)
        print(judgement.text, end="")
        return judgement.exit_code
    from landmint.pipeline.progress import Screen

    settings = None if recipe is None else api.load_recipe(recipe)
    options: dict[str, Any] = {
        "variants": variants or (),
        "rules": api.PairedRules(margin=margin / 100, drift=drift),
        "config": _config(settings, target),
        "recipe": settings,
        "faces": faces,
        "out": out,
    }
    with Screen().bar("gate") as bar:
        if baseline is None:
            tests = api.self_test(candidate, self_test or 0, progress=bar, **options)
        else:
            options |= {"baseline_python": baseline_python, "candidate_python": candidate_python}
            judgement = api.gate(baseline, candidate, plans=plans, progress=bar, **options)
    if baseline is None:
        from landmint.pipeline.self_test import self_test_table

        print(self_test_table(tests), end="")
        return 0
    print(judgement.text, end="")
    return judgement.exit_code


def _by_limits(measurements: Path, recipe: Path | None, out: Path | None) -> int:
    from landmint import api
    from landmint.runtime.errors import LandmintError

    if recipe is None:
        raise LandmintError("no limits are given", remedy="add --recipe RECIPE")
    judgement = api.judge(measurements, recipe=recipe, out=out)
    print(judgement.text, end="")
    return judgement.exit_code


def _config(settings: "Recipe | None", target: str | None) -> "MeasureConfig":
    """How to measure: as the recipe says, or on another target."""
    from landmint.pipeline.measure_config import MeasureConfig
    from landmint.runtime.errors import LandmintError
    from landmint.targets import TARGETS

    config = settings.measure if settings else MeasureConfig()
    if target is None:
        return config
    if target not in TARGETS:
        raise LandmintError(f"unknown target '{target}'", choices=TARGETS)
    return config.model_copy(update={"target": target})
