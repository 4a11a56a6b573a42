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
    from landmint import api

    print(api.report(run, out))
