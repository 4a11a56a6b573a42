"""Write the tables of docs/results.md and README.md from the runs under runs/.

No figure in the documents is typed by hand: the tables stand between two markers. A recipe whose
run is here gets its section of docs/results.md written anew; the section of a recipe that ran
elsewhere is kept. README.md has the tables of docs/results.md in short. Nothing is measured here;
runs without measurements are named and left out.

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
from landmint.pipeline.shipped_recipes import published_systems
from landmint.pipeline.steps.weights import training_figures
from landmint.pipeline.text import (
    NONE,
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
from landmint.runtime.formats import reference_among
from landmint.runtime.measurement import read_measurements
from landmint.runtime.stats import Interval

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
_DRAWN = "drawn"
_ENGINES = ("onnx", "openvino", "tflite")
FLOAT32, INT8 = ([f"{engine}/{name}" for engine in _ENGINES] for name in ("float32", "int8"))
BY_ENGINE = (
    *(NME.heading, f"INT8 {NME.heading}", f"INT8 {NME_RISE.heading}"),
    *("float32, ms", "INT8, ms", "INT8, MiB"),
)
"""Columns of tables that have a line for each model."""
_EACH = " / "
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


@dataclass(frozen=True)
class Figures:
    """What the table shows of one variant, as it is written; a dash where there is none."""

    nme: str = NONE
    """In per cent."""
    rise: str = NONE
    """Of the NME against the trained network's, in points."""
    warm_ms: str = NONE
    """Median latency."""
    size_mib: str = NONE
    """Of its files."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Replace the tables; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        systems = {Path(name).name for name in published_systems()}  # benchmarks/zoo.py shows them
        results = [result for result in read_runs(options.runs) if result.name not in systems]
        page = options.root / "docs" / "results.md"
        kept = read_sections(page)
        sections = dict(sorted({**kept, **{run.name: section(run) for run in results}}.items()))
        replace_table(page, "\n\n".join(sections.values()))
        replace_table(options.root / "README.md", overview(sections))
    except LandmintError as error:
        print(f"results: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(results)} runs: {', '.join(result.name for result in results)}")
    elsewhere = kept.keys() - {result.name for result in results}
    if elsewhere:
        print(f"kept, for they did not run here: {', '.join(sorted(elsewhere))}")
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


def read_sections(path: Path) -> dict[str, str]:
    """Recipe to its section of a document, as `section` wrote it.

    Raises:
        LandmintError: the document is missing or does not have its two markers.
    """
    _, written, _ = _parts(path)
    sections = re.findall(r"^## .*?(?=\n+## |\Z)", written.strip(), re.DOTALL | re.MULTILINE)
    return {text.splitlines()[0].removeprefix("## "): text for text in sections}


def replace_table(path: Path, text: str) -> None:
    """Put `text` between the markers of a document.

    Raises:
        LandmintError: the document is missing or does not have its two markers.
    """
    before, _, after = _parts(path)
    write_text(path, f"{before}{BEGIN}\n{text}\n{END}{after}")


def _parts(path: Path) -> tuple[str, str, str]:
    """What stands before, between and after the markers of a document."""
    try:
        document = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LandmintError(f"cannot read {path}", reason=error.strerror or str(error)) from None
    parts = re.split(f"{re.escape(BEGIN)}\n(.*?){re.escape(END)}", document, flags=re.DOTALL)
    if len(parts) != 3:
        raise LandmintError(
            f"{path} does not have the markers once",
            remedy=f"write a line {BEGIN} and a line {END} where the table belongs",
        )
    before, written, after = parts
    return before, written, after


def overview(sections: Mapping[str, str]) -> str:
    """Every student on real faces, for the README.

    Args:
        sections: recipe to its section, as `section` writes it.

    Raises:
        LandmintError: a section has another table.
    """
    real = {name: text for name, text in sections.items() if f"{_DRAWN} test faces" not in text}
    if not real:
        return "No run on real faces has been measured yet."
    rows = [[name, *by_engine(figures_of(name, text))] for name, text in real.items()]
    parts = [markdown_table(("recipe", *BY_ENGINE), rows), *_footnotes(real)]
    return "\n\n".join(parts)


def figures_of(name: str, text: str) -> dict[str, Figures]:
    """The figures of each variant.

    Args:
        name: the recipe.
        text: what was measured of it, as `section` writes it.

    Raises:
        LandmintError: it has no table of figures.
    """
    columns = ["variant", *_FIGURES]
    table = re.search(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    rows = [
        [cell.strip() for cell in line.split("|")[1 : len(columns) + 1]]
        for line in (table.group().splitlines() if table else ())
    ]
    if rows[:1] != [columns]:
        raise LandmintError(
            f"the section of {name} does not begin with a table of all figures",
            reason=f"its columns should be {'; '.join(columns)}",
            remedy=f"landmint run {name}, or delete the section",
        )
    return {variant: Figures(nme, rise, ms, mib) for variant, nme, rise, _, ms, mib in rows[2:]}


def by_engine(figures: Mapping[str, Figures]) -> list[str]:
    """The cells under `BY_ENGINE`: ONNX Runtime's, OpenVINO's and TFLite's, in this order."""
    float32, int8 = ([figures.get(name, Figures()) for name in names] for names in (FLOAT32, INT8))
    columns = (
        [variant.nme for variant in int8],
        [variant.rise for variant in int8],
        [variant.warm_ms for variant in float32],
        [variant.warm_ms for variant in int8],
        [variant.size_mib for variant in int8],
    )
    nme = figures.get(reference_among(figures), Figures()).nme
    return [nme, *map(_EACH.join, columns)]


def _footnotes(sections: Mapping[str, str]) -> list[str]:
    """What did not run, though some of it was built; and where the rest did."""
    text = "\n".join(sections.values())
    lists = re.findall(r"^(?:Built, not run|Not measured): (.+?)\. ", text, re.MULTILINE)
    names = sorted({name for part in lists for name in re.split(", | and ", part)})
    not_measured = [f"Not measured: {listed(names)}."] if names else []
    return [*not_measured, *machine_notes(sections)]


def machine_notes(parts: Mapping[str, str]) -> Iterator[str]:
    """Which recipes were measured on each machine."""
    for machine, names in sorted(by_machine(parts).items()):
        yield f"Measured on {machine}: {listed(names)}."


def by_machine(parts: Mapping[str, str]) -> dict[str, list[str]]:
    """Names of the recipes that were timed on each machine."""
    machines: dict[str, list[str]] = {}
    for name, text in sorted(parts.items()):
        for machine in re.findall(r"^- Machine: (.+)$", text, re.MULTILINE):
            machines.setdefault(machine, []).append(name)
    return machines


def section(result: RunResult) -> str:
    """A run with all its variants, for docs/results.md."""
    return "\n\n".join(_section(result))


def _section(result: RunResult) -> Iterator[str]:
    yield f"## {result.name}"
    if result.about.get("about"):
        yield str(result.about["about"])
    yield f"```sh\nlandmint run {result.name}\n```"
    yield measured_part(result)


def measured_part(result: RunResult) -> str:
    """What a section says of a run: when, on what, every variant, and why some have no figures."""
    return "\n\n".join([_facts(result), *_tables(result), *_reasons(result)])


def _tables(result: RunResult) -> Iterator[str]:
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


def _reasons(result: RunResult) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for raw in (summary.measurement for summary in result.summaries):
        if raw.status != "measured":
            reasons.setdefault((raw.status, one_line(raw.reason)), []).append(raw.variant)
    for (status, reason), names in reasons.items():
        yield f"{status.capitalize()}: {listed(names)}. {reason}"


def _measured(result: RunResult) -> list[VariantSummary]:
    return [s for s in result.summaries if s.measurement.status == "measured"]


def _facts(result: RunResult) -> str:
    faces = len(result.truth.names)
    persons = len(set(result.truth.persons))
    drawn = "" if result.on_real_faces else f"{_DRAWN} "
    lines = [f"- Measured on {faces} {drawn}test faces of {persons} persons, {_when(result)}"]
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
