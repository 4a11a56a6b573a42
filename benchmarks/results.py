"""Write the tables of docs/results.md and README.md from the runs under runs/.

No figure in the documents is typed by hand: each table stands between two markers and is replaced
as a whole. Nothing is measured here; runs without measurements are named and left out.

    python benchmarks/results.py [--runs runs]
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.pipeline.judge.figures import LATENCY, MOVED, NME, NME_RISE, SIZE
from landmint.pipeline.judge.summary import VariantSummary, machine_of, summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.steps.weights import training_figures
from landmint.pipeline.text import (
    listed,
    markdown_table,
    mebibytes,
    milliseconds,
    number,
    one_line,
    percent,
)
from landmint.runtime.accuracy import Truth
from landmint.runtime.bundle import Bundle, Manifest
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import write_text
from landmint.runtime.measurement import read_measurements
from landmint.runtime.stats import Interval

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
_FIGURES = tuple(figure.heading for figure in (NME, NME_RISE, MOVED, LATENCY, SIZE))


@dataclass(frozen=True)
class RunResult:
    """What one run says."""

    folder: Path
    """The run's."""
    manifest: Manifest
    """Of the bundle that was measured."""
    truth: Truth
    """The test faces."""
    summaries: tuple[VariantSummary, ...]
    """Every variant, in reading order."""

    @property
    def about(self) -> dict[str, Any]:
        """Where the model comes from."""
        return dict(self.manifest.provenance)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.about.get("recipe", self.manifest.name))

    @property
    def on_real_faces(self) -> bool:
        """Whether photographs were measured, not drawings."""
        return bool(self.about.get("faces", {}).get("kind") != "synthetic")


def main(arguments: Sequence[str] | None = None) -> int:
    """Replace the tables; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        results = list(read_runs(options.runs))
        replace_table(options.root / "docs" / "results.md", details(results))
        replace_table(options.root / "README.md", overview(results))
    except LandmintError as error:
        print(f"results: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(results)} runs: {', '.join(result.name for result in results)}")
    return 0


def read_runs(folder: Path) -> Iterator[RunResult]:
    """Every run that was measured, by name.

    Raises:
        LandmintError: there is none, or one is broken.
    """
    count = 0
    for run in sorted(path.parent for path in folder.glob("*/bundle")):
        if not (run / "measurements" / TRUTH_FILE).is_file():
            print(f"{run} has no measurements, it is left out", file=sys.stderr)
            continue
        count += 1
        truth = read_truth(run / "measurements" / TRUTH_FILE)
        measurements = read_measurements(run / "measurements")
        manifest = Bundle.open(run / "bundle", verify=False).manifest
        yield RunResult(run, manifest, truth, summarise_run(measurements, truth))
    if not count:
        raise LandmintError(f"{folder} holds no measured run", remedy="landmint run demo")


def replace_table(path: Path, text: str) -> None:
    """Put `text` between the markers of a document.

    Raises:
        LandmintError: the document is missing or does not have its two markers.
    """
    try:
        document = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LandmintError(f"cannot read {path}", reason=error.strerror or str(error)) from None
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(document)) != 1:
        raise LandmintError(
            f"{path} does not have the markers once",
            remedy=f"write a line {BEGIN} and a line {END} where the table belongs",
        )
    write_text(path, pattern.sub(lambda _: f"{BEGIN}\n{text}\n{END}", document))


def overview(results: Sequence[RunResult]) -> str:
    """Student x variant on real faces, for the README."""
    real = [result for result in results if result.on_real_faces]
    if not real:
        return "No run on real faces has been measured yet."
    rows = [
        ["" if number_in_run else result.name, summary.name, *_figures(summary)]
        for result in real
        for number_in_run, summary in enumerate(_measured(result))
    ]
    parts = [markdown_table(("recipe", "variant", *_FIGURES), rows), *_footnotes(real)]
    return "\n\n".join(parts)


def _footnotes(results: Sequence[RunResult]) -> list[str]:
    """What did not run, and where the rest did."""
    missing = sorted(
        {s.name for r in results for s in r.summaries if s.measurement.status == "not measured"}
    )
    notes = [f"Not measured here: {', '.join(missing)}."] if missing else []
    machines = sorted({machine_of(result.summaries) for result in results} - {""})
    return notes + [f"Measured on {machine}." for machine in machines]


def details(results: Sequence[RunResult]) -> str:
    """Every run with all its variants, for docs/results.md."""
    return "\n\n".join(part for result in results for part in _section(result))


def _section(result: RunResult) -> Iterator[str]:
    yield f"## {result.name}"
    if result.about.get("about"):
        yield str(result.about["about"])
    yield f"```sh\nlandmint run {result.name}\n```"
    yield _facts(result)
    columns = (
        "variant",
        *_FIGURES,
        "rise, 95 %",
        "FR@10 %",
        "AUC@10 %",
        "eyes, %",
        "p99, ms",
        "ran",
    )
    measured = _measured(result)
    yield markdown_table(columns, [[s.name, *_figures(s), *_more(s)] for s in measured])
    int8 = [s for s in measured if s.precision == "int8" and s.speedup is not None]
    if int8:
        rows = [
            [s.format, number(s.speedup.estimate), _bounds(s.speedup)] for s in int8 if s.speedup
        ]
        yield markdown_table(("format", "INT8 over float32, times as fast", "95 % interval"), rows)
    reasons: dict[str, list[str]] = {}
    for summary in result.summaries:
        if summary.measurement.status == "not measured":
            reasons.setdefault(one_line(summary.measurement.reason), []).append(summary.name)
    for reason, names in reasons.items():
        yield f"Not measured: {listed(names)}. {reason}"


def _measured(result: RunResult) -> list[VariantSummary]:
    return [s for s in result.summaries if s.measurement.status == "measured"]


def _facts(result: RunResult) -> str:
    faces = len(result.truth.names)
    persons = len(set(result.truth.persons))
    lines = [f"- Measured on {faces} test faces of {persons} persons, {_when(result)}"]
    for role in ("teacher", "student"):
        about = result.about.get(role)
        if about:
            figures = training_figures(result.folder / role)
            lines.append(f"- {role.capitalize()}: {_training(about, figures)}")
    machine = machine_of(result.summaries)
    return "\n".join(lines + ([f"- Machine: {machine}"] if machine else []))


def _training(about: dict[str, Any], figures: Mapping[str, float]) -> str:
    model = about["settings"]["model"]
    trunk = f" on {model['backbone']}" if model.get("backbone") else ""
    parts = [f"{model['name']}{trunk}, {model['input_size']} px"]
    if "epoch" in figures:
        parts.append(f"{figures['epoch']:.0f} epochs in {number(figures['seconds'] / 60, 0)} min")
    if about["settings"].get("start"):
        parts.append("going on from trained weights")
    if "best_nme" in figures:
        parts.append(f"validation NME {percent(figures['best_nme'])} %")
    return ", ".join(parts)


def _when(result: RunResult) -> str:
    sessions = sorted({s.measurement.session for s in result.summaries} - {""})
    return sessions[-1] if sessions else "at an unknown time"


def _figures(summary: VariantSummary) -> list[str]:
    accuracy, difference, latency = summary.accuracy, summary.difference, summary.latency
    moved = None if summary.is_reference else difference
    return [
        percent(accuracy.main.nme if accuracy else None),
        percent(moved.nme_rise.estimate if moved else None, 3),
        percent(moved.displacement.estimate if moved else None, 3),
        milliseconds(latency.warm_ms if latency else None),
        mebibytes(summary.measurement.size_bytes),
    ]


def _more(summary: VariantSummary) -> list[str]:
    accuracy, latency = summary.accuracy, summary.latency
    difference = None if summary.is_reference else summary.difference
    errors = accuracy.main if accuracy else None
    return [
        _bounds(difference.nme_rise, 100, 3) if difference else "",
        f"{percent(errors.failure_rate[0.10])} %" if errors else "",
        number(errors.auc[0.10], 3) if errors else "",
        percent(accuracy.eyes_nme if accuracy else None),
        milliseconds(latency.p99_ms if latency else None),
        summary.measurement.executed_precision,
    ]


def _bounds(interval: Interval, scale: float = 1, digits: int = 2) -> str:
    return f"{number(interval.low * scale, digits)} to {number(interval.high * scale, digits)}"


if __name__ == "__main__":
    sys.exit(main())
