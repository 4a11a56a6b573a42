"""`landmint gate`: measurements against limits, a build against a baseline, or the gate itself."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landmint.pipeline.cli.command import FacesOption, PlansOption, TargetOption

if TYPE_CHECKING:
    from landmint.pipeline.judge.judgement import Judgement

_PAIRED = ("candidate", "recipe", "variants", "target", "margin", "drift", "faces", "out")
_TAKES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "measurements": ("recipe", "out"),
        "baseline": (*_PAIRED, "baseline_python", "candidate_python", "plans"),
        "self_test": _PAIRED,
        "history": ("candidate", "out"),
    }
)
"""What can be judged by, each by its parameter, and the other parameters that count then."""


def gate(
    context: typer.Context,
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
    target: TargetOption = None,
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
    from landmint import api
    from landmint.pipeline.progress import Screen

    _check_given(context)
    if measurements is not None:
        return _by_limits(measurements, recipe, out)
    assert candidate is not None  # else it was refused
    if history is not None:
        return _show(api.gate_by_history(candidate, history, out=out))
    settings = None if recipe is None else api.load_recipe(recipe)
    options: dict[str, Any] = {
        "variants": variants or (),
        "rules": api.PairedRules(margin=margin / 100, drift=drift),
        "config": api.MeasureConfig.chosen(settings.measure if settings else None, target),
        "recipe": settings,
        "faces": faces,
        "out": out,
    }
    with Screen().bar("gate") as bar:
        options["progress"] = bar
        if self_test is not None:
            tests = api.self_test(candidate, self_test, **options)
        else:
            options |= {"baseline_python": baseline_python, "candidate_python": candidate_python}
            judgement = api.gate(baseline or "", candidate, plans=plans, **options)
    if self_test is None:
        return _show(judgement)
    from landmint.pipeline.self_test import self_test_table

    print(self_test_table(tests), end="")
    return 0


def _check_given(context: typer.Context) -> None:
    """Refuse a call of which it is not clear what it judges, or of which a part would not count.

    Raises:
        LandmintError: it is such a call.
    """
    from landmint.runtime.errors import LandmintError

    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    ways = [name for name in given if name in _TAKES]
    if len(ways) != 1 or (ways != ["measurements"] and "candidate" not in given):
        raise LandmintError(
            "it is not clear what to judge",
            remedy="give MEASUREMENTS with --recipe, or --candidate with one of --baseline, "
            "--history and --self-test",
        )
    (way,) = ways
    for name in given:
        if name not in (way, *_TAKES[way]):
            raise LandmintError(
                f"{_written(name)} does not count with {_written(way)}",
                remedy="leave it away",
                choices=[_written(other) for other in _TAKES[way]],
            )


def _written(parameter: str) -> str:
    """A parameter as it is written on the command line."""
    return parameter.upper() if parameter == "measurements" else f"--{parameter.replace('_', '-')}"


def _show(judgement: "Judgement") -> int:
    print(judgement.text, end="")
    return judgement.exit_code


def _by_limits(measurements: Path, recipe: Path | None, out: Path | None) -> int:
    from landmint import api
    from landmint.runtime.errors import LandmintError

    if recipe is None:
        raise LandmintError("no limits are given", remedy="add --recipe RECIPE")
    return _show(api.judge(measurements, recipe=recipe, out=out))
