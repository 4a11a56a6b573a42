"""Write docs/zoo.md and its picture: every published system with what is measured of it.

A system whose run is here gets its figures written anew; those of a system that ran elsewhere are
kept, with when, how and on what they were measured. Nothing is trained or measured here; a system
without figures says why. Sizes are counted on the recipe's own network.

    python benchmarks/zoo.py [--runs runs]
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.shipped_recipes import published_systems
from landmint.pipeline.source_config import SourceConfig
from landmint.pipeline.text import NONE, listed, markdown_table, milliseconds, number
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import write_text
from landmint.train.models import model_class
from landmint.train.models.complexity import Complexity, complexity
from landmint.train.starting import stand_in_shape

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.results import (  # noqa: E402
    BY_ENGINE,
    FLOAT32,
    INT8,
    Figures,
    RunResult,
    by_engine,
    by_machine,
    figures_of,
    machine_notes,
    measured_part,
    read_runs,
    read_sections,
    replace_table,
)
from benchmarks.zoo_plot import Point, front, picture  # noqa: E402

DRAWN = "tflite/int8"
"""The variant that the picture is of."""
PICTURE = Path("images") / "zoo.svg"
"""Beside the page."""
_COLUMNS = (
    *("recipe", "system", "family", "good on a board for", "parameters, M", "MMACs"),
    *BY_ENGINE,
)
_FIGURE = re.compile(r"[0-9.]+")
NOT_TRAINED = "not trained"
_GAPS = "Why there is a dash stands in the section of the system"
_NOT_YET = "no run of it has been measured yet"
_FAMILY_IS_GOOD_FOR = {
    "heatmap": "accuracy before speed",
    "hybrid": "one CPU core, small maps",
    "regression": "one CPU core, no decode",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Replace the page's part between its markers, and its picture; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "zoo.md")
    options = parser.parse_args(arguments)
    recipes = {name: load_recipe(path) for name, path in published_systems().items()}
    systems = {recipe.name: name for name, recipe in recipes.items()}
    try:
        fresh = {systems[r.name]: part(r) for r in runs_of(options.runs) if r.name in systems}
        kept = kept_parts(options.page)
        parts = {name: text for name, text in {**kept, **fresh}.items() if name in recipes}
        replace_table(options.page, page(recipes, parts))
        write_picture(options.page.parent / PICTURE, recipes, parts)
    except LandmintError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(recipes)} systems, {len(parts)} of them measured")
    if elsewhere := sorted(parts.keys() - fresh.keys()):
        print(f"kept, for they did not run here: {', '.join(elsewhere)}")
    return 0


def runs_of(folder: Path) -> list[RunResult]:
    """The runs that were measured; none where nothing ran yet."""
    return list(read_runs(folder)) if any(folder.glob("*/bundle")) else []


def part(result: RunResult) -> str:
    """What a system's section says of its run, with why a variant is not there at all."""
    absent = {*FLOAT32, *INT8} - {summary.name for summary in result.summaries}
    missing = f"Not measured: {listed(sorted(absent))}. The recipe does not ask for it"
    return "\n\n".join([measured_part(result), *([missing] if absent else [])])


def kept_parts(path: Path) -> dict[str, str]:
    """What the page says of each run, by the system's recipe, as `part` wrote it.

    Raises:
        LandmintError: the page is missing or does not have its two markers.
    """
    sections = [
        (
            re.search(r"^`(.+?)`", text, re.MULTILINE),
            re.search(r"^- Measured on (?s:.)*", text, re.M),
        )
        for text in read_sections(path).values()
    ]
    return {name[1]: measured[0] for name, measured in sections if name and measured}


def page(recipes: Mapping[str, Recipe], parts: Mapping[str, str]) -> str:
    """The table, what holds for several of its rows, and a section for each system.

    Args:
        recipes: each system's, by name.
        parts: what was measured of each, as `part` writes it; systems without are not trained.

    Raises:
        LandmintError: one of these has no table of figures.
    """
    figures = {name: figures_of(name, text) for name, text in sorted(parts.items())}
    rows = [_row(name, recipe, figures.get(name)) for name, recipe in recipes.items()]
    gaps = [row[0] for row in rows if row[0] in parts and any(NONE in cell for cell in row)]
    notes = [*machine_notes(parts), *([f"{_GAPS}: {listed(gaps)}."] if gaps else [])]
    drawn = _about_picture(points_by_machine(recipes, parts))
    sections = (_section(name, recipe, parts.get(name)) for name, recipe in recipes.items())
    return "\n\n".join([markdown_table(_COLUMNS, rows), *notes, *drawn, *sections])


def _row(name: str, recipe: Recipe, figures: Mapping[str, Figures] | None) -> list[str]:
    source, size = _source(recipe), size_of(recipe)
    counts = number(size.parameters / 1e6), number(size.macs / 1e6, 0)
    good_for = source.board or _FAMILY_IS_GOOD_FOR[source.family]
    cells = [NOT_TRAINED, *[NONE] * 5] if figures is None else by_engine(figures)
    return [name, source.system, source.family, good_for, *counts, *cells]


def points_by_machine(
    recipes: Mapping[str, Recipe], parts: Mapping[str, str]
) -> list[tuple[str, list[Point]]]:
    """What can be drawn, of each machine; that of which most can be drawn stands first.

    Raises:
        LandmintError: a system's part has no table of figures.
    """
    drawn = []
    for machine, names in sorted(by_machine(parts).items()):
        figures = {name: figures_of(name, parts[name]).get(DRAWN, Figures()) for name in names}
        points = [
            Point(name, _source(recipes[name]).family, float(f.warm_ms), float(f.nme))
            for name, f in figures.items()
            if _FIGURE.fullmatch(f.nme) and _FIGURE.fullmatch(f.warm_ms)
        ]
        drawn += [(machine, points)] if points else []
    return sorted(drawn, key=lambda each: -len(each[1]))


def _about_picture(by_machine: Sequence[tuple[str, Sequence[Point]]]) -> Iterator[str]:
    """The picture, who stands on its front, and who was left out."""
    yield f"![NME against the latency of INT8 in TFLite, with the Pareto front]({PICTURE})"
    for _, points in by_machine[:1]:
        best = [f"{p.name} ({milliseconds(p.ms)} ms, {number(p.nme)} %)" for p in front(points)]
        yield f"On the front stand {listed(best)}: no system drawn is both quicker and better."
    others = sorted(point.name for _, points in by_machine[1:] for point in points)
    if others:
        yield f"Not drawn, for they were timed on another machine: {listed(others)}."


def write_picture(path: Path, recipes: Mapping[str, Recipe], parts: Mapping[str, str]) -> None:
    """Draw NME against latency of the systems that one machine measured.

    Raises:
        LandmintError: the picture cannot be written, or a system's part has no table of figures.
    """
    by_machine = points_by_machine(recipes, parts)
    machine, points = by_machine[0] if by_machine else ("", [])
    path.parent.mkdir(exist_ok=True)
    write_text(path, picture(points, f"Measured on {machine}" if machine else ""))


def size_of(recipe: Recipe) -> Complexity:
    """Of the recipe's own student, whose weights are never made."""
    model = recipe.student.model
    kind = model_class(model.name)
    with torch.device("meta"):
        contract = kind.contract_for(model, stand_in_shape(int(model.markup)))
        return complexity(kind(model.model_copy(update={"pretrained": False}), contract))


def _section(name: str, recipe: Recipe, measured: str | None) -> str:
    source = _source(recipe)
    lines = [f"## {source.system}", f"`{name}`. {source.paper}."]
    if size := source.size:
        counted = f"{size.parameters_m:g} M parameters, {size.gmacs:g} GMACs ({size.counted})"
        lines.append(f"Published network: {counted}.")
    lines += [f"Published: {source.published}", f"Ours: {source.ours}"]
    if source.recalled:
        lines.append(f"Not checked at the source: {source.recalled}.")
    untrained = f"{NOT_TRAINED.capitalize()}: {source.untrained or _NOT_YET}."
    return "\n\n".join([*lines, measured or untrained])


def _source(recipe: Recipe) -> SourceConfig:
    assert recipe.source is not None  # a test sees to it
    return recipe.source


if __name__ == "__main__":
    sys.exit(main())
