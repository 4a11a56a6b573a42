"""Measure the shipped models' INT8 on a processor where its sums overflow, for tests/reference.

x86 processors without VNNI add pairs of products in 16 bits, so ONNX Runtime and OpenVINO find
other landmarks there than where the models were published. Run this on such a processor after each
`benchmarks/publish.py`, which leaves these figures out. With --reduced nothing is written: it
prints what `quantize.reduce_range` makes of them, beside the published figures.

    python benchmarks/saturated.py
    python benchmarks/saturated.py --reduced pipnet-lite0
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.publish import measure  # noqa: E402
from landmint.pipeline.progress import Screen  # noqa: E402
from landmint.pipeline.recipe import load_recipe  # noqa: E402
from landmint.pipeline.reference import (  # noqa: E402
    FormError,
    Measured,
    read_reference,
    write_reference,
)
from landmint.pipeline.run import Run  # noqa: E402
from landmint.pipeline.text import markdown_table  # noqa: E402
from landmint.runtime.engines import SATURATING  # noqa: E402
from landmint.runtime.errors import LandmintError  # noqa: E402
from landmint.runtime.formats import FORMATS  # noqa: E402
from landmint.runtime.machine import identify  # noqa: E402
from landmint.train.models import load_model  # noqa: E402
from landmint.train.zoo import Shipped, shipped  # noqa: E402

_COLUMNS = ("model", "variant", "without overflow, NME %", "here, %", "here with reduce_range, %")


def main() -> int:
    """Measure shipped models; write the figures into their references, or print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="all that ship, when absent")
    parser.add_argument("--reduced", action="store_true", help="with quantize.reduce_range")
    options = parser.parse_args()
    if not identify().int8_saturates:
        print("saturated: on this processor no sums of INT8 overflow", file=sys.stderr)
        return 3
    rows = []
    for model in shipped():
        if options.models and model.name not in options.models:
            continue
        path = ROOT / "tests" / "reference" / f"{model.name}.toml"
        told = read_reference(path)
        drawn, test = _measured(model, told.recipe, options.reduced)
        if options.reduced:
            rows += list(_rows(model.name, told.test, test))
            continue
        written = replace(told, drawn=_with(told.drawn, drawn), test=_with(told.test, test))
        write_reference(path, written)
        print(path)
    if rows:
        print(markdown_table(_COLUMNS, rows))
    return 0


def _measured(model: Shipped, recipe_name: str, reduced: bool) -> tuple[Measured, Measured]:
    """The errors here, on drawn faces and on the recipe's test faces."""
    recipe = load_recipe(ROOT / "recipes" / f"{recipe_name}.toml")
    config = recipe.quantize.model_copy(update={"reduce_range": reduced})
    recipe = recipe.model_copy(update={"quantize": config})
    with tempfile.TemporaryDirectory() as folder, Screen().bar(model.name) as bar:
        run, network = Run(recipe, Path(folder) / "run"), load_model(model.weights)
        return measure(run, network, Path(folder), bar)


def _rows(model: str, told: Measured, here: Measured) -> Iterator[list[str]]:
    """A row for each form whose sums overflow: NME on the test faces, in percent."""
    for variant, overflowing in told.saturated.items():
        figures = (told.figures[variant], overflowing, here.figures[variant])
        yield [model, variant, *(f"{figure.nme_percent:.3f}" for figure in figures)]


def _with(told: Measured, here: Measured) -> Measured:
    """What was published, and what overflows here; as much is tolerated as without overflow."""
    overflowing: Mapping[str, FormError] = {
        name: replace(figure, tolerance_points=told.figures[name].tolerance_points)
        for name, figure in here.figures.items()
        if name.endswith("/int8") and FORMATS[name.partition("/")[0]].engine in SATURATING
    }
    return replace(told, saturated=overflowing)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LandmintError as error:
        print(f"saturated: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
