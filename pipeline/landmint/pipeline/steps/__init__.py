"""The stages of a run, a file each.

A stage is one object: name, revision, what it needs, settings, work, outcome, summary. What decides
which of them have to run is `landmint.pipeline.driver`; no stage imports it.
"""

import importlib

from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage

STAGES: tuple[str, ...] = (
    "landmint.pipeline.steps.faces:FACES",
    "landmint.pipeline.steps.teacher:TEACHER",
    "landmint.pipeline.steps.student:STUDENT",
    "landmint.pipeline.steps.self_training:SELF_TRAINING",
    "landmint.pipeline.steps.qat:QAT",
    "landmint.pipeline.steps.float_bundle:FLOAT_BUNDLE",
    "landmint.pipeline.steps.bundle:BUNDLE",
    "landmint.pipeline.steps.measurements:MEASUREMENTS",
    "landmint.pipeline.steps.verdict:VERDICT",
    "landmint.pipeline.steps.report:REPORT",
)
"""Module and name of every stage, in the order of the work."""


def stages_of(run: Run) -> tuple[Stage, ...]:
    """The stages that a run's recipe asks for, in their order."""
    return tuple(stage for stage in map(_stage, STAGES) if stage.wanted(run))


def _stage(path: str) -> Stage:
    module, _, name = path.partition(":")
    stage: Stage = getattr(importlib.import_module(module), name)
    return stage
