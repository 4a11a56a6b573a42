"""What faces without labels are worth: PIPNet's self-training with curriculum against none.

A recipe's student is trained on a few of its labelled training faces alone; on the same with
self-training on the others, whose labels are hidden; and on all of them. Every training takes as
many steps as the others, and self-training is one of them per round; no teacher takes part. NME on
the test faces, over several seeds. Prints Markdown.

    python benchmarks/self_training.py recipes/demo.toml --labelled 100 --steps 600 --out FOLDER
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from landmint.pipeline.driver import draw_faces
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, percent
from landmint.runtime.errors import LandmintError
from landmint.train.config import Curriculum, NetworkRecipe, SelfTrainingConfig, TrainingPlan
from landmint.train.evaluate import evaluate
from landmint.train.faces.face import FaceSet, face_set
from landmint.train.faces.readers import spread
from landmint.train.models import load_model
from landmint.train.rounds import self_train
from landmint.train.self_training import find_unlabelled
from landmint.train.training import train_network

ROUNDS: tuple[Curriculum, ...] = ("cls3", "cls2", "std", "std", "std")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--labelled", type=int, default=100, help="faces that keep their labels")
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", nargs="+", choices=("cls3", "cls2", "std"), default=ROUNDS)
    parser.add_argument("--out", type=Path, required=True, help="to go on after an interruption")
    options = parser.parse_args(arguments)
    try:
        bench = Bench(load_recipe(options.recipe), options)
        found = [list(bench.errors(seed)) for seed in range(options.seeds)]
    except LandmintError as error:
        print(f"self_training: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(("trained on", "NME, %", "spread", "least", "most"), rows_of(found)))
    return 0


class Bench:
    """A recipe's student and its faces, some of them with labels."""

    def __init__(self, recipe: Recipe, options: argparse.Namespace) -> None:
        """Read the faces; synthetic ones are drawn first.

        Raises:
            LandmintError: the faces cannot be read, or the few do not fill a batch.
        """
        self.options, self.screen = options, Screen()
        self.run = Run(recipe, options.out / "run")
        draw_faces(self.run, self.screen)
        self.all, self.val, self.test = (self.run.faces(s) for s in ("train", "val", "test"))
        chosen = spread(self.all.faces, options.labelled)
        self.few: FaceSet = face_set(self.all.markup, chosen, "a few")
        batch = recipe.student.fit.batch_size
        if len(self.few.faces) < batch:
            raise LandmintError(
                f"{len(self.few.faces)} labelled faces do not fill one batch",
                reason=f"batch_size is {batch}",
                remedy="raise --labelled",
            )

    def errors(self, seed: int) -> Iterator[tuple[str, float]]:
        """What was trained on, and NME on the test faces."""
        folder = self.options.out / str(seed)
        few = f"{len(self.few.faces)} labelled faces"
        alone = self.train(self.few, folder / "few", seed)
        yield few, self.nme(alone)
        network = self.network(seed, len(self.all.faces))
        settings = SelfTrainingConfig(
            faces=self.run.faces_config, rounds=tuple(self.options.rounds)
        )
        others = len(self.all.faces) - len(self.few.faces)
        unlabelled = find_unlabelled(settings.faces, self.few, (self.val, self.test))
        with self.screen.bar(f"seed {seed}: self-training") as bar:
            place = folder / "self-training"
            plan = TrainingPlan(network, self.few, self.val)
            weights = self_train(plan, settings, alone, unlabelled, place, bar)
        yield f"{few}, {others} without", self.nme(weights)
        yield (
            f"{len(self.all.faces)} labelled faces",
            self.nme(self.train(self.all, folder / "all", seed)),
        )

    def train(self, faces: FaceSet, folder: Path, seed: int) -> Path:
        """Train on labelled faces, or go on with that; returns the weights."""
        network = self.network(seed, len(faces.faces))
        with self.screen.bar(f"seed {seed}: {folder.name}") as bar:
            return train_network(TrainingPlan(network, faces, self.val), folder, bar)

    def network(self, seed: int, faces: int) -> NetworkRecipe:
        """The student's settings, with as many epochs as make the steps with so many faces."""
        student = self.run.recipe.student
        per_epoch = max(1, faces // student.fit.batch_size)
        epochs = max(1, round(self.options.steps / per_epoch))
        every = max(1, epochs // 10)  # a short epoch is soon over, its validation is not
        update = {"epochs": epochs, "seed": seed, "validate_every_epochs": every}
        return student.model_copy(update={"fit": student.fit.model_copy(update=update)})

    def nme(self, weights: Path) -> float:
        """On the test faces."""
        return evaluate(load_model(weights), self.test).nme


def rows_of(found: Sequence[Sequence[tuple[str, float]]]) -> list[list[str]]:
    """Mean, standard deviation, least and most over the seeds, of each way to train."""
    rows = []
    for trainings in zip(*found, strict=True):
        errors = np.array([error for _, error in trainings])
        spread_of = percent(float(errors.std(ddof=1))) if len(errors) > 1 else "–"
        bounds = (percent(float(errors.min())), percent(float(errors.max())))
        rows.append([trainings[0][0], percent(float(errors.mean())), spread_of, *bounds])
    return rows


if __name__ == "__main__":
    sys.exit(main())
