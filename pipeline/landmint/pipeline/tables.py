"""Measurements, and where INT8 loses, as tables on the terminal. The report has more."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmint.pipeline.report import blocks
from landmint.pipeline.report.losses import engines_table, in_words, layers_table
from landmint.pipeline.report.summary import VariantSummary, summarise_run
from landmint.pipeline.report.text import mebibytes, milliseconds, number, percent
from landmint.pipeline.shipped_recipes import about, folder, shipped_recipes
from landmint.pipeline.truth import TRUTH_FILE, read_truth
from landmint.quantize.explanation import Explanation
from landmint.runtime.markup import get_markup
from landmint.runtime.measurement import read_measurements
from landmint.train.zoo import Shipped

_COLUMNS = (
    *("NME, %", "rise, points", "moved, %", "warm, ms", "p99, ms", "memory, MiB"),
    *("size, MiB", "ran in"),
)


_WIDE = 160


_WORST = 12


def print_measurements(folder: Path) -> None:
    """Print the table to the standard output, unsqueezed where that is no terminal.

    Raises:
        LandmintError: measurements or labels are missing or truncated.
    """
    print_tables(measurement_table(folder))


def print_shipped(models: Sequence[Shipped]) -> None:
    """Print the shipped models to the standard output, a line each."""
    table = Table()
    for column in ("model", "network"):
        table.add_column(column, no_wrap=True)
    for column in ("input, px", "landmarks", "million parameters", "NME, %"):
        table.add_column(column, justify="right")
    table.add_column("measured on")
    table.add_column("size, MiB", justify="right")
    for model in models:
        about = model.about
        table.add_row(
            *(model.name, about.network, str(about.input_size)),
            str(get_markup(about.markup).points),
            number(about.parameters / 1e6),
            *(percent(about.nme), about.faces, mebibytes(model.weights.stat().st_size)),
        )
    print_tables(table)


def print_recipes() -> None:
    """Print the shipped recipes and where they lie to the standard output."""
    table = Table()
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is for")
    for name, path in shipped_recipes().items():
        table.add_row(name, escape(about(path)))
    print_tables(table, escape(f"They lie in {folder()}"))


def print_explanation(explanation: Explanation) -> None:
    """Print the layers that cost most, and where engines part, to the standard output."""
    tables = layers_table(explanation, _WORST), engines_table(explanation)
    print_tables(in_words(explanation), *map(as_rich, tables))


def print_tables(*tables: Table | str) -> None:
    """Print tables and sentences, unsqueezed where the standard output is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    for table in tables:
        console.print(table)


def as_rich(table: blocks.Table) -> Table:
    """A table of the report for the terminal."""
    shown = Table(title=table.caption)
    for place, column in enumerate(table.columns):
        heading = f"{column.title}, {column.unit}" if column.unit else column.title
        words = place == 0 or column.words
        shown.add_column(escape(heading), justify="left" if words else "right", no_wrap=place == 0)
    for row in table.rows:
        shown.add_row(escape(row.head), *(escape(f"{c.text} {c.sub}".rstrip()) for c in row.cells))
    return shown


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
