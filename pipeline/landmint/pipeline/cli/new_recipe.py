"""`landmint new-recipe`: a recipe for one's own faces."""

from pathlib import Path
from typing import Annotated

import typer


def new_recipe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the recipe: NAME.toml.")],
    faces: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The data set's folder; see docs/adding-a-dataset.md."),
    ],
    like: Annotated[
        str,
        typer.Option(
            metavar="RECIPE",
            help="The shipped recipe to take over; see `landmint recipes` and `landmint zoo`.",
        ),
    ] = "own-faces",
    kind: Annotated[
        str | None, typer.Option(help="The data set's reader, if the folder does not tell.")
    ] = None,
    markup: Annotated[
        str | None, typer.Option(help="Landmark scheme, if the first face does not tell.")
    ] = None,
) -> None:
    """Write a recipe for your own faces: network and training of a shipped one, your data set.

    The kind of data set is told by how the folder is laid out, the landmark scheme by its first
    face. NAME.toml is written into the working directory; nothing is overwritten.

    Examples:
        landmint new-recipe mine --faces my-faces
        landmint new-recipe mine --faces my-faces --like zoo/simcc
        landmint new-recipe mine --faces /data/wflw --like pipnet-lite0-ytf68
    """
    from landmint.pipeline.new_recipe import write_new_recipe
    from landmint.train.faces.recognise import recognise

    config = recognise(faces, kind, markup)
    path = write_new_recipe(name, like, config)
    print(f"{path}: like {like}, on {config.kind} faces in {faces}, markup {config.markup}")
    print(f"next: landmint data check --recipe {path}\n      landmint run {path}")
