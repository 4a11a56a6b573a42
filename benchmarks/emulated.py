"""The INT8 forms of models on emulated processors: NME, drift from this machine, instructions.

For each recipe whose run has a bundle, its INT8 forms run on this machine and on each emulated
processor, on the same test faces. What is measured is kept in a folder, and not measured again. So
a run that was stopped goes on, and one with other engines adds to the table. Prints Markdown.

    landmint targets setup emulated-rpi5
    landmint targets setup emulated-x86-avx2
    python benchmarks/emulated.py recipes/pfld-taught-ytf68.toml --faces 16
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.measuring import measure_into
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import NONE, markdown_table, number
from landmint.runtime.accuracy import Truth, difference, summarise
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import LISTED
from landmint.runtime.measurement import Measurement, measurement_path, read_measurement
from landmint.train.faces.face import FaceSet

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("host", "emulated-x86-avx2", "emulated-rpi3", "emulated-rpi4", "emulated-rpi5")
FORMATS = ("tflite", "onnx", "openvino")
_COLUMNS = (
    *("model", "engine", "processor", "faces", "NME, %", "drift, points", "apart, %"),
    *("instructions a face, M", "of them dot, M", "ran"),
)


@dataclass(frozen=True)
class Place:
    """What one form of one model did on one target."""

    model: str
    """Name of the recipe."""
    here: Measurement
    """The same form on this machine."""
    there: Measurement
    """On the target; the same for this machine's own row."""
    truth: Truth
    """The faces."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "emulated")
    parser.add_argument("--faces", type=int, default=16)
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS)
    options = parser.parse_args(arguments)
    places: list[Place] = []
    try:
        for recipe in map(load_recipe, options.recipes):
            run = Run(recipe, options.runs / recipe.name)
            faces = some_of(run.faces("test"), options.faces)
            bundle = Bundle.open(run.place("bundle"))
            for form in options.formats:
                folder = options.out / recipe.name / f"{form}-{options.faces}"
                measure(bundle, faces, form, options.targets, folder)
                places += read(recipe.name, folder, form, options.targets)
    except LandmintError as error:
        print(f"emulated: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(_COLUMNS, [*rows(places)]))
    return 0


def some_of(faces: FaceSet, count: int) -> FaceSet:
    """So many of the faces, spread over all of them."""
    chosen = np.linspace(0, len(faces.faces) - 1, min(count, len(faces.faces))).round().astype(int)
    return dataclasses.replace(faces, faces=tuple(faces.faces[place] for place in chosen))


def measure(
    bundle: Bundle, faces: FaceSet, form: str, targets: Sequence[str], folder: Path
) -> None:
    """Measure the INT8 form on those targets where that was not done yet."""
    variant = f"{form}/int8"
    for target in targets:
        place = folder / target
        if measurement_path(place, variant).is_file():
            continue
        config = MeasureConfig(target=target, launches=1, samples=1, seconds=0.01)
        with Screen().bar(f"{bundle.manifest.name} {form} {target}") as bar:
            measure_into(place, bundle, faces, config, [variant], bar)


def read(model: str, folder: Path, form: str, targets: Sequence[str]) -> Iterator[Place]:
    """What was measured of one form; the first of the targets is what the others differ from."""
    variant = f"{form}/int8"
    here = read_measurement(measurement_path(folder / targets[0], variant))
    for target in targets:
        there = read_measurement(measurement_path(folder / target, variant))
        yield Place(model, here, there, read_truth(folder / target / TRUTH_FILE))


def rows(places: Sequence[Place]) -> Iterator[list[str]]:
    """The table; what did not run has its reason in the last column."""
    for place in places:
        there, here = place.there, place.here
        engine = LISTED[there.variant.partition("/")[0]].label
        if there.points is None or here.points is None:
            reason = (there.reason or here.reason).splitlines()[0]
            head = [place.model, engine, there.target, str(len(place.truth.names))]
            yield [*head, *[NONE] * 5, f"not measured: {reason}"]
            continue
        assert there.machine is not None
        apart = difference(there.points, here.points, place.truth)
        counted = [run.total for run in there.instructions]
        dots = [run.dot for run in there.instructions if run.dot is not None]
        yield [
            *(place.model, engine, f"{there.target}: {there.machine.cpu}"),
            str(len(there.faces)),
            number(100 * summarise(there.points, place.truth).main.nme, 3),
            NONE if there is here else number(100 * apart.nme_rise.estimate, 4),
            NONE if there is here else number(100 * apart.displacement.estimate, 4),
            number(median(counted) / 1e6, 1) if counted else NONE,
            number(median(dots) / 1e6, 2) if dots else NONE,
            there.executed_precision,
        ]


if __name__ == "__main__":
    sys.exit(main())
