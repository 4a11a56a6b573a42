"""The stage of the bundle: the float bundle with INT8 as well, calibrated on training faces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.pipeline.steps.bundles import (
    QUANTIZERS,
    bundle_outcome,
    bundle_summary,
    quantize_settings,
)
from landmint.pipeline.steps.measurements import measure_settings
from landmint.runtime.bundle import Bundle
from landmint.runtime.machine import installed
from landmint.runtime.progress import Progress
from landmint.train.faces.readers import SPLITS


def _settings(run: Run) -> Mapping[str, Any]:
    recipe = run.recipe
    settings = {"quantize": quantize_settings(recipe.quantize), "tools": installed(QUANTIZERS)}
    if recipe.qat:
        settings["qat"] = recipe.qat.model_dump(mode="json")
    if recipe.quantize.fallback_budget is not None:  # candidates are measured
        settings |= measure_settings(run)
    return settings


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.pipeline.quantizing import quantize_into

    recipe, source = run.recipe, Bundle.open(run.place("float-bundle"))
    faces = {split: run.faces(split) for split in SPLITS}
    weights = run.place("qat") / WEIGHTS if recipe.qat else None
    quantize_into(place, source, faces, recipe.quantize, recipe, weights, bar)


BUNDLE = Stage(
    name="bundle",
    revision=7,
    needs=lambda run: ("faces", "float-bundle", *run.adapted),
    settings=_settings,
    work=_work,
    outcome=bundle_outcome,
    summary=bundle_summary,
)
