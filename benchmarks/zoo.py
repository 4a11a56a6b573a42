"""Write docs/zoo.md: every published system with what is measured of it under runs/.

Nothing is trained or measured here; a system without a measured run says so. Sizes are counted on
the recipe's own network.

    python benchmarks/zoo.py [--runs runs]
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from landmint.pipeline.judge.summary import VariantSummary, machine_of
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.shipped_recipes import published_systems
from landmint.pipeline.text import NONE, markdown_table, milliseconds, number, percent
from landmint.runtime.errors import LandmintError
from landmint.train.models import model_class
from landmint.train.models.complexity import Complexity, complexity
from landmint.train.starting import stand_in_shape

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.results import RunResult, read_runs, replace_table  # noqa: E402

ENGINES = ("onnx", "openvino", "tflite")
_COLUMNS = (
    *("recipe", "system", "family", "parameters, M", "MMACs", "NME, %"),
    *("INT8 rise, points", "float32, ms", "INT8, ms"),
)
_EACH = " / "
NOT_TRAINED = "not trained"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replace the page's part between its markers; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "zoo.md")
    options = parser.parse_args(arguments)
    recipes = {name: load_recipe(path) for name, path in published_systems().items()}
    try:
        names = {recipe.name for recipe in recipes.values()}
        results = {r.name: r for r in measured(options.runs) if r.name in names}
        replace_table(options.page, page(recipes, results))
    except LandmintError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(recipes)} systems, {len(results)} of them measured")
    return 0


def measured(runs: Path) -> list[RunResult]:
    """The runs that were measured; none where nothing ran yet."""
    return list(read_runs(runs)) if any(runs.glob("*/bundle")) else []


def page(recipes: Mapping[str, Recipe], results: Mapping[str, RunResult]) -> str:
    """The table, where it was measured, and what each system is."""
    rows = [_row(name, recipe, results.get(recipe.name)) for name, recipe in recipes.items()]
    machines = sorted({machine_of(result.summaries) for result in results.values()} - {""})
    parts = [markdown_table(_COLUMNS, rows), *(f"Measured on {machine}." for machine in machines)]
    return "\n\n".join([*parts, *map(_about, recipes.items())])


def _row(name: str, recipe: Recipe, result: RunResult | None) -> list[str]:
    source, size = recipe.source, size_of(recipe)
    assert source is not None
    counts = number(size.parameters / 1e6), number(size.macs / 1e6, 0)
    return [name, source.system, source.family, *counts, *(_figures(result) if result else _NONE)]


_NONE = (NOT_TRAINED, *[NONE] * 3)


def _figures(result: RunResult) -> tuple[str, ...]:
    """NME of the trained network, then by engine what INT8 adds to it, and both latencies."""
    variants = {summary.name: summary for summary in result.summaries}
    reference = next(summary for summary in result.summaries if summary.is_reference)
    nme = reference.accuracy.main.nme if reference.accuracy else None

    float32, int8 = (
        [variants.get(f"{engine}/{precision}") for engine in ENGINES]
        for precision in ("float32", "int8")
    )
    columns = (map(_rise, int8), map(_latency, float32), map(_latency, int8))
    return percent(nme), *map(_EACH.join, columns)


def _rise(summary: VariantSummary | None) -> str:
    return percent(summary.difference.nme_rise.estimate if summary and summary.difference else None)


def _latency(summary: VariantSummary | None) -> str:
    return milliseconds(summary.latency.warm_ms if summary and summary.latency else None)


def size_of(recipe: Recipe) -> Complexity:
    """Of the recipe's own student, whose weights are never made."""
    model = recipe.student.model
    kind = model_class(model.name)
    with torch.device("meta"):
        contract = kind.contract_for(model, stand_in_shape(int(model.markup)))
        return complexity(kind(model.model_copy(update={"pretrained": False}), contract))


def _about(system: tuple[str, Recipe]) -> str:
    name, recipe = system
    source = recipe.source
    assert source is not None
    size = source.size
    lines = [f"## {source.system}", f"`{name}`. {source.paper}."]
    if size:
        counted = f"{size.parameters_m:g} M parameters, {size.gmacs:g} GMACs ({size.counted})"
        lines.append(f"Published network: {counted}.")
    lines += [f"Published: {source.published}", f"Ours: {source.ours}"]
    if source.recalled:
        lines.append(f"Not checked at the source: {source.recalled}.")
    return "\n\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
