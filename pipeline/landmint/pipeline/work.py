"""What the stages do: the rooms' own functions, called with a recipe's settings.

Everything heavy is imported here and in what this imports; nothing else of the pipeline imports
this file before a stage has to run. The verbs that work alone call the same functions.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from landmint.export.bundle_export import export_bundle
from landmint.export.config import ExportConfig
from landmint.pipeline.explaining import explain_into
from landmint.pipeline.judge.advice import advise_folder
from landmint.pipeline.judge.verdicts import judge_folder, write_verdicts
from landmint.pipeline.measuring import measure_into
from landmint.pipeline.places import FACES_FILE, WEIGHTS
from landmint.pipeline.progress import Bar
from landmint.pipeline.recipe import Recipe
from landmint.pipeline.report import write_report
from landmint.pipeline.run import Run, faces_signature
from landmint.pipeline.training import adapt_network, self_train, train_network
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decision import RANGES
from landmint.runtime.bundle import Bundle
from landmint.runtime.files import sha256_file, write_json
from landmint.runtime.markup import get_markup
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import SPLITS
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.models import load_model
from landmint.train.self_training import find_unlabelled


def make_faces(run: Run, place: Path, bar: Bar) -> None:
    """Draw synthetic faces; read and check every face of every split."""
    config = run.faces_config
    place.mkdir(parents=True, exist_ok=True)
    if config.kind == "synthetic":
        drawn = config.synthetic
        markup = get_markup(config.markup)
        write_synthetic(config.root, drawn.counts, markup, drawn.size_px, drawn.seed, bar)
    splits = {}
    for split in SPLITS:
        bar.step(f"reading the {split} faces")
        faces = run.faces(split)
        splits[split] = {
            "faces": len(faces.faces),
            "persons": len({face.person for face in faces.faces}),
            "fingerprint": faces.fingerprint,
        }
    told = {
        "schema": 1,
        "kind": config.kind,
        "markup": config.markup,
        "root": str(config.root.absolute()),
        "signature": faces_signature(config.root),
        "splits": splits,
        "test_images": {
            face.name: str(face.image.relative_to(config.root)) for face in run.faces("test").faces
        },
    }
    write_json(place / FACES_FILE, told)


def make_teacher(run: Run, place: Path, bar: Bar) -> None:
    """Train the teacher on the faces alone."""
    assert run.recipe.teacher is not None
    train_network(run.recipe.teacher, run.faces("train"), run.faces("val"), place, bar)


def make_student(run: Run, place: Path, bar: Bar) -> None:
    """Train the student, with the teacher beside it if the recipe has one."""
    recipe = run.recipe
    teacher = run.place("teacher") / WEIGHTS if recipe.teacher else None
    train_network(
        recipe.student, run.faces("train"), run.faces("val"), place, bar, teacher, recipe.distill
    )


def make_self_training(run: Run, place: Path, bar: Bar) -> None:
    """Train the student anew in rounds, on faces without labels as well."""
    recipe = run.recipe
    assert recipe.self_training is not None
    teacher = run.place("teacher") / WEIGHTS if recipe.teacher else None
    train, val = run.faces("train"), run.faces("val")
    bar.step("looking for unlabelled faces")
    unlabelled = find_unlabelled(run.unlabelled_config, train, (val, run.faces("test")))
    student = run.place("student") / WEIGHTS
    self_train(recipe, student, unlabelled, train, val, place, bar, teacher)


def make_qat(run: Run, place: Path, bar: Bar) -> None:
    """Let the trained student learn to bear INT8."""
    teacher = run.place("teacher") / WEIGHTS if run.recipe.teacher else None
    train, val = run.faces("train"), run.faces("val")
    adapt_network(run.recipe, run.place(run.trained) / WEIGHTS, train, val, place, bar, teacher)


def make_float_bundle(run: Run, place: Path, bar: Bar) -> None:
    """Export the student in every float form."""
    student = run.place(run.trained)
    export_bundle(
        load_model(student / WEIGHTS),
        run.faces("val"),
        run.recipe.export,
        place,
        provenance_of(run),
        bar.step,
    )


def provenance_of(run: Run) -> dict[str, Any]:
    """Where a run's model comes from, for its manifest.

    Only what is the same whenever and wherever the run is made, interrupted or not: wall times and
    figures of a training stand in its history, beside its weights.
    """
    origin = run.origin
    for role in run.networks:
        origin[role]["sha256"] = sha256_file(run.place(role) / WEIGHTS)
    for split in SPLITS:
        faces = run.faces(split)
        about = {"faces": len(faces.faces), "fingerprint": faces.fingerprint}
        origin["faces"][split] = about
    return origin


def make_bundle(run: Run, place: Path, bar: Bar) -> None:
    """Add the INT8 forms, calibrated on training faces."""
    with scratch_folder() as work:
        adapted, weights = None, run.place("qat") / WEIGHTS
        if run.recipe.qat:
            folder = work / "adapted"
            adapted = export_adapted(weights, run.recipe, run.faces("val"), folder, bar)
        quantize_bundle(
            Bundle.open(run.place("float-bundle")),
            run.faces("train"),
            run.faces("test"),
            adapted_config(run.recipe.quantize, weights) if adapted else run.recipe.quantize,
            place,
            bar.step,
            adapted,
        )
    if run.recipe.quantize.explain:
        explain_into(place, run.faces("val"), bar)


def adapted_config(config: QuantizeConfig, weights: Path) -> QuantizeConfig:
    """The same settings, in the ranges that the weights were trained in."""
    return config.model_copy(update={"ranges": weights.parent / RANGES})


def export_adapted(
    weights: Path, recipe: Recipe | None, faces: FaceSet, folder: Path, bar: Bar
) -> Bundle:
    """The float forms of weights from quantisation-aware training, for `quantize_bundle`.

    Args:
        weights: of `adapt_network`.
        recipe: what was used for that, if it is known.
        faces: for the crops of the parity check.
        folder: of the bundle.
        bar: told of each step.
    """
    about = {
        "settings": recipe.qat.model_dump(mode="json") if recipe and recipe.qat else {},
        "sha256": sha256_file(weights),
    }
    config = recipe.export if recipe else ExportConfig()
    return export_bundle(load_model(weights), faces, config, folder, about, bar.step)


def make_measurements(run: Run, place: Path, bar: Bar) -> None:
    """Measure every variant on the test faces."""
    bundle = Bundle.open(run.place("bundle"), plans=True)  # this run made it
    measure_into(place, bundle, run.faces("test"), run.recipe.measure, (), bar)


def make_verdict(run: Run, place: Path, bar: Bar) -> None:
    """Judge the measurements by the recipe's limits."""
    bar.step("judging")
    measurements, limits = run.place("measurements"), run.recipe.gate.limits
    advice = advise_folder(measurements, limits)
    write_verdicts(judge_folder(measurements, limits), advice, run.recipe.name, place)


def make_report(run: Run, place: Path, bar: Bar) -> None:
    """Write the page."""
    bar.step("drawing")
    write_report(run.folder, place)


WORK: Mapping[str, Callable[[Run, Path, Bar], None]] = {
    "faces": make_faces,
    "teacher": make_teacher,
    "student": make_student,
    "self-training": make_self_training,
    "qat": make_qat,
    "float-bundle": make_float_bundle,
    "bundle": make_bundle,
    "measurements": make_measurements,
    "verdict": make_verdict,
    "report": make_report,
}
