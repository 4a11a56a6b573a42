"""What quantisation-aware training wins over quantising the trained student as it is.

For a run's student: INT8 made of it after training, and after training on with the recipe's [qat],
both through the same export and calibration. NME on the test faces by ONNX Runtime, and how far
the landmarks move from those of the float student, as differences paired by face, with 95 %
intervals over persons. Training on alone lowers the NME of a student that was not
finished, so a third INT8 form is made of the student trained on in float with the same schedule.
Prints Markdown.

    python benchmarks/qat.py runs/demo recipes/demo.toml [--out FOLDER] [--train-faces 1000]
"""

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, percent_interval
from landmint.quantize.config import QatConfig
from landmint.quantize.decide.decision import RANGES, decide, read_decision
from landmint.quantize.displacement import landmarks
from landmint.quantize.qat.adapt import adapt_network
from landmint.quantize.qat.training import (
    calibration_crops,
    fit_config,
    float_graph,
    int8_graph,
    truth_task,
)
from landmint.runtime.accuracy import Truth, difference, summarise
from landmint.runtime.crop import Floats, apply_affine, normalise
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError
from landmint.train.config import TrainingPlan
from landmint.train.evaluate import crop_faces, evaluate, truth_of
from landmint.train.faces.face import FaceSet
from landmint.train.fit import fit
from landmint.train.models import load_model
from landmint.train.models.base import LandmarkModel


class Bench:
    """A recipe's student, and what it is judged on."""

    def __init__(self, run: Run, train_faces: int) -> None:
        """Read student and faces."""
        self.recipe = run.recipe
        self.weights = run.place("student") / WEIGHTS
        self.student = load_model(self.weights)
        self.train, self.val = _some(run.faces("train"), train_faces), run.faces("val")
        self.test: Truth = truth_of(run.faces("test"))
        self.faces = run.faces("test")
        self.crops = crop_faces(self.faces.faces, self.student.contract)

    def int8(self, network: LandmarkModel, ranges: Path | None = None) -> Floats:
        """Landmarks (N, L, 2) of the test faces in image pixels, of the network's INT8 form."""
        contract, config, graph = network.contract, self.recipe.quantize, float_graph(network)
        chosen = calibration_crops(contract, graph, self.train, config)
        decision = read_decision(ranges, graph.graph) if ranges else decide(graph, chosen, config)
        with tempfile.TemporaryDirectory() as work:
            target = Path(work) / "int8.onnx"
            onnx.save(int8_graph(contract, graph, decision, chosen, config), target)
            session = load_engine("onnxruntime").load(target, contract, threads=1)
            points = landmarks(session, contract, normalise(self.crops.crops, contract))
        return apply_affine(self.crops.matrices, points)

    def adapted(self, out: Path) -> LandmarkModel:
        """The student after the recipe's [qat], without a teacher."""
        with Screen().bar("training on, rounded") as bar:
            plan = TrainingPlan(self.recipe.student, self.train, self.val)
            config = self.recipe.qat or QatConfig()
            made = adapt_network(plan, config, self.recipe.quantize, self.weights, out, bar)
        return load_model(made)

    def control(self, out: Path) -> LandmarkModel:
        """The student after the same epochs in float, with nothing to guide it but the truth."""
        settings, model = self.recipe.student, load_model(self.weights)
        task = truth_task(model, settings.loss, self.train)
        config = fit_config(settings.fit, self.recipe.qat or QatConfig())
        return load_model(fit(model, task, self.train, self.val, settings.augment, config, out))


def _some(faces: FaceSet, count: int) -> FaceSet:
    """So many faces, chosen at random, or all."""
    order = np.random.default_rng(0).permutation(len(faces.faces))[: count or None]
    return dataclasses.replace(
        faces,
        faces=tuple(faces.faces[i] for i in sorted(order)),
        fingerprint=f"{count or 'all'} of {faces.fingerprint}",
    )


def rows(bench: Bench, out: Path) -> list[list[str]]:
    """Train, quantise, measure: a row for each form of the student."""
    reference = evaluate(bench.student, bench.faces, crops=bench.crops).points
    plain = bench.int8(bench.student)
    forms = {
        "float32": reference,
        "INT8": plain,
        "INT8 after [qat]": bench.int8(bench.adapted(out / "qat"), out / "qat" / RANGES),
        "INT8 after the same epochs in float": bench.int8(bench.control(out / "control")),
    }
    found = []
    for name, points in forms.items():
        nme, moved = (
            summarise(points, bench.test).interval,
            difference(points, reference, bench.test),
        )
        gained = difference(points, plain, bench.test).nme_rise
        shown = (nme, moved.nme_rise, gained, moved.displacement)
        found.append([name, *(" ".join(percent_interval(one, 3)) for one in shown)])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run whose student is trained")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--faces", type=Path, help="the data set's folder")
    parser.add_argument("--train-faces", type=int, default=0, help="so many at random; 0 for all")
    parser.add_argument("--out", type=Path, help="folder to train in; goes on where it stopped")
    asked = parser.parse_args()
    recipe = load_recipe(asked.recipe)
    recipe = recipe.with_faces(asked.faces) if asked.faces else recipe
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(Run(recipe, asked.run), asked.train_faces)
        found = rows(bench, asked.out or Path(work))
    counts = [len(faces.faces) for faces in (bench.train, bench.val, bench.faces)]
    contract = bench.student.contract
    unit = contract.landmarks.error_unit
    scales = " x ".join(f"{scale:g}" for scale in dict.fromkeys(contract.crop.scale))
    print(
        f"{recipe.name}: {bench.student.config.name}, {contract.input_size} px, box x "
        f"{scales}; {recipe.faces.kind} faces: {counts[0]} train, {counts[1]} val, "
        f"{counts[2]} test; NME over the {unit}, %.\n"
    )
    columns = ("form", "NME", "over float32", "over INT8", "moved from float32")
    print(markdown_table(columns, found))


if __name__ == "__main__":
    try:
        main()
    except LandmintError as error:
        sys.exit(f"qat: {error}")
