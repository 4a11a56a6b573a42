"""What lessons are worth to a student: from its labels, drawn faces, and a teacher.

For each seed the ways take the same crops in the same order for the same number of steps; seeds
differ in first weights and order, and share the crops. "Drawn faces first" begins from a network
that learned as many synthetic faces for as many epochs before, the same for all seeds. The teacher
is asked for heatmaps of the student's own crops, or for points of crops at the teacher's own size.
The recipe's own teacher is that of its run. What teachers say of a crop is kept on disk for each
way, so that they are asked once for all seeds; delete that folder when all is done. NME of the
student in PyTorch on the test faces; differences are paired by face, means over the seeds, with
95 % intervals over persons.
A training that was interrupted goes on; one that is done is not repeated.

    python benchmarks/ways.py recipes/pipnet-lite0-64-ytf68.toml --seeds 0 1 2
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from landmint.pipeline.driver import bring_up_to_date
from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.steps.weights import teacher_weights
from landmint.pipeline.text import markdown_table, number, percent, percent_interval
from landmint.runtime.accuracy import failure_rate
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.runtime.progress import Progress
from landmint.runtime.stats import person_interval
from landmint.train.config import NetworkRecipe, TrainingPlan
from landmint.train.evaluate import Evaluation, evaluate
from landmint.train.faces.readers import FacesConfig, SyntheticConfig, load_faces
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.models import load_model
from landmint.train.training import train_network

ROOT = Path(__file__).resolve().parents[1]
ALONE, DRAWN_FIRST = "labels alone", "drawn faces first"
WAYS: Mapping[str, Mapping[str, float | str] | None] = {
    ALONE: None,
    DRAWN_FIRST: None,
    "taught maps and features": {"lesson": "maps"},
    "taught points": {"lesson": "points"},
}
"""By what a reader is told: changes to the recipe's [distill]; None for no teacher."""
DRAWN_PX = 144
"""Width and height of the drawn pictures."""
_COLUMNS = ("way", "NME, %", "spread", "each seed, %", "FR@10 %, %", "over labels alone", "95 %")


def main() -> None:
    """Train what is not trained, evaluate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="with a [teacher], or with teachers")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    recipe = load_recipe(asked.recipe)
    if not (recipe.teacher or recipe.teachers):
        raise LandmintError(f"{asked.recipe} has no teacher", remedy="name one to learn from")
    screen = Screen()
    run = Run(recipe, asked.runs / recipe.name, " ".join(sys.argv))
    bring_up_to_date(run, screen, until="teacher" if recipe.teacher else "faces")
    lessons = run.folder / "ways" / "lessons"
    found = [_trained(run, seed, lessons, screen) for seed in asked.seeds]
    schedule = recipe.student.fit
    print(
        f"{recipe.name}: {schedule.epochs} epochs of {len(run.faces('train').faces)} faces, batch "
        f"{schedule.batch_size}, seeds {', '.join(map(str, asked.seeds))}.\n"
    )
    print(markdown_table(_COLUMNS, [_row(way, found) for way in WAYS]))


def _trained(run: Run, seed: int, lessons: Path, screen: Screen) -> dict[str, Evaluation]:
    """The student of each way, on the test faces."""
    found = {}
    for way in WAYS:
        weights = run.folder / "ways" / f"{way.replace(' ', '-')}-{seed}" / WEIGHTS
        if not weights.is_file():
            _train(run, way, seed, weights.parent, lessons, screen)
        found[way] = evaluate(load_model(weights), run.faces("test"))
        screen.line(f"{way}, seed {seed}: {percent(found[way].nme)} %")
    return found


def _train(run: Run, way: str, seed: int, place: Path, lessons: Path, screen: Screen) -> None:
    recipe: Recipe = run.recipe
    changes = WAYS[way]
    taught = changes is not None
    with screen.bar(f"{way}, seed {seed}") as bar:
        network = _network(run, seed)
        if way == DRAWN_FIRST:
            network = network.model_copy(update={"start": str(_drawn_first(run, bar))})
        plan = TrainingPlan(
            network,
            run.faces("train"),
            run.faces("val"),
            teacher_weights(run) if taught else (),
            recipe.distill.model_copy(update=changes),
        )
        train_network(plan, place, bar, lessons)


def _network(run: Run, seed: int) -> NetworkRecipe:
    student = run.recipe.student
    fit = student.fit.model_copy(update={"seed": seed})
    augment = student.augment.model_copy(update={"seed": 0})
    return student.model_copy(update={"fit": fit, "augment": augment})


def _drawn_first(run: Run, bar: Progress) -> Path:
    """Weights of the student after as many synthetic faces, for as many epochs."""
    weights = run.folder / "ways" / DRAWN_FIRST.replace(" ", "-") / WEIGHTS
    if weights.is_file():
        return weights
    drawn = SyntheticConfig(
        train=len(run.faces("train").faces),
        val=len(run.faces("val").faces),
        test=0,
        size_px=DRAWN_PX,
    )
    config = FacesConfig(
        kind="synthetic", markup=run.recipe.faces.markup, root=run.folder / "drawn", synthetic=drawn
    )
    markup = get_markup(config.markup)
    write_synthetic(config.root, drawn.counts, markup, drawn.size_px, drawn.seed, bar)
    train, val = (load_faces(config, split, Path()) for split in ("train", "val"))
    train_network(TrainingPlan(_network(run, 0), train, val), weights.parent, bar)
    return weights


def _row(way: str, found: list[dict[str, Evaluation]]) -> list[str]:
    nmes = np.array([one[way].nme for one in found])
    gains = np.mean([one[way].per_face - one[ALONE].per_face for one in found], axis=0)
    gain = percent_interval(person_interval(gains, found[0][way].truth.persons))
    failures = [failure_rate(one[way].per_face, 0.10) for one in found]
    return [
        way,
        percent(float(nmes.mean())),
        percent(float(nmes.std(ddof=1))) if len(nmes) > 1 else number(None),
        ", ".join(percent(nme) for nme in nmes),
        percent(float(np.mean(failures)), 1),
        *(gain if way != ALONE else (number(None), "")),
    ]


if __name__ == "__main__":
    try:
        main()
    except LandmintError as error:
        sys.exit(f"ways: {error}")
