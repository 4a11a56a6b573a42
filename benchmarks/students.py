"""What a student's activation, gates and decoder cost: time, size and NME on every engine.

For each recipe the float32 and INT8 forms take turns on this machine, one thread each, in one
visit. Where the recipe's run has a bundle, that is measured, and the NME is the run's; else the
student is built with untrained weights, of which times do not depend. Prints Markdown.

    python benchmarks/students.py recipes/pipnet-mbv3*-ytf68.toml recipes/mobilefan*-ytf68.toml
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from landmint.export.bundle_export import TORCH_WEIGHTS, export_bundle
from landmint.export.config import ExportConfig
from landmint.pipeline.judge.summary import VariantSummary, summarise_run
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.measuring import measure_into
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, milliseconds, number, percent
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import LISTED
from landmint.runtime.measurement import read_measurements
from landmint.runtime.progress import Progress
from landmint.train.faces.dataset import mean_shape
from landmint.train.faces.face import FaceSet
from landmint.train.models import create_model, load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.models.complexity import complexity
from landmint.train.models.trunks import trunk_kind

ROOT = Path(__file__).resolve().parents[1]
FORMS = ("onnx", "openvino", "tflite")
_CALIBRATION = QuantizeConfig(formats=FORMS, size=16)  # of untrained weights: any few faces do
_COLUMNS = (
    *("student", "activation", "gates", "decoder", "parameters, M", "MACs, G", "engine"),
    *("float32, ms", "INT8, ms", "times as fast", "95 %", "size, %", "NME float32, %", "INT8, %"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--seconds", type=float, default=8.0, help="of warm runs, each variant")
    options = parser.parse_args(arguments)
    rows: list[list[str]] = []
    try:
        for recipe in map(load_recipe, options.recipes):
            run = Run(recipe, options.runs / recipe.name)
            with tempfile.TemporaryDirectory() as scratch, Screen().bar(recipe.name) as bar:
                rows += rows_of(run, Path(scratch), options.seconds, bar)
    except LandmintError as error:
        print(f"students: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(_COLUMNS, rows))
    return 0


def rows_of(run: Run, scratch: Path, seconds: float, bar: Progress) -> Iterator[list[str]]:
    """A row for each engine that ran both forms.

    Raises:
        LandmintError: the faces cannot be read, or the student cannot be built.
    """
    there = run.place("bundle").is_dir()
    bundle = Bundle.open(run.place("bundle")) if there else untrained(run, scratch, bar)
    model = load_model(bundle.path / TORCH_WEIGHTS)
    config = MeasureConfig(launches=5, samples=2000, seconds=seconds)
    names = [f"{form}/{precision}" for form in FORMS for precision in ("float32", "int8")]
    measure_into(scratch / "times", bundle, _few(run.faces("test"), 8), config, names, bar)
    times = _summaries(scratch / "times")
    trained = _summaries(run.place("measurements"))
    for form in FORMS:
        plain, int8 = (times[f"{form}/{precision}"] for precision in ("float32", "int8"))
        if plain.latency and int8.latency and int8.speedup:
            nme = [_nme(trained.get(f"{form}/{precision}")) for precision in ("float32", "int8")]
            size = int8.measurement.size_bytes / plain.measurement.size_bytes
            yield [
                *(run.recipe.name, *_choices(model), LISTED[form].label),
                *(milliseconds(one.latency.warm_ms) for one in (plain, int8) if one.latency),
                number(int8.speedup.estimate),
                f"{number(int8.speedup.low)} to {number(int8.speedup.high)}",
                *(percent(size, 1), *nme),
            ]


def untrained(run: Run, scratch: Path, bar: Progress) -> Bundle:
    """The student's bundle with random weights."""
    network, faces = run.recipe.student.model, _few(run.faces("train"), 64)
    torch.manual_seed(0)
    shape = mean_shape(faces, network.crop)
    model = create_model(network.model_copy(update={"pretrained": False}), shape)
    export = ExportConfig(formats=FORMS, parity_faces=1)
    bundle = export_bundle(model.eval(), faces, export, scratch / "float", {}, bar)
    apart = _few(run.faces("test"), 1)
    return quantize_bundle(bundle, faces, apart, _CALIBRATION, scratch / "bundle", bar)


def _few(faces: FaceSet, count: int) -> FaceSet:
    return dataclasses.replace(faces, faces=faces.faces[:count])


def _summaries(folder: Path) -> dict[str, VariantSummary]:
    """By variant; none where nothing was measured."""
    if not (folder / TRUTH_FILE).is_file():
        return {}
    truth = read_truth(folder / TRUTH_FILE)
    return {one.name: one for one in summarise_run(read_measurements(folder), truth)}


def _choices(model: LandmarkModel) -> list[str]:
    """What the table varies, and what it comes to."""
    config, size = model.config, complexity(model)
    kind = trunk_kind(model.backbone_of(config))
    gates = kind.squeeze_excite and config.squeeze_excite
    return [
        config.activation or kind.activations[0],
        "yes" if gates else "no",
        model.decoder_of(config) or "none",
        number(size.parameters / 1e6),
        number(size.macs / 1e9, 3),
    ]


def _nme(summary: VariantSummary | None) -> str:
    return percent(summary.accuracy.main.nme) if summary and summary.accuracy else "not trained"


if __name__ == "__main__":
    sys.exit(main())
