"""Measurements, and where INT8 loses, as tables on the terminal. The report has more."""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement as Width
from rich.table import Table

from landmint.pipeline.judge.figures import LATENCY, MOVED, NME, NME_RISE, PEAK_MEMORY, SIZE
from landmint.pipeline.judge.summary import VariantSummary, summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.report import blocks, plans, sustained
from landmint.pipeline.report.losses import engines_table, in_words, layers_table
from landmint.pipeline.shipped_recipes import about, folder, published_systems, shipped_recipes
from landmint.pipeline.text import NONE, listed, mebibytes, number, percent
from landmint.quantize.explain.explanation import Explanation
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import reference_among
from landmint.runtime.markup import get_markup
from landmint.runtime.measurement import Measurement, read_measurements
from landmint.targets import ADDED, TRANSPORTS
from landmint.targets.profile import own_folder, profile_files, read_profile
from landmint.train.zoo import Shipped

_COLUMNS = (
    *(NME.heading, NME_RISE.heading, MOVED.heading, LATENCY.heading, "p99, ms", "RAM, MiB"),
    *(SIZE.heading, "ran in"),
)

_WORST = 12
_GAP = 2


def print_measurements(folder: Path) -> None:
    """Print the table to the standard output, then what was not measured.

    Raises:
        LandmintError: measurements or labels are missing or truncated.
    """
    measured = read_measurements(folder)
    minutes = (sustained.in_words(raw) for raw in measured if raw.sustained is not None)
    lines = (*_not_measured(measured), *_untimed(folder), *minutes)
    print_tables(measurement_table(folder), *map(escape, lines))


def _not_measured(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Why variants did not run, and what was built of them nonetheless."""
    for raw in measurements:
        if raw.status != "measured":
            yield f"{raw.variant}: {raw.status}: {raw.reason.splitlines()[0]}"
        if raw.built:
            yield f"{raw.variant}: {plans.in_words(raw)}"
    yield from plans.cautions(measurements)


def _untimed(folder: Path) -> Iterator[str]:
    """Why there are no times, and what was counted instead."""
    measured = read_measurements(folder)
    for reason in dict.fromkeys(raw.no_times for raw in measured if raw.no_times):
        yield f"latency: not measured: {reason}"
    for raw in measured:
        if raw.instructions:
            counts = dataclasses.asdict(raw.instructions[-1]).items()
            words = (f"{n / 1e6:.2f} M {name}" for name, n in counts if n is not None)
            yield f"{raw.variant}: instructions of one face: {', '.join(words)}"


def print_shipped(models: Sequence[Shipped]) -> None:
    """Print the shipped models to the standard output."""
    table = Table()
    table.add_column("model")
    for column in ("NME, %", "input, px", "points", "parameters, M", "size, MiB"):
        table.add_column(column, justify="right")
    table.add_column("network")
    for model in models:
        about = model.about
        table.add_row(
            *(model.name, percent(about.nme), str(about.input_size)),
            str(get_markup(about.markup).points),
            number(about.parameters / 1e6),
            *(mebibytes(model.weights.stat().st_size), about.network),
        )
    faces: dict[str, list[str]] = {}
    for model in models:
        faces.setdefault(model.about.faces, []).append(model.name)
    notes = [f"NME of {listed(names)}: on {which}." for which, names in faces.items()]
    print_tables(table, *map(escape, notes))


def print_recipes() -> None:
    """Print the shipped recipes and where they lie to the standard output."""
    table = Table()
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is for")
    systems = published_systems()
    for name, path in shipped_recipes().items():
        if name not in systems:
            table.add_row(name, escape(about(path)))
    print_tables(table)
    print(f"{len(systems)} published systems are recipes too: landmint zoo")
    print(f"They lie in {folder()}")  # in one line, to be copied


def print_systems() -> None:
    """Print the published systems to the standard output, with their sizes and figures."""
    for name, path in published_systems().items():
        source = load_recipe(path).source
        assert source is not None  # a test sees to it
        counts = "size not published"
        if size := source.size:
            counts = f"{size.parameters_m:g} M parameters, {size.gmacs:g} GMACs"
        print(f"{name}: {source.system}, {source.family}, {counts}")
        recalled = f" Not checked at the source: {source.recalled}" if source.recalled else ""
        for line in (f"{source.paper}.", f"{source.published}{recalled}"):
            print(textwrap.fill(line, initial_indent="    ", subsequent_indent="    "))
    print("Sizes are of the published networks; what is ours, and what is measured: docs/zoo.md")


def print_targets() -> None:
    """Print where engines can run to the standard output, and which devices cannot be reached."""
    table = Table()
    table.add_column("target", no_wrap=True)
    table.add_column("what it is")
    table.add_column("reached by", no_wrap=True)
    beyond = []
    for name, file in profile_files().items():
        try:
            profile = read_profile(file)
        except LandmintError as error:
            table.add_row(name, escape(str(error)), "")
            continue
        if profile.transport in TRANSPORTS:
            table.add_row(name, escape(profile.about), profile.transport)
        else:
            beyond.append(f"{name} ({profile.transport})")
    for name in ADDED:
        table.add_row(name, escape(ADDED[name]), "a package")
    print_tables(table)
    if beyond:
        print(f"Not yet reached by this landmint: {', '.join(beyond)}")
    print(f"Profiles of your own belong in {own_folder()}")


def print_explanation(explanation: Explanation) -> None:
    """Print the layers that cost most, and where engines part, to the standard output."""
    tables = layers_table(explanation, _WORST), engines_table(explanation)
    print_tables(in_words(explanation), *map(as_rich, tables))


def print_tables(*tables: Table | str) -> None:
    """Print tables and sentences to the standard output, no wider than it is; 80 for a file."""
    console = Console(highlight=False)
    for table in tables:
        if isinstance(table, Table):
            _fit(table, console)
        console.print(table)


def _fit(table: Table, console: Console) -> None:
    """Set the widths of the columns so that nothing is cut off.

    Columns of words are narrowed first, down to their longest word, and only then inside a word;
    figures are short and stay whole.
    """
    table.box, table.show_edge, table.pad_edge = box.SIMPLE_HEAD, False, False
    table.padding, table.collapse_padding = (0, 1, 0, 0), True
    spans = []
    for column in table.columns:
        cells = [column.header, *column.cells]
        spans.append([Width.get(console, console.options, cell) for cell in cells])
    widths = [max(span.maximum for span in column) for column in spans]
    words = [max(span.minimum for span in column) for column in spans]
    room = console.width - _GAP * (len(widths) - 1)
    for least in (words, [1] * len(words)):
        for _ in range(max(0, sum(widths) - max(room, sum(least)))):
            wider = [place for place, width in enumerate(widths) if width > least[place]]
            widths[max(wider, key=widths.__getitem__)] -= 1
    for column, width in zip(table.columns, widths, strict=True):
        column.width, column.no_wrap, column.overflow = width, False, "fold"


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
    """One row a variant that was measured.

    Raises:
        LandmintError: measurements or labels are missing or truncated.
    """
    truth = read_truth(folder / TRUTH_FILE)
    unit = get_markup(truth.markup).error_unit
    summaries = summarise_run(read_measurements(folder), truth)
    reference = reference_among(summary.name for summary in summaries)
    table = Table(caption=f"NME rise, moved: against {reference}, of the {unit}")
    table.add_column("variant", no_wrap=True)
    for title in _COLUMNS:
        table.add_column(title, justify="left" if title == "ran in" else "right")
    for summary in summaries:
        if summary.measurement.status == "measured":
            table.add_row(summary.name, *_cells(summary))
    return table


def _cells(summary: VariantSummary) -> list[str]:
    raw, latency = summary.measurement, summary.latency
    difference = None if summary.is_reference else summary.difference
    return [
        NME.write(100 * summary.accuracy.interval.estimate) if summary.accuracy else NONE,
        NME_RISE.write(100 * difference.nme_rise.estimate) if difference else "",
        MOVED.write(100 * difference.displacement.estimate) if difference else "",
        LATENCY.write(latency.warm_ms) if latency else "",
        LATENCY.write(latency.p99_ms) if latency and latency.p99_ms else "",
        PEAK_MEMORY.write(raw.peak_memory_mib) if raw.peak_memory_mib is not None else "",
        mebibytes(raw.size_bytes),
        raw.executed_precision,
    ]
