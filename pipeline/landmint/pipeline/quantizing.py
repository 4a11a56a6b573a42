"""INT8 forms for a bundle, of its own weights or of weights that were adapted to INT8."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landmint.export.bundle_export import export_bundle
from landmint.export.config import ExportConfig
from landmint.pipeline.cures import measure_together, quantize_with, search_cures
from landmint.pipeline.judge.trial import Search
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.recipe import Recipe
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.cures import decisions, fallbacks
from landmint.quantize.decide.decision import RANGES
from landmint.quantize.explain.bundle_explain import explain
from landmint.quantize.explain.explanation import EXPLANATION, Explanation, write_explanation
from landmint.runtime.bundle import Bundle
from landmint.runtime.files import sha256_file
from landmint.runtime.formats import INT8, SOURCE
from landmint.runtime.progress import Progress
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import Split
from landmint.train.models import load_model


@dataclass(frozen=True)
class Quantized:
    """A bundle with INT8 forms, and what is known of them beside it."""

    bundle: Bundle
    """The bundle."""
    explanation: Explanation | None = None
    """Where INT8 loses; None where nobody asked."""
    searches: Sequence[Search] = ()
    """What was tried to keep the budget, by format; empty without a budget."""


def explain_into(folder: Path, faces: FaceSet, bar: Progress) -> Explanation:
    """Explain the bundle in a folder, and write what was found into that folder.

    Args:
        folder: of a bundle with onnx/float32 and onnx/int8.
        faces: labelled, neither calibrated nor judged on.
        bar: told of every layer.

    Raises:
        LandmintError: a variant is missing, or there are no faces.
    """
    explanation = explain(Bundle.open(folder, verify=False), faces, bar)
    write_explanation(folder / EXPLANATION, explanation)
    return explanation


def quantize_into(
    folder: Path,
    bundle: Bundle,
    faces: Mapping[Split, FaceSet],
    config: QuantizeConfig,
    recipe: Recipe | None,
    weights: Path | None,
    bar: Progress,
) -> Quantized:
    """Write a bundle with the INT8 forms as well; explain it where `config` asks for that.

    Where `config` has a fallback budget, cures are tried until INT8's NME rises by no more than
    that, as far as a search can tell. Without an INT8 form in ONNX, which was asked for and could
    not be made, nothing is explained nor tried.

    Args:
        folder: of the new bundle.
        bundle: the float bundle.
        faces: to calibrate on ("train"), to keep apart from those ("test"), and with `weights`
            for the crops of their parity check ("val"); to explain INT8 and to choose layers
            ("val").
        config: which forms, and how they are calibrated.
        recipe: says how candidates are measured, and what the weights were adapted with; the
            defaults without one.
        weights: what INT8 is made of instead of the bundle's own weights, in the ranges beside
            them; of quantisation-aware training.
        bar: told of each step.

    Raises:
        LandmintError: calibration and test faces overlap, or the weights are those of another
            network.
    """
    with scratch_folder() as scratch:
        adapted = None
        if weights is not None:
            config = config.model_copy(update={"ranges": weights.parent / RANGES})
            adapted = _export_adapted(weights, recipe, faces["val"], scratch / "adapted", bar)
        quantized = quantize_bundle(
            bundle, faces["train"], faces["test"], config, folder, bar, adapted
        )
    if not (config.explains and quantized.variant(f"{SOURCE}/{INT8}").files):
        return Quantized(quantized)
    explanation = explain_into(folder, faces["val"], bar)
    if config.fallback_budget is None:
        return Quantized(quantized, explanation)
    build = quantize_with(bundle, faces["train"], faces["test"], config)
    measuring = recipe.measure if recipe else MeasureConfig()
    measure, budget = measure_together(faces["val"], measuring, bar), config.fallback_budget / 100
    searches = search_cures(
        folder, decisions(config), lambda: fallbacks(explanation), budget, build, measure, bar
    )
    write_explanation(folder / EXPLANATION, explanation)  # the search writes the bundle anew
    return Quantized(Bundle.open(folder, verify=False), explanation, searches)


def _export_adapted(
    weights: Path, recipe: Recipe | None, faces: FaceSet, folder: Path, bar: Progress
) -> Bundle:
    """The float forms of adapted weights, for `quantize_bundle`."""
    provenance = {
        "settings": recipe.qat.model_dump(mode="json") if recipe and recipe.qat else {},
        "sha256": sha256_file(weights),
    }
    config = recipe.export if recipe else ExportConfig()
    return export_bundle(load_model(weights), faces, config, folder, provenance, bar)
