"""What each precision of a student costs: landmarks, time and size of every variant of a bundle.

Errors are over test faces of a recipe, spread evenly; rise and moved are against the first variant
that is named. Times are processor time of one face, one thread, variants in turns: the machine may
be in use by others, so read the ratios. Prints Markdown.

    python benchmarks/precisions.py pipnet-mbv3-ytf68 bundle onnx/float32 onnx/w8a16 --faces 100
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.engines_in_turn import calls_of, in_turn  # noqa: E402
from landmint.pipeline.opening import load_variant  # noqa: E402
from landmint.pipeline.recipe import load_recipe  # noqa: E402
from landmint.pipeline.text import (  # noqa: E402
    markdown_table,
    mebibytes,
    milliseconds,
    number,
    percent,
)
from landmint.runtime.accuracy import difference, summarise  # noqa: E402
from landmint.runtime.bundle import Bundle  # noqa: E402
from landmint.runtime.errors import LandmintError  # noqa: E402
from landmint.runtime.predict import predict_crops  # noqa: E402
from landmint.train.evaluate import crop_faces, truth_of  # noqa: E402
from landmint.train.faces.readers import load_faces, spread  # noqa: E402

_COLUMNS = (
    *("variant", "ran", "NME, %", "rise, points", "95 %", "moved, %"),
    *("ms", "over the first", "size, MiB"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("variants", nargs="+", metavar="variant", help="the first is the reference")
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args(arguments)
    try:
        rows = rows_of(given.recipe, given.bundle, given.variants, given.faces, given.rounds)
    except LandmintError as error:
        print(f"precisions: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(_COLUMNS, rows))
    print(f"\nLoad of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.")
    return 0


def rows_of(
    recipe: str, folder: Path, names: Sequence[str], count: int, rounds: int
) -> list[list[str]]:
    """A row for each variant.

    Raises:
        LandmintError: recipe, bundle or faces cannot be read.
    """
    bundle = Bundle.open(folder)
    source = load_recipe(Path(recipe))
    every = load_faces(source.faces, "test", source.file.parent)
    faces = replace(every, faces=tuple(spread(every.faces, count)))
    crops, truth = crop_faces(faces.faces, bundle.manifest.contract), truth_of(faces)
    sessions = {name: load_variant(bundle, bundle.variant(name)) for name in names}
    times = in_turn(calls_of(bundle, sessions), rounds)
    points = {
        name: predict_crops(
            session, bundle.contract_of(bundle.variant(name)), crops.crops, crops.matrices
        )[0]
        for name, session in sessions.items()
    }
    rows = []
    for name, session in sessions.items():
        apart = difference(points[name], points[names[0]], truth)
        rise, first = apart.nme_rise, times[names[0]]
        ratios = [own / base for own, base in zip(times[name], first, strict=True)]
        rows.append(
            [
                *(name, session.executed_precision),
                percent(summarise(points[name], truth).main.nme),
                percent(rise.estimate, 3),
                f"{percent(rise.low, 3)} to {percent(rise.high, 3)}",
                percent(apart.displacement.estimate, 3),
                milliseconds(median(times[name])),
                number(median(ratios)),
                mebibytes(bundle.size_bytes(bundle.variant(name))),
            ]
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
