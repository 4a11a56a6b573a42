"""The stage of the report: the page about all that was built and measured."""

from pathlib import Path

from landmint.pipeline.places import REPORT_FILE
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage
from landmint.runtime.progress import Progress


def _needs(run: Run) -> tuple[str, ...]:
    return ("faces", *run.networks, *run.adapted, "bundle", "measurements", "verdict")


def _work(run: Run, place: Path, bar: Progress) -> None:
    from landmint.pipeline.report import write_report

    bar.step("drawing")
    run.describe()  # the page shows it
    write_report(run.folder, place)


REPORT = Stage(
    name="report",
    revision=3,
    needs=_needs,
    settings=lambda run: run.about,
    place=lambda run, key: run.folder / REPORT_FILE,
    work=_work,
    summary=str,
)
