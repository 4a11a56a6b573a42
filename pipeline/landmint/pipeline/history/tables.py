"""A history as a table on the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmint.pipeline.history.series import Row
from landmint.pipeline.judge.figures import LATENCY, NME
from landmint.pipeline.text import NONE, milliseconds, number


def print_rows(rows: Sequence[Row]) -> None:
    """Print a line for each measurement, and how many there are."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("no.", LATENCY.heading, NME.heading):
        table.add_column(column, justify="right")
    for column in ("session", "model", "variant", "machine", "runtime", "revision"):
        table.add_column(column, overflow="fold")
    for row in rows:
        figures = (milliseconds(row.latency_ms), number(row.nme_percent, NME.digits))
        words = (row.session, row.model, row.variant, row.machine, row.runtime, row.revision[:10])
        table.add_row(str(row.number), *figures, *(escape(word) or NONE for word in words))
    console = Console()
    if rows:
        console.print(table)
    console.print(f"{len(rows)} measurements", highlight=False)
