"""What else could be chosen in a student's graph, and whether it would make INT8 quicker.

The student of a recipe's run, as it was exported, against the same graph with

- layers of stride 2 padded on the right and below alone, as TensorFlow pads, in place of evenly:
  TFLite then has no PAD;
- the heads of a PIPNet in one layer whose output is split, in place of one layer for each output.

All forms of an engine take turns on this machine, one thread each, in one visit. Times alone are
compared: weights that were learned with one padding are no weights for another. Prints Markdown.

    python benchmarks/forms.py recipes/pipnet-mbv3-plain-taught-ytf68.toml
"""

import argparse
import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from landmint.export.forms import openvino, tflite
from landmint.export.graphs import Wiring, attribute, replace_nodes
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.measuring import measure_into
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, milliseconds, number
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.bundle import Bundle, Manifest, write_bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import LISTED, TORCH
from landmint.runtime.latency import latency_ratio, summarise_latency
from landmint.runtime.measurement import read_measurements
from landmint.runtime.progress import Progress
from landmint.train.faces.face import FaceSet

ROOT = Path(__file__).resolve().parents[1]
_FORMS = ("onnx", "openvino", "tflite")
_CALIBRATION = QuantizeConfig(formats=_FORMS, size=16)  # of times alone: any few faces do
_COLUMNS = ("student", "form", "engine", "INT8, ms", "times as fast as exported", "95 %")


def pad_one_sided(graph: onnx.GraphProto) -> None:
    """Move one row and column of padding of each layer of stride 2 to the other side, in place."""
    for node in graph.node:
        if node.op_type == "Conv" and list(attribute(node, "strides", [1, 1])) == [2, 2]:
            for one in node.attribute:
                if one.name == "pads" and one.ints[0]:
                    before = one.ints[0] - 1
                    one.ints[:] = [before, before, before + 1, before + 1]


def join_heads(graph: onnx.GraphProto) -> None:
    """Let one 1x1 layer make all outputs that are layers of the same tensor, in place."""
    wiring = Wiring(graph)
    heads = [wiring.maker[name] for name in wiring.outputs]
    if len(heads) < 2 or len({head.input[0] for head in heads}) > 1:
        return
    inputs = [heads[0].input[0]]
    for place, name in ((1, "heads_weight"), (2, "heads_bias")):
        parts = [numpy_helper.to_array(wiring.constants[head.input[place]]) for head in heads]
        graph.initializer.append(numpy_helper.from_array(np.concatenate(parts), name))
        inputs.append(name)
    sizes = np.array([wiring.constants[head.input[1]].dims[0] for head in heads], np.int64)
    graph.initializer.append(numpy_helper.from_array(sizes, "heads_sizes"))
    layer = helper.make_node("Conv", inputs, ["heads"], "heads", kernel_shape=[1, 1])
    outputs = [head.output[0] for head in heads]
    split = helper.make_node("Split", ["heads", "heads_sizes"], outputs, "heads_split", axis=1)
    kept = [node for node in graph.node if node not in heads]
    replace_nodes(graph, [*kept, layer, split])


FORMS: Mapping[str, Callable[[onnx.GraphProto], None]] = {
    "as exported": lambda graph: None,
    "padded on one side": pad_one_sided,
    "heads in one layer": join_heads,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--seconds", type=float, default=8.0, help="of warm runs, each form")
    options = parser.parse_args(arguments)
    rows: list[list[str]] = []
    try:
        for recipe in map(load_recipe, options.recipes):
            run = Run(recipe, options.runs / recipe.name)
            with tempfile.TemporaryDirectory() as scratch, Screen().bar(recipe.name) as bar:
                rows += rows_of(run, Path(scratch), options.seconds, bar)
    except LandmintError as error:
        print(f"forms: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(_COLUMNS, rows))
    return 0


def rows_of(run: Run, scratch: Path, seconds: float, bar: Progress) -> Iterator[list[str]]:
    """A row for each form that differs and each engine that ran it.

    Raises:
        LandmintError: the run has no float bundle, or a form cannot be built.
    """
    source = Bundle.open(run.place("float-bundle"))
    plain = onnx.load(source.entry(source.variant("onnx/float32"))).SerializeToString()
    bundles = {}
    for form, change in FORMS.items():
        model = onnx.load_from_string(plain)
        change(model.graph)
        if form != "as exported" and model.SerializeToString() == plain:
            continue  # there is nothing to change
        bar.step(f"build the student {form}")
        bundles[form] = built(source, model, run.faces("train"), run.faces("test"), scratch / form)
    together = beside_each_other(source, bundles, scratch / "together")
    config = MeasureConfig(launches=5, samples=2000, seconds=seconds)
    names = [one.name for one in together.manifest.variants if one.name != TORCH]
    few = dataclasses.replace(run.faces("test"), faces=run.faces("test").faces[:8])
    measure_into(scratch / "times", together, few, config, names, bar)
    launches = {one.variant: one.launches for one in read_measurements(scratch / "times")}
    for place, form in enumerate(bundles):
        for format_ in _FORMS:
            first, this = (launches[f"{format_}/int8-{i}"] for i in (0, place))
            ratio = latency_ratio(first, this)
            yield [
                *(run.recipe.name, form, LISTED[format_].label),
                milliseconds(summarise_latency(this, one_thread=True).warm_ms),
                number(ratio.estimate) if ratio and place else "",
                f"{number(ratio.low)} to {number(ratio.high)}" if ratio and place else "",
            ]


def built(
    source: Bundle, model: onnx.ModelProto, faces: FaceSet, apart: FaceSet, folder: Path
) -> Bundle:
    """Every format of a changed graph, in float32 and INT8."""
    kept = [f"{name}/float32" for name in _FORMS]

    def build(place: Path) -> Manifest:
        graph = place / "onnx/float32.onnx"
        graph.parent.mkdir()
        onnx.save(model, graph)
        for export, file in (
            (openvino.export, place / "openvino/float32.xml"),
            (tflite.export, place / "tflite/float32.tflite"),
        ):
            file.parent.mkdir()
            export(graph, {"float32": file})
        variants = tuple(dataclasses.replace(source.variant(name), notes={}) for name in kept)
        return dataclasses.replace(source.manifest, variants=variants, files={})

    plain = write_bundle(folder.with_name(f"{folder.name}, float"), build)
    one = dataclasses.replace(apart, faces=apart.faces[:1])
    return quantize_bundle(plain, faces, one, _CALIBRATION, folder)


def beside_each_other(source: Bundle, bundles: Mapping[str, Bundle], folder: Path) -> Bundle:
    """One bundle of a bundle's network in PyTorch and the INT8 variants of several, numbered."""

    def build(place: Path) -> Manifest:
        variants = [source.variant(TORCH)]
        (place / "torch").mkdir()
        for name in variants[0].files:
            shutil.copyfile(source.path / name, place / name)
        for number_, bundle in enumerate(bundles.values()):
            for format_ in _FORMS:
                variant = bundle.variant(f"{format_}/int8")
                files = []
                for name in variant.files:
                    files.append(name.replace("int8", f"int8-{number_}"))
                    (place / files[-1]).parent.mkdir(exist_ok=True)
                    shutil.copyfile(bundle.path / name, place / files[-1])
                name = f"{variant.name}-{number_}"
                variants.append(dataclasses.replace(variant, name=name, files=tuple(files)))
        return dataclasses.replace(source.manifest, variants=tuple(variants), files={})

    return write_bundle(folder, build)


if __name__ == "__main__":
    sys.exit(main())
