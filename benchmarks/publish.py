"""Put a run's student among the models that come with landmint.

Writes `NAME.safetensors`, kernels in half precision, its card `NAME.md`, and its INT8 forms
`NAME.tflite` and `NAME.onnx`, as far as the recipe asks for them, into the zoo; and its errors in
every form, on drawn faces and on the run's own, into tests/reference. A run that is not
up to date is refused. Takes minutes.

    python benchmarks/publish.py recipes/pipnet-mbv3-ytf68.toml pipnet-mbv3
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landmint.pipeline.driver import first_stale
from landmint.pipeline.model_card import model_card
from landmint.pipeline.places import WEIGHTS
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.reference import (
    DRAWN,
    Measured,
    Reference,
    add_int8,
    draw_faces,
    figures_of,
    make_float_forms,
    measure_forms,
    write_reference,
)
from landmint.pipeline.report.gather import gather
from landmint.pipeline.run import Run
from landmint.pipeline.steps import stages_of
from landmint.pipeline.text import number, percent
from landmint.runtime.bundle import Bundle
from landmint.runtime.embedded import read_contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, sha256_file, write_text
from landmint.runtime.progress import Progress
from landmint.train.evaluate import evaluate
from landmint.train.faces.boxes import BOXES, loosen
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import Split
from landmint.train.models import load_model, save_model
from landmint.train.models.base import LandmarkModel
from landmint.train.models.complexity import complexity
from landmint.train.zoo import FORMS, SUFFIX, Published, folder

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 25_000_000
"""All shipped weights together, and all their INT8 forms: a repository is fetched whole."""
OWN = "own"
"""Folder of the bundle that is calibrated on the run's own faces, as the shipped forms are."""
MOST_MOVED_POINTS = 0.01
"""What half precision may do to the NME."""


@dataclass(frozen=True)
class Shelf:
    """Where a published model goes."""

    zoo: Path
    """Folder of weights and cards."""
    references: Path
    """Folder of what the suite measures against."""

    def files(self, name: str) -> tuple[Path, Path, Path]:
        """Weights, card and reference."""
        weights = self.zoo / f"{name}{SUFFIX}"
        return weights, weights.with_suffix(".md"), self.references / f"{name}.toml"

    def forms(self, name: str) -> Mapping[str, Path]:
        """Where each INT8 form goes, by variant."""
        return {variant: self.zoo / f"{name}{suffix}" for variant, suffix in FORMS.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="of the run")
    parser.add_argument("name", help="of the shipped model")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--faces", type=Path, help="as it was given to `landmint run`")
    parser.add_argument(
        "--data",
        type=Path,
        help="Markdown on where the faces come from;\nNAME.md of the data set, beside the recipe, "
        "by default",
    )
    parser.add_argument("--zoo", type=Path, default=folder(), help=argparse.SUPPRESS)
    references = ROOT / "tests" / "reference"
    parser.add_argument("--references", type=Path, default=references, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        recipe = load_recipe(given.recipe)
        recipe = recipe if given.faces is None else recipe.with_faces(given.faces)
        run = Run(recipe, given.runs / recipe.name)
        with Screen().bar(given.name) as bar:
            written = publish(
                run, given.name, _data(recipe, given.data), Shelf(given.zoo, given.references), bar
            )
    except LandmintError as error:
        print(f"publish: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(map(str, written)))
    return 0


def publish(run: Run, name: str, data: str, shelf: Shelf, bar: Progress) -> tuple[Path, ...]:
    """Write weights, card, reference and INT8 forms of a run's student; returns their paths.

    Args:
        run: finished.
        name: of the shipped model.
        data: for the card, where the faces come from.
        shelf: where to.
        bar: told of each step.

    Raises:
        LandmintError: the name is none, the run is not up to date, half precision moves the
            landmarks, the zoo would become too large, or a form cannot be made.
    """
    _check(run, name)
    weights, card, told = shelf.files(name)
    with tempfile.TemporaryDirectory(prefix="landmint-") as scratch:
        work = Path(scratch)
        bar.step("rounding the weights")
        trained = load_model(run.place("student") / WEIGHTS)
        save_model(trained, work / weights.name, half=True)
        _check_size(shelf.zoo, name, (work / weights.name,))
        model = load_model(work / weights.name)
        loose = _loose(run, trained, model, bar)
        drawn, test = measure(run, model, work, bar)
        forms = _forms(Bundle.open(work / OWN))
        _check_size(shelf.zoo, name, (work / weights.name, *forms.values()))
        about = _published(run.recipe, model, test, loose["exact"])
        save_model(model, work / weights.name, half=True, notes=about.to_note())
        reference = Reference(run.recipe.name, sha256_file(work / weights.name), drawn, test)
        bar.step("writing the card")
        text = model_card(name, gather(run.folder), reference, loose, data)
        with atomic_path(weights) as fresh:
            fresh.write_bytes((work / weights.name).read_bytes())
        shipped = _ship_forms(forms, shelf.forms(name))
    write_text(card, text)
    write_reference(told, reference)
    return weights, card, told, *shipped


def _forms(bundle: Bundle) -> Mapping[str, Path]:
    """The INT8 forms that a bundle has, by variant; each file carries its contract.

    Raises:
        LandmintError: a file carries none.
    """
    built = {v.name: bundle.entry(v) for v in bundle.manifest.variants if v.files}
    forms = {variant: built[variant] for variant in FORMS if variant in built}
    for path in forms.values():
        read_contract(path)
    return forms


def _ship_forms(forms: Mapping[str, Path], places: Mapping[str, Path]) -> list[Path]:
    """Copy the forms to their places; one of earlier weights, without a successor, is removed."""
    for variant, place in places.items():
        if variant not in forms:
            place.unlink(missing_ok=True)
            continue
        with atomic_path(place) as fresh:
            fresh.write_bytes(forms[variant].read_bytes())
    return [places[variant] for variant in forms]


def measure(run: Run, model: LandmarkModel, work: Path, bar: Progress) -> tuple[Measured, Measured]:
    """The errors of every form on drawn faces and on the run's own test faces."""
    recipe, markup = run.recipe, model.contract.markup
    bar.step("drawing faces")
    drawn = draw_faces(work / "faces", markup, DRAWN)
    own: dict[Split, FaceSet] = {split: run.faces(split) for split in ("train", "test")}
    bar.step("exporting")
    bundle = make_float_forms(model, recipe, drawn["val"], work / "float")
    figures = []
    for kind, faces in (("drawn", drawn), (OWN, own)):
        bar.step(f"quantising by {kind} faces")
        whole = add_int8(bundle, recipe, faces, work / kind)
        errors = measure_forms(model, whole, faces["test"], bar)
        figures.append(figures_of(errors))
    count = len(own["test"].faces)
    what = f"the {count} test faces of {_data_name(recipe)}"
    return (
        Measured(f"{DRAWN.test} drawn faces", DRAWN.test, "", figures[0]),
        Measured(what, count, own["test"].fingerprint, figures[1]),
    )


def _check(run: Run, name: str) -> None:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise LandmintError(
            f"'{name}' is no name for a shipped model",
            remedy="take small letters, figures and hyphens, such as pipnet-mbv3",
        )
    stale = first_stale(stages_of(run), run)
    if stale is not None:
        raise LandmintError(
            f"the run in {run.folder} is not up to date",
            reason=f"stage {stale} was not run, or not as the recipe is now",
            remedy=f"landmint run {run.recipe.file} --out {run.folder}",
        )


def _loose(
    run: Run, trained: LandmarkModel, rounded: LandmarkModel, bar: Progress
) -> Mapping[str, float]:
    """NME of the rounded network by kind of box; refuses one that half precision moved."""
    faces = run.faces("test")
    bar.step("comparing with the weights as trained")
    before = evaluate(trained, faces).nme
    found = {}
    for kind, bounds in BOXES.items():
        bar.step(f"boxes: {kind}")
        found[kind] = evaluate(rounded, loosen(faces, *bounds, seed=0)).nme
    moved = 100 * (found["exact"] - before)
    if not abs(moved) <= MOST_MOVED_POINTS:
        raise LandmintError(
            f"half precision moves the NME by {number(moved, 4)} points",
            reason=f"from {percent(before, 4)} %; {MOST_MOVED_POINTS} points are allowed",
            remedy="look for kernels with very large or very small weights",
        )
    return found


def _published(recipe: Recipe, model: LandmarkModel, test: Measured, nme: float) -> Published:
    contract, config = model.contract, model.config
    return Published(
        network=f"{config.name} on {model.backbone_of(config)}",
        input_size=contract.input_size,
        markup=contract.markup,
        parameters=complexity(model).parameters,
        faces=test.what,
        drawn=recipe.faces.kind == "synthetic",
        nme=round(nme, 6),
    )


def _check_size(zoo: Path, name: str, files: Sequence[Path]) -> None:
    for what, suffixes in (("weights", (SUFFIX,)), ("INT8 forms", tuple(FORMS.values()))):
        others = [p for p in zoo.glob("*") if p.suffix in suffixes and p.stem != name]
        own = [p for p in files if p.suffix in suffixes]
        total = sum(path.stat().st_size for path in (*others, *own))
        if total > MOST_BYTES:
            raise LandmintError(
                f"the {what} of the shipped models would take {total / 1e6:.1f} MB",
                reason=f"{MOST_BYTES / 1e6:.0f} MB are the most, and {len(others)} files of "
                "others are there already",
                remedy=f"remove one from {zoo}, or publish a smaller student",
            )


def _data_name(recipe: Recipe) -> str:
    """What people call the data set: its folder's name."""
    synthetic = recipe.faces.kind == "synthetic"
    return "the recipe" if synthetic else recipe.faces.root.name


def _data(recipe: Recipe, given: Path | None) -> str:
    """What the card says of the data set.

    Raises:
        LandmintError: nobody has written it down.
    """
    if given is None and recipe.faces.kind == "synthetic":
        return "They are drawn by landmint itself, exact by construction: nobody's face."
    path = given or recipe.file.parent / f"{_data_name(recipe)}.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LandmintError(
            f"cannot read {path}",
            reason=f"{error.strerror or error}; a model card has to say where its faces come from",
            remedy="write origin, labels and licence of the data set there, or give it by --data",
        ) from None


if __name__ == "__main__":
    sys.exit(main())
