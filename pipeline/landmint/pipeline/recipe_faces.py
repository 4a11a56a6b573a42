"""Whether a recipe's faces can carry the run: there are enough, and the splits are apart.

Asked before the first stage runs, so that too few calibration faces are not found after the
teacher's hours. Annotations are read, no image is decoded.
"""

from collections.abc import Mapping
from pathlib import Path

from landmint.pipeline.recipe import Recipe
from landmint.runtime.errors import LandmintError
from landmint.train.faces.apart import read_apart
from landmint.train.faces.readers import SPLITS, FacesConfig, Split


def check_recipe_faces(recipe: Recipe, config: FacesConfig) -> None:
    """Refuse faces that some stage could not work with.

    Args:
        recipe: what the faces are for.
        config: its data set, with the folder.

    Raises:
        LandmintError: a split is empty, the training faces are too few for a batch or for the
            calibration, two splits share faces, or the data set is missing or malformed.
    """
    counts = _counts(config)
    for split, count in counts.items():
        if count == 0:
            raise LandmintError(
                f"there are no {split} faces",
                reason="a run needs some to train on, to choose the weights on and to measure on",
                remedy=f"correct faces.{split} in the recipe",
            )
    roles = {"teacher": recipe.teacher, "student": recipe.student}
    for role, network in roles.items():
        if network and counts["train"] < network.fit.batch_size * network.fit.devices:
            raise LandmintError(
                f"{counts['train']} training faces do not fill one batch of the {role}",
                reason=f"{role}.fit.batch_size is {network.fit.batch_size}, on "
                f"{network.fit.devices} device(s)",
                remedy="lower it, or add faces",
            )
    wanted = recipe.quantize
    if wanted.formats and counts["train"] < wanted.size:
        raise LandmintError(
            f"{wanted.size} calibration faces are asked for, there are {counts['train']} training "
            "faces to choose from",
            reason="INT8 is calibrated on training faces",
            remedy="lower quantize.size in the recipe, or add faces",
        )


def _counts(config: FacesConfig) -> Mapping[Split, int]:
    """Number of faces by split. Synthetic faces are apart as they are drawn."""
    if config.kind != "synthetic":
        return {split: len(faces) for split, faces in read_apart(config, SPLITS, Path()).items()}
    drawn = config.synthetic.counts
    return {split: min(drawn[split], config.limits.get(split, drawn[split])) for split in SPLITS}
