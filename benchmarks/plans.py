"""What NVIDIA's parser and builder make of the shipped models' TensorRT forms, without a GPU.

Each model is exported, quantised, and measured as `landmint measure` does on a machine with
landmint[tensorrt-rtx] and no GPU: built, not run. Faces are drawn: layers and sizes depend on none.
Prints Markdown.

    python benchmarks/plans.py
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from landmint.export.bundle_export import export_bundle
from landmint.export.config import ExportConfig
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.measuring import measure_into
from landmint.pipeline.progress import Screen
from landmint.pipeline.reference import draw_faces
from landmint.pipeline.report.plans import cautions, plans_table
from landmint.pipeline.text import markdown_table, one_line
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.errors import LandmintError
from landmint.runtime.measurement import Measurement, read_measurements
from landmint.runtime.progress import Progress
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import Split, SyntheticConfig
from landmint.train.models import load_model
from landmint.train.zoo import find_model, shipped

FORMATS = ("tensorrt",)
DRAWN = SyntheticConfig(train=64, val=0, test=4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=[model.name for model in shipped()])
    options = parser.parse_args(arguments)
    rows: list[list[str]] = []
    plans: list[Measurement] = []
    try:
        with scratch_folder() as scratch:
            faces = draw_faces(scratch, "68", DRAWN)
            for model in options.models:
                with Screen().bar(model) as bar:
                    built = build(model, faces, scratch / "bundles" / model, bar)
                rows += ([model, *row] for row in table_rows(built))
                plans += built
    except LandmintError as error:
        print(f"plans: {error}", file=sys.stderr)
        return error.exit_code
    columns = [", ".join(filter(None, (c.title, c.unit))) for c in plans_table(plans).columns]
    print("\n\n".join((markdown_table(["model", *columns], rows), *cautions(plans))))
    return 0


def build(
    model: str, faces: Mapping[Split, FaceSet], folder: Path, bar: Progress
) -> tuple[Measurement, ...]:
    """Measure the TensorRT forms of a shipped model; without a GPU they are built.

    Raises:
        LandmintError: a form cannot be made, or was not built.
    """
    network = load_model(find_model(model))
    formats = ExportConfig(formats=FORMATS)
    plain = export_bundle(network, faces["test"], formats, folder / "float", {}, bar)
    settings = QuantizeConfig(formats=FORMATS)
    bundle = quantize_bundle(plain, faces["train"], faces["test"], settings, folder / "int8", bar)
    variants = [one.name for one in bundle.manifest.variants if one.format in FORMATS]
    config = MeasureConfig(launches=1, samples=1, seconds=0.01)
    measure_into(folder / "measured", bundle, faces["test"], config, variants, bar)
    measured = tuple(
        raw for raw in read_measurements(folder / "measured") if raw.variant in variants
    )
    for raw in measured:
        if raw.built is None:
            raise LandmintError(
                f"{model}: {raw.variant}: {raw.status}", reason=one_line(raw.reason)
            )
    return measured


def table_rows(measurements: Sequence[Measurement]) -> Iterator[list[str]]:
    """The rows of the report's table, as text."""
    for row in plans_table(measurements).rows:
        yield [row.head, *(cell.text for cell in row.cells)]


if __name__ == "__main__":
    sys.exit(main())
