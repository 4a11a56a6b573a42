"""The stage of the verdict: the measurements, judged by the recipe's limits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.pipeline.places import VERDICT_FILE
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.runtime.files import read_json
from landmint.runtime.progress import Progress


def _settings(run: Run) -> Mapping[str, Any]:
    # As text: a later pattern counts for less than an earlier one, and digests sort keys.
    limits = json.dumps(run.recipe.gate.model_dump(mode="json"))
    return {"gate": limits, "title": run.recipe.name}


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.pipeline.judge.verdicts import judge_measurements

    bar.step("judging")
    limits = run.recipe.gate.limits
    judge_measurements(run.place("measurements"), limits, run.recipe.name).write(place)
    run.describe()


def _summary(place: Path) -> str:
    return f"{read_json(place / VERDICT_FILE)['summary']}; see {place / 'verdict.md'}"


VERDICT = Stage(
    name="verdict",
    revision=4,
    needs=lambda run: ("measurements",),
    settings=_settings,
    work=_work,
    summary=_summary,
)
