"""How much of the NME is the labels' own, so that no student can be better than it.

Two bounds, as inter-ocular NME. From below: points rounded to whole pixels are wrong by a share
that needs no network to know, for a point that lies anywhere in its pixel. From above: errors that
networks of different families make alike. An error in a label of the test set is in the error of
every network; what networks get wrong by themselves, and differently, is not; what they get wrong
alike counts too, so this is more than the labels' noise. A network without any error of its own
would have the NME given. First of all it tells how far each network leans away from the labels:
the mean of all its errors. Prints Markdown.

    python benchmarks/label_noise.py recipes/pipnet-mbv3-ytf68.toml recipes/pfld-ytf68.toml
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, number, percent
from landmint.runtime.accuracy import Truth, face_sizes
from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError
from landmint.train.evaluate import evaluate
from landmint.train.faces.readers import LabelOffset, read_faces
from landmint.train.models import load_model

ROOT = Path(__file__).resolve().parents[1]
_LEANING = ("network", "NME, %", "leans right, %", "leans down, %", "NME if it leaned to none, %")
_IN_COMMON = ("two networks", "their NME, %", "correlation", "in common, %")
_ROUNDING_PX = (np.sqrt(2) + np.arcsinh(1)) / 6
"""Mean distance from the middle of a pixel to a point anywhere in it."""


def main() -> None:
    """Evaluate the recipes' networks and print both bounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipes", type=Path, nargs="+", help="two or more, of the same faces")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    asked = parser.parse_args()
    runs = [Run(recipe, asked.runs / recipe.name) for recipe in map(load_recipe, asked.recipes)]
    truth, residuals = residuals_of(runs)
    labels = published_labels(runs[0])
    whole = float(np.mean(labels == np.round(labels)))
    rounding = _ROUNDING_PX * float(np.mean(1 / face_sizes(truth)))
    print(
        f"{percent(whole, 0)} % of the labels' coordinates are whole pixels; where all are, the "
        f"rounding alone costs {percent(rounding)} %.\n"
    )
    leaning = [_lean(name, errors) for name, errors in residuals.items()]
    print(markdown_table(_LEANING, leaning) + "\n")
    print(markdown_table(_IN_COMMON, list(_rows(residuals))))


def published_labels(run: Run) -> Floats:
    """The landmarks (N, L, 2) of the test faces as published, no known lean taken off."""
    config = run.faces_config.model_copy(update={"label_offset": LabelOffset()})
    return np.array([face.points for face in read_faces(config, "test", Path())])


def residuals_of(runs: Sequence[Run]) -> tuple[Truth, dict[str, Floats]]:
    """The labels, and each network's errors (N, L, 2) as shares of the face sizes.

    Raises:
        LandmintError: fewer than two networks, or they are not of the same faces.
    """
    found: dict[str, Floats] = {}
    truths: list[Truth] = []
    for run in runs:
        for role in ("student", "teacher") if run.recipe.teacher else ("student",):
            model = load_model(run.place(role) / WEIGHTS)
            name = run.recipe.name if role == "student" else f"teacher {model.config.backbone}"
            if name not in found:
                result = evaluate(model, run.faces("test"))
                sizes = face_sizes(result.truth)[:, None, None]
                found[name] = (result.points - result.truth.points) / sizes
                truths.append(result.truth)
    if len(found) < 2 or len({truth.names for truth in truths}) > 1:
        raise LandmintError(
            f"{len(found)} network(s) on {len({t.names for t in truths})} set(s) of faces",
            reason="what networks get wrong alike is asked of two or more, on the same faces",
            remedy="name recipes of different students on the same data set",
        )
    return truths[0], found


def _lean(name: str, errors: Floats) -> list[str]:
    """How far a network's landmarks lie to one side of the labels on average, and at what cost."""
    mean = errors.mean(axis=(0, 1))
    nmes = [float(np.linalg.norm(e, axis=2).mean()) for e in (errors, errors - mean)]
    return [name, percent(nmes[0]), *map(percent, mean.tolist()), percent(nmes[1])]


def _rows(residuals: dict[str, Floats]) -> Iterator[list[str]]:
    for (one, a), (other, b) in combinations(residuals.items(), 2):
        alike = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
        nmes = [float(np.linalg.norm(e, axis=2).mean()) for e in (a, b)]
        # Of the variance of both, the share `alike` is one and the same error.
        shared = math.sqrt(max(alike, 0.0) * nmes[0] * nmes[1])
        yield [f"{one}, {other}", " and ".join(map(percent, nmes)), number(alike), percent(shared)]


if __name__ == "__main__":
    try:
        main()
    except LandmintError as error:
        sys.exit(f"label_noise: {error}")
