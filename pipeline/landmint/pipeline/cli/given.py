"""The recipe and the faces that a verb was given: those of a recipe, of a folder, or of both.

Synthetic faces of a recipe are drawn where `landmint run` would have them.
"""

from collections.abc import Sequence
from pathlib import Path

from landmint.pipeline.driver import draw_faces
from landmint.pipeline.places import RUNS
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.run import Run
from landmint.runtime.errors import LandmintError
from landmint.train.faces.apart import read_apart
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import FacesConfig, Split, load_faces


def recipe_on(path: Path, root: Path | None) -> Recipe:
    """A recipe, on the faces in another folder if one is given.

    Raises:
        LandmintError: it cannot be read or is wrong.
    """
    recipe = load_recipe(path)
    return recipe if root is None else recipe.with_faces(root)


def run_with_faces(recipe: Recipe, screen: Screen) -> Run:
    """The run of a recipe, its synthetic faces drawn.

    Raises:
        LandmintError: they cannot be drawn.
    """
    run = Run(recipe, RUNS / recipe.name)
    if recipe.faces.kind == "synthetic":
        draw_faces(run, screen)
    return run


def learning_faces(recipe: Recipe, screen: Screen) -> dict[Split, FaceSet]:
    """The faces that a network is trained and chosen on.

    Raises:
        LandmintError: they cannot be read, or training and validation faces are not apart.
    """
    run = run_with_faces(recipe, screen)
    splits: tuple[Split, ...] = ("train", "val")
    read_apart(run.faces_config, splits, Path())
    return {split: run.faces(split) for split in splits}


def given_faces(
    recipe_path: Path | None, root: Path | None, markup: str, splits: Sequence[Split]
) -> tuple[Recipe | None, dict[Split, FaceSet]]:
    """The recipe, if one is given, and faces: of the recipe, of a folder, or of both.

    Raises:
        LandmintError: neither is given, or the faces cannot be read.
    """
    if recipe_path is not None:
        recipe = recipe_on(recipe_path, root)
        run = run_with_faces(recipe, Screen())
        return recipe, {split: run.faces(split) for split in splits}
    if root is None:
        raise LandmintError(
            "no faces are given",
            reason="this verb works on real crops",
            remedy="add --recipe RECIPE, or --faces ROOT for a folder in 300W layout",
        )
    config = FacesConfig(kind="300w", root=root.absolute(), markup=markup)
    return None, {split: load_faces(config, split, Path()) for split in splits}
