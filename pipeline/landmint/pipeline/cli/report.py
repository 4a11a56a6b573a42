"""`landmint report`: the page about a run."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; report.html in the run's folder.")
    ] = None,
) -> None:
    """Write what was built and measured as one self-contained HTML page.

    Examples:
        landmint report runs/demo --out demo.html
    """
    from landmint.pipeline.lock import hold
    from landmint.pipeline.places import REPORT_FILE
    from landmint.pipeline.progress import Screen
    from landmint.pipeline.report import write_report
    from landmint.runtime.bundle import Bundle

    Bundle.open(run / "bundle", verify=False)  # before the lock, which makes folders
    page = out or run / REPORT_FILE
    with hold(page, Screen()):
        write_report(run, page)
    print(page)
