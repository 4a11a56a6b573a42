"""The recipe and the faces that a call was given: those of a recipe, of a folder, or of both.

Synthetic faces of a recipe are drawn where `landmint run` would have them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from landmint.pipeline.driver import draw_faces
from landmint.pipeline.places import RUNS
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.view import Relay
from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import Progress
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.apart import read_apart
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import FacesConfig, Split, SyntheticConfig, load_faces


def recipe_on(given: Recipe | str | Path, root: str | Path | None = None) -> Recipe:
    """A recipe, on the faces in another folder if one is given.

    Args:
        given: a recipe, its file, or the name of a shipped one.
        root: the data set's folder.

    Raises:
        LandmintError: it cannot be read or is wrong.
    """
    recipe = given if isinstance(given, Recipe) else load_recipe(Path(given))
    return recipe if root is None else recipe.with_faces(Path(root))


def run_with_faces(recipe: Recipe, progress: Progress) -> Run:
    """The run of a recipe, its synthetic faces drawn.

    Raises:
        LandmintError: they cannot be drawn.
    """
    run = Run(recipe, RUNS / recipe.name)
    if recipe.faces.kind == "synthetic":
        draw_faces(run, Relay(progress))
    return run


def learning_faces(recipe: Recipe, progress: Progress) -> dict[Split, FaceSet]:
    """The faces that a network is trained and chosen on.

    Raises:
        LandmintError: they cannot be read, or training and validation faces are not apart.
    """
    run = run_with_faces(recipe, progress)
    splits: tuple[Split, ...] = ("train", "val")
    read_apart(run.faces_config, splits, Path())
    return {split: run.faces(split) for split in splits}


def given_faces(
    recipe: Recipe | None,
    root: str | Path | None,
    markup: str,
    splits: Sequence[Split],
    progress: Progress,
) -> dict[Split, FaceSet]:
    """Faces of a recipe, or without one of a folder in 300W layout.

    Raises:
        LandmintError: neither is given, or the faces cannot be read.
    """
    if recipe is not None:
        run = run_with_faces(recipe, progress)
        return {split: run.faces(split) for split in splits}
    if root is None:
        raise LandmintError(
            "no faces are given",
            reason="this verb works on real crops",
            remedy="add --recipe RECIPE, or --faces ROOT for a folder in 300W layout",
        )
    config = FacesConfig(kind="300w", root=Path(root).absolute(), markup=markup)
    return {split: load_faces(config, split, Path()) for split in splits}


@contextmanager
def given_or_drawn_faces(
    recipe: Recipe | None,
    root: str | Path | None,
    markup: str,
    split: Split,
    count: int,
    progress: Progress,
) -> Iterator[FaceSet]:
    """Faces of a recipe or a folder; where neither is given, so many that are drawn.

    Raises:
        LandmintError: the faces cannot be read.
    """
    from landmint.pipeline.reference import draw_faces as draw_into

    if recipe is not None or root is not None:
        yield given_faces(recipe, root, markup, (split,), progress)[split]
        return
    counts = {"train": 0, "val": 0, "test": 0, split: count}
    with scratch_folder() as scratch:
        yield draw_into(scratch, markup, SyntheticConfig(**counts))[split]
