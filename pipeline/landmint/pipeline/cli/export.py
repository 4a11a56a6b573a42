"""`landmint export`: a trained network in every float form; or what targets have against it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, ModelArgument, RecipeOption

if TYPE_CHECKING:
    from landmint.pipeline.recipe import Recipe
    from landmint.runtime.progress import Progress
    from landmint.train.faces.face import FaceSet


def export(
    model: ModelArgument,
    out: Annotated[Path | None, typer.Option(help="The bundle's folder.")] = None,
    recipe: RecipeOption = None,
    faces: FacesOption = None,
    lint: Annotated[
        bool,
        typer.Option(
            "--lint",
            help="Build nothing; say what each target will not do, or do badly, with a network, "
            "a bundle or an ONNX file. Exit code 2 when something will not work.",
        ),
    ] = False,
) -> int:
    """Turn a trained network into ONNX, OpenVINO, TFLite and TensorRT, in one bundle.

    Each float32 form is compared with the network on crops, of drawn faces where none are given;
    one that differs is refused.

    Examples:
        landmint export pipnet-mbv3 --out bundle
        landmint export runs/demo/student/model.safetensors --recipe demo --out b
        landmint export model.safetensors --faces /data/my-300w --out bundle
        landmint export --lint runs/demo/bundle
    """
    if lint:
        return _lint(model, recipe)
    from landmint.runtime.errors import LandmintError

    if out is None:
        raise LandmintError(
            "no folder is given for the bundle", remedy="add --out FOLDER, or --lint to look only"
        )
    _export(model, out, recipe, faces)
    return 0


def _lint(given: str, recipe_path: Path | None) -> int:
    """Print what targets have against a model; 2 when something will not build or is wrong."""
    from landmint.export.config import ExportConfig
    from landmint.pipeline.linting import lint_path, print_findings
    from landmint.pipeline.recipe import load_recipe
    from landmint.train.zoo import find_model

    path = find_model(given)
    config = load_recipe(recipe_path).export if recipe_path else ExportConfig()
    by_target = lint_path(path, config.formats)
    print_findings(by_target)
    every = [finding for findings in by_target.values() for finding in findings]
    return 2 * any(finding.severity == "error" for finding in every)


def _export(given: str, out: Path, recipe_path: Path | None, root: Path | None) -> None:
    """Export a network, and print where the bundle is."""
    from landmint.export.bundle_export import export_bundle
    from landmint.export.config import ExportConfig
    from landmint.pipeline.lock import hold
    from landmint.pipeline.progress import Screen
    from landmint.runtime.files import sha256_file
    from landmint.train.models import load_model
    from landmint.train.zoo import find_model

    checkpoint, screen = find_model(given), Screen()
    model = load_model(checkpoint)
    provenance = {"checkpoint_sha256": sha256_file(checkpoint)}
    with (
        hold(out, screen),
        screen.bar("export") as bar,
        _parity_faces(recipe_path, root, model.contract.markup, bar) as (recipe, faces),
    ):
        config = recipe.export if recipe else ExportConfig()
        provenance |= {"recipe": recipe.name} if recipe else {}
        export_bundle(model, faces, config, out, provenance, bar)
    print(out)


@contextmanager
def _parity_faces(
    recipe_path: Path | None, root: Path | None, markup: str, bar: "Progress"
) -> Iterator[tuple["Recipe | None", "FaceSet"]]:
    """The recipe, and faces to compare the forms on: drawn ones where none are given."""
    from landmint.export.config import ExportConfig
    from landmint.pipeline.cli.given import given_faces
    from landmint.pipeline.reference import draw_faces
    from landmint.runtime.scratch import scratch_folder
    from landmint.train.faces.readers import SyntheticConfig

    if recipe_path is not None or root is not None:
        recipe, sets = given_faces(recipe_path, root, markup, ("val",))
        yield recipe, sets["val"]
        return
    bar.step("drawing faces to compare the forms on")
    drawn = SyntheticConfig(train=0, val=ExportConfig().parity_faces, test=0)
    with scratch_folder() as scratch:
        yield None, draw_faces(scratch, markup, drawn)["val"]
