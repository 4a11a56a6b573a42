"""`landmint quantize`: a bundle with INT8 forms as well."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, RecipeOption

if TYPE_CHECKING:
    from landmint.quantize.config import QuantizeConfig


def quantize(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A float bundle.")],
    out: Annotated[Path, typer.Option(help="The new bundle's folder.")],
    recipe: RecipeOption = None,
    faces: FacesOption = None,
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
            help="Search for layers to keep in float, measured on the target, until NME rises by "
            "at most so many points over the float student; explains as well.",
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
    """
    return _quantize(bundle, out, recipe, faces, adapted, explain, fallback_budget)


def _quantize(
    path: Path,
    out: Path,
    recipe_path: Path | None,
    root: Path | None,
    weights: Path | None,
    explain: bool,
    fallback_budget: float | None,
) -> int:
    """Returns 0, or after a search for layers to keep in float the gate's code for the choice."""
    from landmint.pipeline.cli.given import given_faces
    from landmint.pipeline.fallback import print_searches
    from landmint.pipeline.lock import hold
    from landmint.pipeline.progress import Screen
    from landmint.pipeline.quantizing import quantize_into
    from landmint.pipeline.tables import print_explanation
    from landmint.runtime.bundle import Bundle
    from landmint.train.faces.readers import Split

    bundle, screen = Bundle.open(path), Screen()
    config = _config(recipe_path, weights, explain, fallback_budget)
    splits: tuple[Split, ...] = ("train", "test")
    splits += ("val",) if config.explains or weights else ()
    recipe, sets = given_faces(recipe_path, root, bundle.manifest.contract.markup, splits)
    with hold(out, screen), screen.bar("quantize") as bar:
        quantized = quantize_into(out, bundle, sets, config, recipe, weights, bar)
    if quantized.explanation is not None:
        print_explanation(quantized.explanation)
    code = print_searches(quantized.searches, config) if quantized.searches else 0
    print(out)
    return code


def _config(
    recipe_path: Path | None, weights: Path | None, explain: bool, fallback_budget: float | None
) -> "QuantizeConfig":
    """The recipe's settings, with those of the options.

    Raises:
        LandmintError: the recipe is wrong, or the options do not fit each other.
    """
    from landmint.pipeline.recipe import load_recipe
    from landmint.quantize.config import QuantizeConfig
    from landmint.runtime.errors import LandmintError

    config = load_recipe(recipe_path).quantize if recipe_path else QuantizeConfig()
    options: dict[str, object] = {"explain": True} if explain else {}
    options |= {} if fallback_budget is None else {"fallback_budget": fallback_budget}
    config = config.model_copy(update=options)
    if weights is not None and config.fallback_budget is not None:
        raise LandmintError(
            "no fallback is searched for with adapted weights",
            reason="they were trained with the layers rounded that the recipe rounds",
            remedy="leave --fallback-budget away, or set quantize.float_layers and train again",
        )
    return config
