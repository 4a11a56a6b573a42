"""Measurements as a table on the terminal. The report has more."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from landmint.pipeline.report.summary import VariantSummary, summarise_run
from landmint.pipeline.report.text import mebibytes, milliseconds, percent
from landmint.pipeline.truth import TRUTH_FILE, read_truth
from landmint.runtime.markup import get_markup
from landmint.runtime.measurement import read_measurements

_COLUMNS = (
    *("NME, %", "rise, points", "moved, %", "warm, ms", "p99, ms", "memory, MiB"),
    *("size, MiB", "ran in"),
)


_WIDE = 132


def print_measurements(folder: Path) -> None:
    """Print the table to the standard output, unsqueezed where that is no terminal.

    Raises:
        LandmintError: measurements or labels are missing or truncated.
    """
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    console.print(measurement_table(folder))


def measurement_table(folder: Path) -> Table:
    """One row a variant.

    Raises:
        LandmintError: measurements or labels are missing or truncated.
    """
    truth = read_truth(folder / TRUTH_FILE)
    unit = get_markup(truth.markup).error_unit
    table = Table(caption=f"rise, moved: against torch/float32, of the {unit}")
    table.add_column("variant", no_wrap=True)
    for title in _COLUMNS:
        table.add_column(title, justify="left" if title == "ran in" else "right")
    for summary in summarise_run(read_measurements(folder), truth):
        table.add_row(summary.name, *_cells(summary))
    return table


def _cells(summary: VariantSummary) -> list[str]:
    one = summary.measurement
    if one.status != "measured":
        return [""] * (len(_COLUMNS) - 1) + [f"not measured: {one.reason.splitlines()[0]}"]
    accuracy, drift, latency = summary.accuracy, summary.drift, summary.latency
    judged = drift is not None and not summary.is_reference
    memory = one.peak_memory_mib
    return [
        percent(accuracy.interval.estimate if accuracy else None),
        percent(drift.nme_rise.estimate, 3) if drift and judged else "",
        percent(drift.displacement.estimate, 3) if drift and judged else "",
        milliseconds(latency.warm_ms) if latency else "",
        milliseconds(latency.p99_ms) if latency and latency.p99_ms else "",
        f"{memory:.0f}" if memory is not None else "",
        mebibytes(one.size_bytes),
        one.executed_precision,
    ]
