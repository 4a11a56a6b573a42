"""The stage of the measurements: every variant of the bundle, on the test faces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.runtime.bundle import Bundle
from landmint.runtime.machine import identify
from landmint.runtime.measurement import read_measurements
from landmint.runtime.progress import Progress


def measure_settings(run: Run) -> Mapping[str, Any]:
    """What decides a measurement: how it is taken, and on which machine."""
    machine = identify().to_json()
    this_machine = {key: machine[key] for key in ("cpu", "architecture", "cores", "packages")}
    return {"measure": run.recipe.measure.model_dump(mode="json"), "machine": this_machine}


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.pipeline.measuring import measure_into

    bundle = Bundle.open(run.place("bundle"), plans=True)  # this run made it
    measure_into(place, bundle, run.faces("test"), run.recipe.measure, (), bar)
    run.describe()


def _summary(place: Path) -> str:
    measurements = read_measurements(place)
    missing = [each.variant for each in measurements if each.status != "measured"]
    summary = f"{len(measurements) - len(missing)} variants measured"
    return f"{summary}; not measured: {', '.join(missing)}" if missing else summary


MEASUREMENTS = Stage(
    name="measurements",
    revision=2,
    needs=lambda run: ("faces", "bundle"),
    settings=measure_settings,
    work=_work,
    summary=_summary,
)
