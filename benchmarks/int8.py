"""INT8 against float32 on every engine: how much faster, how much smaller, what it costs.

For each recipe whose run has a bundle, the float32 and INT8 forms take turns on this machine, one
thread each, in one visit; landmarks come from all test faces. Prints Markdown.

    python benchmarks/int8.py recipes/pipnet-mbv3-ytf68.toml recipes/pfld-ytf68.toml
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landmint.pipeline.judge.summary import VariantSummary, summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.measuring import measure_into
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, milliseconds, number, percent
from landmint.runtime.accuracy import Truth
from landmint.runtime.bundle import Bundle
from landmint.runtime.contract import Contract
from landmint.runtime.crop import Box, crop_matrix
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import LISTED
from landmint.runtime.measurement import read_measurements

ROOT = Path(__file__).resolve().parents[1]
FASTER: Mapping[str, float] = {"onnx": 2.0, "openvino": 1.7, "tflite": 2.0}
"""The goal on each engine: times as fast as float32."""
MOST_SIZE = 0.3
"""The goal: size over that of float32."""
MOST_RISE_POINTS, MOST_RISE_SHARE = 0.0005, 0.01
"""The goals: rise of NME, as a share of the inter-ocular distance and of the NME itself."""


@dataclass(frozen=True)
class Visit:
    """What one model's forms did."""

    name: str
    """Of the recipe."""
    contract: Contract
    """Of the model."""
    truth: Truth
    """The test faces."""
    summaries: Mapping[str, VariantSummary]
    """By variant."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--seconds", type=float, default=8.0, help="of warm runs, each variant")
    options = parser.parse_args(arguments)
    try:
        visits = [
            visit(Run(recipe, options.runs / recipe.name), options.seconds)
            for recipe in map(load_recipe, options.recipes)
        ]
    except LandmintError as error:
        print(f"int8: {error}", file=sys.stderr)
        return error.exit_code
    print("\n\n".join(report(visits)))
    return 0


def visit(run: Run, seconds: float) -> Visit:
    """Measure the float32 and INT8 forms of a run's bundle on its test faces.

    Raises:
        LandmintError: the run has no bundle, or its faces cannot be read.
    """
    bundle = Bundle.open(run.place("bundle"))
    names = [f"{form}/{precision}" for form in FASTER for precision in ("float32", "int8")]
    config = MeasureConfig(launches=5, samples=2000, seconds=seconds)
    with tempfile.TemporaryDirectory() as scratch, Screen().bar(run.recipe.name) as bar:
        folder = Path(scratch)
        measure_into(folder, bundle, run.faces("test"), config, names, bar)
        truth = read_truth(folder / TRUTH_FILE)
        summaries = summarise_run(read_measurements(folder), truth)
    by_name = {summary.name: summary for summary in summaries}
    return Visit(run.recipe.name, bundle.manifest.contract, truth, by_name)


def report(visits: Sequence[Visit]) -> Iterator[str]:
    """The tables, and what did not run."""
    columns = (
        *("model", "engine", "float32, ms", "INT8, ms", "times as fast", "95 %", "size, %"),
        *("NME float32, %", "rise, points", "95 %", "goals"),
    )
    measured = [
        (one, form)
        for one in visits
        for form in FASTER
        if one.summaries[f"{form}/int8"].difference and one.summaries[f"{form}/float32"].accuracy
    ]
    yield markdown_table(columns, [_row(one, form) for one, form in measured])
    pairs = [row for one in visits for row in _agreement(one)]
    yield markdown_table(("model", "two INT8 forms", "apart on average, crop px"), pairs)
    for one in visits:
        for summary in one.summaries.values():
            if summary.measurement.status != "measured":
                yield f"{one.name}: {summary.name} is not measured. {summary.measurement.reason}"


def _row(one: Visit, form: str) -> list[str]:
    plain, int8 = (one.summaries[f"{form}/{precision}"] for precision in ("float32", "int8"))
    assert plain.accuracy is not None and int8.difference is not None
    speed, rise = int8.speedup, int8.difference.nme_rise
    nme = plain.accuracy.main.nme
    size = int8.measurement.size_bytes / plain.measurement.size_bytes
    missed = [
        *(["speed"] if speed is None or speed.estimate < FASTER[form] else []),
        *(["size"] if size > MOST_SIZE else []),
        *(["rise"] if rise.estimate > min(MOST_RISE_POINTS, MOST_RISE_SHARE * nme) else []),
    ]
    return [
        one.name,
        LISTED[form].label,
        *(milliseconds(s.latency.warm_ms if s.latency else None) for s in (plain, int8)),
        number(speed.estimate if speed else None),
        f"{number(speed.low)} to {number(speed.high)}" if speed else "",
        percent(size, 1),
        percent(nme),
        percent(rise.estimate, 3),
        f"{percent(rise.low, 3)} to {percent(rise.high, 3)}",
        f"missed: {', '.join(missed)}" if missed else "met",
    ]


def _agreement(one: Visit) -> Iterator[list[str]]:
    """How far the landmarks of each two INT8 forms lie apart, in pixels of the crop."""
    rule, size = one.contract.crop, one.contract.input_size
    pixel = np.array([crop_matrix(Box(*box), rule, size)[0, 0] for box in one.truth.boxes])
    points = {
        form: found
        for form in FASTER
        if (found := one.summaries[f"{form}/int8"].measurement.points) is not None
    }
    for first, second in itertools.combinations(points, 2):
        apart = np.linalg.norm(points[first] - points[second], axis=2).mean(axis=1) / pixel
        pair = f"{LISTED[first].label}, {LISTED[second].label}"
        yield [one.name, pair, number(float(apart.mean()), 3)]


if __name__ == "__main__":
    sys.exit(main())
