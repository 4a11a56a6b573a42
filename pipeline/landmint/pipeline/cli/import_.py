"""`landmint import`: a network of somebody else's becomes a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, RecipeOption, print_bundle


def import_(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="An ONNX, TFLite or TorchScript file, the .xml of an OpenVINO IR, or "
            "package.module:function, which is called and returns a PyTorch network.",
        ),
    ],
    contract: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="TOML that says what the network takes and what it returns."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The bundle's folder.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Safetensors for the network of package.module:function."
        ),
    ] = None,
    draft: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Build nothing; look at the network and draft that TOML, for you to correct.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT", help="Make this form; may be given again. All by default."
        ),
    ] = None,
    recipe: RecipeOption = None,
    faces: FacesOption = None,
) -> int:
    """Turn a network that was trained elsewhere into a bundle, in every float form.

    The file stays in the bundle as it came, and is what every form is compared with. From then on
    every verb that takes a bundle works on it as on a network of landmint's own.

    Examples:
        landmint import net.onnx --draft contract.toml
        landmint import net.onnx --contract contract.toml --out bundle
        landmint import net.onnx --contract c.toml --format tflite --out bundle
        landmint import net.onnx --contract c.toml --faces /data/my-300w --out bundle
        landmint import net.pt --contract c.toml --out bundle
        landmint import my_net:build --weights w.safetensors --contract c.toml --out b
    """
    from landmint import api
    from landmint.pipeline.progress import Screen
    from landmint.runtime.errors import LandmintError
    from landmint.runtime.formats import FORMATS

    if draft is not None:
        return _draft(model, weights, draft)
    if contract is None or out is None:
        raise LandmintError(
            "no contract is given" if contract is None else "no folder is given for the bundle",
            remedy="draft one with --draft FILE, correct it, then add --contract FILE --out FOLDER",
        )
    settings = None if recipe is None else api.load_recipe(recipe)
    config = settings.export if settings else api.ExportConfig()
    for unknown in set(formats or ()) - set(FORMATS):
        raise LandmintError(f"unknown format '{unknown}'", choices=FORMATS)
    if formats:
        config = config.model_copy(update={"formats": tuple(formats)})
    with Screen().bar("import") as bar:
        bundle = api.import_(
            model,
            contract,
            out,
            weights=weights,
            config=config,
            recipe=settings,
            faces=faces,
            progress=bar,
        )
    return print_bundle(bundle)


def _draft(model: str, weights: Path | None, draft: Path) -> int:
    """Write a drafted contract; what stands there already is not replaced."""
    from landmint import api
    from landmint.runtime.errors import LandmintError
    from landmint.runtime.files import write_text

    if draft.exists():
        raise LandmintError(
            f"{draft} exists already",
            reason="somebody may have corrected it",
            remedy="remove it, or give another file",
        )
    write_text(draft, api.draft_contract(model, weights=weights))
    print(draft)
    return 0
