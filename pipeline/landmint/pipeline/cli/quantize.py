"""`landmint quantize`: a bundle with INT8 forms as well, or with others in integers."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import (
    FacesOption,
    FormatsOption,
    RecipeOption,
    chosen_formats,
    print_bundle,
)
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import QUANTIZED


def quantize(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A float bundle.")],
    out: Annotated[Path, typer.Option(help="The new bundle's folder.")],
    recipe: RecipeOption = None,
    faces: FacesOption = None,
    formats: FormatsOption = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            metavar="PRECISION",
            help=f"Only this precision, {', '.join(QUANTIZED)}, instead of the recipe's, or of "
            "int8; may be given again.",
        ),
    ] = None,
    adapted: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Make them of these weights, of `landmint qat`."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Tell what each layer loses to INT8 and where engines part, on validation faces; "
            "writes explain.json into the bundle. Takes minutes.",
        ),
    ] = False,
    fallback_budget: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            min=0.0,
            help="Try cures, measured on the target, until NME rises by at most so many points "
            "over the float student: other ranges, corrected weights, layers in float; explains "
            "as well.",
        ),
    ] = None,
) -> int:
    """Add INT8 forms to a bundle, calibrated on training faces.

    The calibration set may share no image and no person with the test faces.

    Examples:
        landmint quantize bundle --recipe demo --out int8-bundle
        landmint quantize bundle --recipe demo --adapted q/model.safetensors --out b
        landmint quantize bundle --faces /data/my-300w --out int8-bundle --explain
        landmint quantize bundle --recipe r.toml --out int8-bundle --fallback-budget 0.05
        landmint quantize bundle --recipe demo --out b --format tflite --precision int16x8
    """
    from landmint import api
    from landmint.pipeline.cures import print_searches
    from landmint.pipeline.progress import Screen
    from landmint.pipeline.tables import print_explanation

    settings = None if recipe is None else api.load_recipe(recipe)
    config = settings.quantize if settings else api.QuantizeConfig()
    options: dict[str, object] = {"explain": True} if explain else {}
    options |= chosen_formats(formats) | _chosen_precisions(precisions)
    options |= {} if fallback_budget is None else {"fallback_budget": fallback_budget}
    config = config.model_copy(update=options)
    with Screen().bar("quantize") as bar:
        quantized = api.quantize(
            bundle,
            out,
            config=config,
            recipe=settings,
            faces=faces,
            adapted=adapted,
            progress=bar,
        )
    if quantized.explanation is not None:
        print_explanation(quantized.explanation)
    code = print_searches(quantized.searches, config) if quantized.searches else 0
    missing = print_bundle(quantized.bundle)
    return code or missing


def _chosen_precisions(names: list[str] | None) -> dict[str, tuple[str, ...]]:
    """The setting that `--precision` changes; empty where it is not given."""
    for name in names or ():
        if name not in QUANTIZED:
            raise LandmintError(f"unknown precision '{name}'", choices=QUANTIZED)
    return {"precisions": tuple(names)} if names else {}
