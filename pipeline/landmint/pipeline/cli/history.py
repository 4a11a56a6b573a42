"""`landmint history`: measurements of many sessions in one file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

FileOption = Annotated[
    Path,
    typer.Option(
        "--history", metavar="FILE", envvar="LANDMINT_HISTORY", help="The history's SQLite file."
    ),
]
ModelOption = Annotated[str, typer.Option("--model", metavar="NAME", help="Only of this model.")]
VariantOption = Annotated[
    str, typer.Option("--variant", metavar="FORMAT/PRECISION", help="Only this variant.")
]
MachineOption = Annotated[
    str, typer.Option("--machine", metavar="TEXT", help="Only machines with this in their name.")
]
_FILE = Path("landmint-history.sqlite")


def add(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of measurements.")
    ],
    file: FileOption = _FILE,
    revision: Annotated[
        str, typer.Option(metavar="REV", help="Of the source that the model was built with.")
    ] = "",
) -> None:
    """Import folders of measurements; what is there already is left as it is.

    Examples:
        landmint history add runs/demo/measurements
        landmint history add measured --revision "$(git rev-parse HEAD)" --history /data/pi5.sqlite
    """
    from landmint.pipeline.history.importing import add_folders

    print(f"{add_folders(file, folders, revision)} new measurements in {file}")


def list_(
    file: FileOption = _FILE,
    model: ModelOption = "",
    variant: VariantOption = "",
    machine: MachineOption = "",
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How it is written.")
    ] = "table",
) -> None:
    """List measurements, the oldest session first: as a table, or all figures as CSV or JSON.

    Examples:
        landmint history list --variant tflite/int8 --machine raspberry
        landmint history list --format csv > history.csv
    """
    import dataclasses
    import json

    from landmint.pipeline.history.series import rows_of, to_csv
    from landmint.pipeline.history.store import Selection, open_history
    from landmint.pipeline.history.tables import print_rows

    with open_history(file) as history:
        rows = rows_of(history, Selection(model, variant, machine))
    if form == "csv":
        print(to_csv(rows), end="")
    elif form == "json":
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        print_rows(rows)


def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `history list` gives it.")],
    file: FileOption = _FILE,
) -> None:
    """Show one measurement as JSON: identity, every timed run, operators, landmarks.

    Examples:
        landmint history show 12
    """
    import json

    from landmint.pipeline.history.store import open_history
    from landmint.runtime.measurement import measurement_to_json

    with open_history(file) as history:
        measurement = history.measurement(number)
    points = None if measurement.points is None else measurement.points.tolist()
    print(json.dumps({**measurement_to_json(measurement), "points": points}, indent=2))


def changes(
    file: FileOption = _FILE,
    model: ModelOption = "",
    variant: VariantOption = "",
    machine: MachineOption = "",
) -> None:
    """Find where latency changed, and what else was new then: runtime, file, revision.

    Examples:
        landmint history changes --model pfld-own-112
    """
    from landmint.pipeline.history.changes import MIN_SESSIONS
    from landmint.pipeline.history.page import change_sentence
    from landmint.pipeline.history.series import rows_of, series_of
    from landmint.pipeline.history.store import Selection, open_history

    with open_history(file) as history:
        every = series_of(rows_of(history, Selection(model, variant, machine)))
    for series in every:
        lines = [change_sentence(series, change) for change in series.changes()]
        if len(series.rows) < MIN_SESSIONS:
            lines = [f"{len(series.rows)} sessions, too few to look: {MIN_SESSIONS} are needed"]
        for line in lines or ["no change"]:
            print(f"{series.name}: {line}")
    if not every:
        print("no session was timed")


def page(
    out: Annotated[Path, typer.Option(help="The HTML file.")] = Path("history.html"),
    file: FileOption = _FILE,
    model: ModelOption = "",
    variant: VariantOption = "",
    machine: MachineOption = "",
) -> None:
    """Write the trends as one self-contained HTML page.

    Examples:
        landmint history page --out trends.html
    """
    from landmint.pipeline.history.page import write_page
    from landmint.pipeline.history.series import rows_of, series_of
    from landmint.pipeline.history.store import Selection, open_history

    with open_history(file) as history:
        series = series_of(rows_of(history, Selection(model, variant, machine)))
    print(write_page(series, file.stem, out))
