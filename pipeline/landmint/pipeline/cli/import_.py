"""`landmint import`: a network of somebody else's becomes a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import FacesOption, RecipeOption


def import_(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.")],
    contract: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="TOML that says what the network takes and what it returns."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The bundle's folder.")],
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
        landmint import net.onnx --contract contract.toml --out bundle
        landmint import net.onnx --contract c.toml --format tflite --out bundle
        landmint import net.onnx --contract c.toml --faces /data/my-300w --out bundle
    """
    from landmint import api
    from landmint.pipeline.progress import Screen
    from landmint.runtime.errors import LandmintError
    from landmint.runtime.formats import FORMATS

    settings = None if recipe is None else api.load_recipe(recipe)
    config = settings.export if settings else api.ExportConfig()
    for unknown in set(formats or ()) - set(FORMATS):
        raise LandmintError(f"unknown format '{unknown}'", choices=FORMATS)
    if formats:
        config = config.model_copy(update={"formats": tuple(formats)})
    with Screen().bar("import") as bar:
        bundle = api.import_(
            model, contract, out, config=config, recipe=settings, faces=faces, progress=bar
        )
    print(bundle.path)
    return 0
