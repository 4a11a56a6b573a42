"""Whether a recipe's faces can carry the run: there are enough, and the splits are apart.

Asked before the first stage runs, so that too few calibration faces are not found after the
teacher's hours. Annotations are read, no image is decoded.
"""

from collections.abc import Collection
from pathlib import Path

from landmint.pipeline.run import Run
from landmint.runtime.errors import LandmintError
from landmint.train.faces.apart import read_apart, read_unlabelled, refuse_judges
from landmint.train.faces.readers import SPLITS, FacesConfig, Split

_CALIBRATE = ("qat", "bundle")


def check_recipe_faces(run: Run, stages: Collection[str]) -> None:
    """Refuse faces that some stage could not work with.

    Args:
        run: what the faces are for.
        stages: names of those that it shall go through.

    Raises:
        LandmintError: a split is empty, the training faces are too few for a batch or for the
            calibration, two splits share faces, unlabelled faces are among those that judge, or a
            data set is missing or malformed.
    """
    recipe = run.recipe
    config = run.faces_config
    # Synthetic faces are not there yet. They are apart as they are drawn.
    faces = {} if config.kind == "synthetic" else read_apart(config, SPLITS, Path())
    counts = {split: len(faces[split]) for split in faces} or _to_draw(config)
    if recipe.self_training and "self-training" in stages:
        judges = [face for split, some in faces.items() if split != "train" for face in some]
        _, _, unlabelled = read_unlabelled(run.unlabelled_config)
        refuse_judges(unlabelled, judges)
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
    calibrates = any(stage in stages for stage in _CALIBRATE)
    if calibrates and wanted.formats and counts["train"] < wanted.size:
        raise LandmintError(
            f"{wanted.size} calibration faces are asked for, there are {counts['train']} training "
            "faces to choose from",
            reason="INT8 is calibrated on training faces",
            remedy="lower quantize.size in the recipe, or add faces",
        )


def _to_draw(config: FacesConfig) -> dict[Split, int]:
    """Number of synthetic faces by split."""
    drawn = config.synthetic.counts
    return {split: min(drawn[split], config.limits.get(split, drawn[split])) for split in SPLITS}
