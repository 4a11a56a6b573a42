"""The stage of the float bundle: the deployed student in every float form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.pipeline.steps.bundles import CONVERTERS, bundle_outcome, bundle_summary
from landmint.pipeline.steps.weights import (
    distill_settings,
    settings_before,
    training_settings,
)
from landmint.runtime.files import sha256_file
from landmint.runtime.machine import installed
from landmint.runtime.progress import Progress
from landmint.train.faces.readers import SPLITS


def _settings(run: Run) -> Mapping[str, Any]:
    return {
        "export": run.recipe.export.model_dump(mode="json"),
        "origin": _origin(run),
        "tools": installed(CONVERTERS),
    }


def _origin(run: Run) -> dict[str, Any]:
    """What a manifest says of where the model comes from, as far as the recipe tells.

    No paths, no times and nothing of this machine: equal recipes say the same everywhere.
    """
    recipe = run.recipe
    origin = {
        "recipe": recipe.name,
        "about": recipe.about,
        "faces": {"kind": recipe.faces.kind},
        **{
            role: {"settings": training_settings(network, settings_before(run, role))}
            for role, network in run.networks.items()
        },
        "distill": distill_settings(run),
    }
    if recipe.self_training:
        settings = recipe.self_training.model_dump(mode="json", exclude={"faces"})
        origin["self_training"] = settings
    return origin


def _provenance(run: Run) -> dict[str, Any]:
    """Where a run's model comes from, for its manifest.

    Only what is the same whenever and wherever the run is made, interrupted or not: wall times and
    figures of a training stand in its history, beside its weights.
    """
    origin = _origin(run)
    for role in run.networks:
        origin[role]["sha256"] = sha256_file(run.place(role) / WEIGHTS)
    for split in SPLITS:
        faces = run.faces(split)
        about = {"faces": len(faces.faces), "fingerprint": faces.fingerprint}
        origin["faces"][split] = about
    return origin


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.export.bundle_export import export_bundle
    from landmint.train.models import load_model

    model = load_model(run.place(run.trained) / WEIGHTS)
    config, provenance = run.recipe.export, _provenance(run)
    export_bundle(model, run.faces("val"), config, place, provenance, bar)


FLOAT_BUNDLE = Stage(
    name="float-bundle",
    revision=4,
    needs=lambda run: ("faces", *run.networks),
    settings=_settings,
    work=_work,
    outcome=bundle_outcome,
    summary=bundle_summary,
)
