"""The stage of quantisation-aware training: the trained student is trained on for INT8."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.pipeline.steps.bundles import QUANTIZERS, quantize_settings
from landmint.pipeline.steps.weights import (
    check_student_weights,
    student_plan,
    student_settings,
    training_summary,
    weights_outcome,
)
from landmint.runtime.machine import installed
from landmint.runtime.progress import Progress


def _settings(run: Run) -> Mapping[str, Any]:
    assert run.recipe.qat is not None
    return {
        "qat": run.recipe.qat.model_dump(mode="json"),
        "quantize": quantize_settings(run.recipe.quantize),
        "tools": installed(QUANTIZERS),
        **student_settings(run),
    }


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.quantize.qat.adapt import adapt_network

    recipe = run.recipe
    assert recipe.qat is not None
    student = run.place(run.trained) / WEIGHTS
    adapt_network(student_plan(run), recipe.qat, recipe.quantize, student, place, bar)


QAT = Stage(
    name="qat",
    revision=3,
    needs=lambda run: ("faces", *run.taught, run.trained),
    settings=_settings,
    check=check_student_weights,
    wanted=lambda run: run.recipe.qat is not None,
    work=_work,
    outcome=weights_outcome,
    summary=training_summary,
    resumes=True,
)
