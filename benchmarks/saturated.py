"""Measure the shipped models' INT8 on a processor where its sums overflow, for tests/reference.

x86 processors without VNNI add pairs of products in 16 bits, so ONNX Runtime and OpenVINO find
other landmarks there than where the models were published. Run this on such a processor after each
`benchmarks/publish.py`, which leaves these figures out.

    python benchmarks/saturated.py
"""

import sys
import tempfile
from collections.abc import Mapping
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
from landmint.runtime.engines import SATURATING  # noqa: E402
from landmint.runtime.errors import LandmintError  # noqa: E402
from landmint.runtime.formats import FORMATS  # noqa: E402
from landmint.runtime.machine import identify  # noqa: E402
from landmint.train.models import load_model  # noqa: E402
from landmint.train.zoo import shipped  # noqa: E402


def main() -> int:
    """Measure every shipped model and write the figures into its reference."""
    if not identify().int8_saturates:
        print("saturated: on this processor no sums of INT8 overflow", file=sys.stderr)
        return 3
    for model in shipped():
        path = ROOT / "tests" / "reference" / f"{model.name}.toml"
        told = read_reference(path)
        recipe = load_recipe(ROOT / "recipes" / f"{told.recipe}.toml")
        with tempfile.TemporaryDirectory() as folder, Screen().bar(model.name) as bar:
            run, network = Run(recipe, Path(folder) / "run"), load_model(model.weights)
            drawn, test = measure(run, network, Path(folder), bar)
        written = replace(told, drawn=_with(told.drawn, drawn), test=_with(told.test, test))
        write_reference(path, written)
        print(path)
    return 0


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
