"""NME of a run's networks in boxes as exact as the labels', and in boxes as detectors draw them.

For each recipe whose run has its networks: teacher (plain and by flip test) and student in PyTorch,
on the test faces. The looser boxes are one draw of a fixed seed. Prints Markdown.

    python benchmarks/accuracy.py recipes/pipnet-mbv3-ytf68.toml recipes/pfld-ytf68.toml
"""

import argparse
import sys
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.text import markdown_table, number, percent
from landmint.runtime.accuracy import summarise
from landmint.runtime.errors import LandmintError
from landmint.train.evaluate import Evaluation, FlipTestSession, TorchSession, evaluate
from landmint.train.faces.boxes import BOXES, loosen
from landmint.train.models import load_model

ROOT = Path(__file__).resolve().parents[1]
_COLUMNS = ("network", "boxes", "NME, %", "95 %", "FR@10 %, %", "AUC@10 %", "over exact, %")


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    options = parser.parse_args(arguments)
    try:
        rows: dict[tuple[str, str], list[str]] = {}
        for path in options.recipes:
            recipe = load_recipe(path)
            for row in _rows(Run(recipe, options.runs / recipe.name), {name for name, _ in rows}):
                rows[row[0], row[1]] = row
    except LandmintError as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(_COLUMNS, list(rows.values())))
    return 0


def _rows(run: Run, known: Set[str]) -> Iterator[list[str]]:
    """Each network in each kind of box, but not those known: recipes share a teacher."""
    faces = run.faces("test")
    sets = {name: loosen(faces, *bounds, seed=0) for name, bounds in BOXES.items()}
    roles: list[tuple[str, str, type[TorchSession]]] = [(run.recipe.name, "student", TorchSession)]
    if run.recipe.teacher is not None:
        roles += [
            ("teacher", "teacher", TorchSession),
            ("teacher, flip", "teacher", FlipTestSession),
        ]
    for name, role, session in roles:
        model = load_model(run.place(role) / WEIGHTS)
        told = model.config.backbone or model.config.name
        label = name if role == "student" else f"{name} ({told})"
        if label in known:
            continue
        exact: Evaluation | None = None
        for box, loose in sets.items():
            with Screen().bar(f"{name}, boxes: {box}"):
                found = evaluate(model, loose, session=session)
            exact = exact or found
            yield _row(label, box, found, exact.nme)


def _row(name: str, box: str, found: Evaluation, exact: float) -> list[str]:
    accuracy = summarise(found.points, found.truth)
    errors, interval = accuracy.main, accuracy.interval
    return [
        name,
        box,
        percent(errors.nme),
        f"{percent(interval.low)} to {percent(interval.high)}",
        percent(errors.failure_rate[0.10], 1),
        number(errors.auc[0.10], 3),
        number(100 * (errors.nme / exact - 1), 1),
    ]


if __name__ == "__main__":
    sys.exit(main())
