"""`landmint data check`: a whole data set, examined."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from landmint.pipeline.cli.command import RecipeOption, SplitOption


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
    orientation: Annotated[
        str | None,
        typer.Option(help="What labels refer to: stored pixels, or exif, the picture as seen."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A network that is asked about labels; none for none. By default a shipped one "
            "of the markup, from 20 faces on.",
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
        landmint data check /data/photographs --kind coco --train labels.json --orientation exif
    """
    options = {
        "kind": kind,
        "markup": markup,
        "train": tuple(train or ()),
        "val": tuple(val or ()),
        "test": tuple(test or ()),
        "images": images,
        "person_pattern": person_pattern,
        "orientation": orientation,
    }
    given = {key: value for key, value in options.items() if value not in (None, ())}
    return _check(root, recipe, given, model, out)


def _check(
    root: Path | None,
    recipe_path: Path | None,
    given: Mapping[str, object],
    network: str | None,
    out: Path,
) -> int:
    """Examine a folder, or a recipe's data set, with settings given instead of its own."""
    from landmint.pipeline.data_check import check_faces, settings, splits_there
    from landmint.pipeline.given import recipe_on, run_with_faces
    from landmint.pipeline.progress import Screen
    from landmint.runtime.errors import LandmintError
    from landmint.train.faces.readers import SPLITS, FacesConfig

    if root is None and recipe_path is None:
        raise LandmintError("no data set is given", remedy="add its folder, or --recipe RECIPE")
    named = [split for split in SPLITS if split in given]
    if recipe_path is not None:
        with Screen().bar("faces") as bar:
            run = run_with_faces(recipe_on(recipe_path, root), bar)
        return check_faces(settings(run.faces_config, given), named or SPLITS, out, network)
    config = settings(FacesConfig(kind="300w", root=root or Path()), given)
    return check_faces(config, named or splits_there(config), out, network)
