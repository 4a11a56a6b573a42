"""INT8 forms for a bundle, of its own weights or of weights that were adapted to INT8."""

from collections.abc import Mapping
from pathlib import Path

from landmint.export.bundle_export import export_bundle
from landmint.export.config import ExportConfig
from landmint.pipeline.recipe import Recipe
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decision import RANGES
from landmint.runtime.bundle import Bundle
from landmint.runtime.files import sha256_file
from landmint.runtime.progress import Progress
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import Split
from landmint.train.models import load_model


def quantize_into(
    folder: Path,
    bundle: Bundle,
    faces: Mapping[Split, FaceSet],
    config: QuantizeConfig,
    recipe: Recipe | None,
    weights: Path | None,
    bar: Progress,
) -> None:
    """Write a bundle with the INT8 forms as well.

    Args:
        folder: of the new bundle.
        bundle: the float bundle.
        faces: to calibrate on ("train"), to keep apart from those ("test"), and with `weights`
            for the crops of their parity check ("val").
        config: which forms, and how they are calibrated.
        recipe: what the weights were adapted with, if that is known.
        weights: what INT8 is made of instead of the bundle's own weights, in the ranges beside
            them; of quantisation-aware training.
        bar: told of each step.

    Raises:
        LandmintError: calibration and test faces overlap, the weights are those of another
            network, or a converter failed.
    """
    with scratch_folder() as scratch:
        adapted = None
        if weights is not None:
            config = config.model_copy(update={"ranges": weights.parent / RANGES})
            adapted = _export_adapted(weights, recipe, faces["val"], scratch / "adapted", bar)
        quantize_bundle(bundle, faces["train"], faces["test"], config, folder, bar.step, adapted)


def _export_adapted(
    weights: Path, recipe: Recipe | None, faces: FaceSet, folder: Path, bar: Progress
) -> Bundle:
    """The float forms of adapted weights, for `quantize_bundle`."""
    provenance = {
        "settings": recipe.qat.model_dump(mode="json") if recipe and recipe.qat else {},
        "sha256": sha256_file(weights),
    }
    config = recipe.export if recipe else ExportConfig()
    return export_bundle(load_model(weights), faces, config, folder, provenance, bar.step)
