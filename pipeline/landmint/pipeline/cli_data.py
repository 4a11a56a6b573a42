"""The verbs of `landmint data`, their options and their help."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli_app import RecipeOption, verb

data = typer.Typer(help="Look at a data set before training on it.", no_args_is_help=True)

SplitOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Folder or file of this split; may be given again."),
]


@functools.partial(verb, group=data)
def check(
    root: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The data set's folder.")
    ] = None,
    recipe: RecipeOption = None,
    kind: Annotated[
        str | None, typer.Option(help="The reader, 300w by default; see docs/adding-a-dataset.md.")
    ] = None,
    markup: Annotated[
        str | None, typer.Option(help="Landmark scheme, 68 by default: 68, 98, 29, 19 or 106.")
    ] = None,
    train: SplitOption = None,
    val: SplitOption = None,
    test: SplitOption = None,
    images: Annotated[
        str | None, typer.Option(help="Folder under DIR to which image paths refer.")
    ] = None,
    person_pattern: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Finds the person in an image's name.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A network trained on such faces: tells also whether labels lean to one side.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The contact sheet: strange faces, then a random sample.")
    ] = Path("data-check.jpg"),
) -> int:
    """Read a whole data set; report counts, broken rows, leaks between splits, strange faces.

    The options mean what their keys mean in a recipe's faces table. Exit code 2 where something is
    broken: a row, an image, left and right, a person or a picture in two splits.

    Examples:
        landmint data check /data/my-300w --person-pattern '^(.+)_'
        landmint data check /data/cofw --kind cofw --markup 29 --test COFW_test_color.mat
        landmint data check --recipe pfld-ytf68
        landmint data check /data/my-300w --model runs/mine/student/model.safetensors
    """
    from landmint.pipeline import verbs

    settings = {
        "kind": kind,
        "markup": markup,
        "train": tuple(train or ()),
        "val": tuple(val or ()),
        "test": tuple(test or ()),
        "images": images,
        "person_pattern": person_pattern,
    }
    given = {key: value for key, value in settings.items() if value not in (None, ())}
    return verbs.data_check(root, recipe, given, model, out)
