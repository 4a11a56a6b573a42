"""The command `landmint`: a file for each verb, with its options, its help and what it does.

`landmint --help` imports nothing heavy: a verb imports what it needs when it runs. Messages go to
the standard error, results to the standard output.
"""

import signal
from types import FrameType

from landmint.pipeline.cli import (
    data_check,
    distill,
    doctor,
    export,
    gate,
    history,
    import_,
    label,
    measure,
    models,
    new_recipe,
    predict,
    qat,
    quantize,
    recipes,
    report,
    run,
    targets,
    train,
    zoo,
)
from landmint.pipeline.cli.command import app, data, register, register_callback
from landmint.pipeline.cli.command import history as history_group
from landmint.pipeline.cli.command import targets as targets_group

__all__ = ["app", "main"]

VERBS = (
    run.run,
    train.train,
    distill.distill,
    label.label,
    qat.qat,
    export.export,
    import_.import_,
    quantize.quantize,
    measure.measure,
    gate.gate,
    report.report,
    predict.predict,
    models.models,
    recipes.recipes,
    zoo.zoo,
    new_recipe.new_recipe,
    doctor.doctor,
)
"""In the order of the work, as the help shows them."""

for _verb in VERBS:
    register(_verb, app, _verb.__name__.rstrip("_").replace("_", "-"))
register(data_check.check, data)
register_callback(targets.targets, targets_group)
register(targets.probe, targets_group)
register(targets.setup, targets_group)
register(history.add, history_group)
register(history.list_, history_group, "list")
register(history.show, history_group)
register(history.changes, history_group)
register(history.page, history_group)


def main() -> None:
    """Entry point of the command."""
    signal.signal(signal.SIGTERM, _terminated)
    app()


def _terminated(number: int, frame: FrameType | None) -> None:
    """A polite end from outside is treated as Ctrl-C."""
    raise KeyboardInterrupt
