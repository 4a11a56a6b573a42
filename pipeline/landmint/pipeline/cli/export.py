"""`landmint export`: a trained network in every float form; or what targets have against it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landmint.pipeline.cli.command import (
    FacesOption,
    FormatsOption,
    ModelArgument,
    RecipeOption,
    chosen_formats,
    print_bundle,
)

if TYPE_CHECKING:
    from landmint.api import ExportConfig


def export(
    model: ModelArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="The bundle's folder; with --lint that of lint.sarif, none by default."),
    ] = None,
    recipe: RecipeOption = None,
    faces: FacesOption = None,
    formats: FormatsOption = None,
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
    one that differs is refused. ncnn and Core ML are made where they are asked for. What cannot be
    made is named with the reason, all else is made; the exit code is then 3.

    Examples:
        landmint export pipnet-mbv3 --out bundle
        landmint export runs/demo/student/model.safetensors --recipe demo --out b
        landmint export model.safetensors --faces /data/my-300w --out bundle
        landmint export pipnet-mbv3 --format ncnn --format tflite --out bundle
        landmint export pipnet-mbv3 --format coreml --out bundle
        landmint export --lint runs/demo/bundle
        landmint export --lint net.onnx --out lint
    """
    if lint:
        return _lint(model, recipe, formats, out)
    from landmint.runtime.errors import LandmintError

    if out is None:
        raise LandmintError(
            "no folder is given for the bundle", remedy="add --out FOLDER, or --lint to look only"
        )
    from landmint import api
    from landmint.pipeline.progress import Screen

    with Screen().bar("export") as bar:
        bundle = api.export(
            model, out, config=_config(recipe, formats), recipe=recipe, faces=faces, progress=bar
        )
    return print_bundle(bundle)


def _config(recipe: Path | None, formats: list[str] | None) -> "ExportConfig":
    from landmint import api

    config = api.ExportConfig() if recipe is None else api.load_recipe(recipe).export
    return config.model_copy(update=chosen_formats(formats))


def _lint(model: str, recipe: Path | None, formats: list[str] | None, out: Path | None) -> int:
    """Print what targets have against a model; 2 when something will not build or is wrong."""
    from landmint import api
    from landmint.pipeline.linting import print_findings, write_lint

    by_artefact = api.lint(model, config=_config(recipe, formats))
    print_findings(by_artefact)
    if out is not None:
        write_lint(out, Path(model), by_artefact)
    every = [finding for findings in by_artefact.values() for finding in findings]
    return 2 * any(finding.severity == "error" for finding in every)
