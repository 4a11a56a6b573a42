"""How much the calibration faces and the rule for ranges matter: NME of INT8 over several draws.

Each row quantises the same float32 ONNX graph once a draw, from other training faces, and judges it
in ONNX Runtime on validation faces. Between its levels the graph is computed in float: the integer
kernels overflow on x86 processors without VNNI, which is no fault of a setting. What varies within
a row is luck; what varies more than that between rows is the setting. Prints Markdown.

    python benchmarks/calibration.py recipes/pipnet-mbv3-ytf68.toml
"""

import argparse
import functools
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx

from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, number, percent
from landmint.quantize.config import Calibrator, QuantizeConfig, Strategy
from landmint.quantize.decide.calibration import crops_of
from landmint.quantize.decide.decision import decide
from landmint.quantize.decide.features import features_of
from landmint.quantize.decide.strategies import choose
from landmint.quantize.displacement import Points
from landmint.quantize.explain.sensitivity import Examination
from landmint.quantize.forms.onnx import quantize
from landmint.quantize.job import Job
from landmint.runtime.bundle import Bundle
from landmint.runtime.crop import normalise
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import Face, FaceSet

ROOT = Path(__file__).resolve().parents[1]
_COLUMNS = (
    *("setting", "draws", "NME rise, points", "least", "most", "standard deviation"),
    "displacement, crop px",
)


@dataclass(frozen=True, eq=False)
class Bench:
    """One float graph, faces to calibrate on, and faces to judge on."""

    bundle: Bundle
    graph: onnx.ModelProto
    faces: FaceSet
    exam: Examination
    reference: Points

    def cost(self, settings: Mapping[str, Any]) -> tuple[float, float]:
        """NME rise and displacement of one INT8 graph."""
        config = QuantizeConfig.model_validate(settings)
        contract = self.bundle.manifest.contract
        chosen = choose(self.faces, config, self._features)
        tensors = normalise(crops_of(chosen, contract), contract)
        decision = decide(self.graph, tensors, config)
        source = self.bundle.entry(self.bundle.variant("onnx/float32"))
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / "int8.onnx"
            quantize(Job(source, target, self.graph, decision, tensors, contract, config))
            cost = self.exam.simulated_cost(onnx.load(target), self.reference)
        return cost.nme_rise, cost.displacement_px

    def _features(self, faces: Sequence[Face]) -> Any:
        return np.stack([self._by_name[face.name] for face in faces])

    @functools.cached_property
    def _by_name(self) -> Mapping[str, Any]:
        """What the graph makes of each face, computed when a strategy first asks."""
        faces = self.faces.faces
        rows = features_of(self.graph, self.bundle.manifest.contract, faces)
        return {face.name: row for face, row in zip(faces, rows, strict=True)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Quantise, judge and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512])
    parser.add_argument("--only", default="", help="rows whose name begins so, as ranges")
    parser.add_argument("--judged", type=int, default=200, help="validation faces")
    options = parser.parse_args(arguments)
    try:
        recipe = load_recipe(options.recipe)
        bench = open_bench(Run(recipe, options.runs / recipe.name), options.judged)
        rows = list(rows_of(bench, options.draws, options.sizes, options.only))
    except LandmintError as error:
        print(f"calibration: {error}", file=sys.stderr)
        return error.exit_code
    nme = bench.exam.nme(bench.reference)
    judged, known = len(bench.exam.tensors), len(bench.faces.faces)
    print(f"float32 NME {percent(nme)} % on {judged} validation faces; {known} to draw from.\n")
    print(markdown_table(_COLUMNS, rows))
    return 0


def open_bench(run: Run, judged: int) -> Bench:
    """Read a run's float bundle and faces.

    Raises:
        LandmintError: the run has no float bundle, or its faces cannot be read.
    """
    bundle = Bundle.open(run.place("float-bundle"))
    contract = bundle.manifest.contract
    graph = onnx.load(bundle.entry(bundle.variant("onnx/float32")))
    train, val = run.faces("train"), run.faces("val")
    some = choose(val, QuantizeConfig(size=min(judged, len(val.faces)), strategy="random"))
    exam = Examination(FaceSet(val.markup, some, val.source, val.fingerprint), contract)
    return Bench(bundle, graph, train, exam, exam.points(graph))


def rows_of(bench: Bench, draws: int, sizes: Sequence[int], only: str) -> Iterator[Sequence[str]]:
    """One row a setting: every strategy, every calibrator, every size that there are faces for."""
    plain = QuantizeConfig()
    some = min(plain.size, len(bench.faces.faces))
    settings: list[tuple[str, dict[str, Any]]] = []
    for strategy in get_args(Strategy):
        settings.append((f"faces by {strategy}", {"strategy": strategy, "size": some}))
    for calibrator in get_args(Calibrator):
        name = "ranges by " + calibrator.replace("_", "-")
        settings.append((name, {"calibrator": calibrator, "size": some}))
    settings.append(("biases corrected", {"bias_correction": True, "size": some}))
    settings.append(("layers equalised", {"equalise": True, "size": some}))
    for size in sizes:
        if size <= len(bench.faces.faces):
            settings.append((f"{size} faces", {"size": size}))
    settings = [setting for setting in settings if setting[0].startswith(only)]
    with Screen().bar("calibration") as bar:
        for i, (name, changes) in enumerate(settings):
            bar.at(i, len(settings), name)
            yield _row(bench, name, changes, draws)


def _row(bench: Bench, name: str, changes: Mapping[str, Any], draws: int) -> Sequence[str]:
    try:
        costs = [bench.cost({**changes, "seed": seed}) for seed in range(draws)]
    except LandmintError as error:
        return (name, "0", f"not measured: {error.fact}", "", "", "", "")
    rises, displacements = np.array(costs).T
    figures = (rises.mean(), rises.min(), rises.max(), rises.std(ddof=1 if draws > 1 else 0))
    points = [number(100 * value, 3) for value in figures]
    return (name, str(draws), *points, number(float(displacements.mean()), 2))


if __name__ == "__main__":
    sys.exit(main())
