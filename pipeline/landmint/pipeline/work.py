"""What the stages do: the rooms' own functions, called with a recipe's settings.

Everything heavy is imported here and in what this imports; nothing else of the pipeline imports
this file before a stage has to run. The verbs that work alone call the same functions.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from landmint.export.bundle_export import export_bundle
from landmint.export.config import ExportConfig
from landmint.pipeline.explaining import explain_into
from landmint.pipeline.measuring import measure_into
from landmint.pipeline.progress import Bar, RoundBar
from landmint.pipeline.recipe import NetworkRecipe, Recipe, starting_weights
from landmint.pipeline.report import write_report
from landmint.pipeline.report.advice import advise_folder
from landmint.pipeline.run import WEIGHTS, Run, faces_signature, training_settings
from landmint.pipeline.summaries import FACES_FILE, HISTORY_FILE, training_figures
from landmint.pipeline.verdicts import judge_folder, write_verdicts
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QatConfig, QuantizeConfig
from landmint.quantize.decision import RANGES, decide, write_decision
from landmint.quantize.qat import (
    QatTask,
    calibration_crops,
    carried,
    fit_config,
    float_graph,
    simulate,
    truth_task,
)
from landmint.runtime.bundle import Bundle
from landmint.runtime.contract import CropRule
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, digest, sha256_file, write_json
from landmint.runtime.markup import get_markup
from landmint.train.config import Curriculum, DistillConfig
from landmint.train.distill import DistillTask
from landmint.train.faces.dataset import mean_shape
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import SPLITS
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.fit import Progress, fit
from landmint.train.lessons import LessonBook
from landmint.train.loop import CHECKPOINT_FILE
from landmint.train.models import create_model, load_model
from landmint.train.models.base import LandmarkModel
from landmint.train.self_training import Unlabelled, find_unlabelled, label_round
from landmint.train.tasks import Task, task_for

LESSONS = "lessons"
"""Folder, within a training's, of what the teacher said."""


def make_faces(run: Run, place: Path, bar: Bar) -> None:
    """Draw synthetic faces; read and check every face of every split."""
    config = run.faces_config
    place.mkdir(parents=True, exist_ok=True)
    if config.kind == "synthetic":
        drawn = config.synthetic
        markup = get_markup(config.markup)
        write_synthetic(config.root, drawn.counts, markup, drawn.size_px, drawn.seed, bar.at)
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


def self_train(
    recipe: Recipe,
    student: Path,
    unlabelled: Unlabelled,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    bar: Bar,
    teacher: Path | None = None,
) -> Path:
    """Self-training with curriculum, or what is left of it after an interruption.

    A round that has weights is done; one that lacks them goes on from its labels or checkpoint.

    Args:
        recipe: how the student is trained, and the rounds.
        student: weights of the student that labels for the first round.
        unlabelled: faces to label.
        train: faces with true labels.
        val: faces to choose the weights on.
        place: folder for a folder of each round, and for weights and history of the last.
        bar: told of every step.
        teacher: weights of a trained network to learn from as well.

    Returns:
        the path of the last round's weights.

    Raises:
        LandmintError: no unlabelled face is left, or a training failed.
    """
    config, network, weights = recipe.self_training, recipe.student, student
    assert config is not None
    if config.epochs:
        fit = network.fit.model_copy(update={"epochs": config.epochs})
        network = network.model_copy(update={"fit": fit})
    for number, curriculum in enumerate(config.rounds, start=1):
        folder = place / f"{number}-{curriculum}"
        if not (folder / WEIGHTS).is_file():
            part = RoundBar(bar, number, len(config.rounds), curriculum)
            part.step("labelling")
            both = label_round(weights, unlabelled, train, config, network.fit, folder)
            train_network(
                network, both, val, folder, part, teacher, recipe.distill, curriculum=curriculum
            )
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        weights = folder / WEIGHTS
    for name in (HISTORY_FILE, WEIGHTS):
        with atomic_path(place / name) as fresh:
            shutil.copyfile(folder / name, fresh)
    return place / WEIGHTS


def train_network(
    network: NetworkRecipe,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    bar: Bar,
    teacher: Path | None = None,
    distill: DistillConfig | None = None,
    lessons: Path | None = None,
    curriculum: Curriculum = "std",
) -> Path:
    """Train one network, or go on where an earlier call was stopped.

    Args:
        network: what to train and how.
        train: faces to learn from.
        val: faces to choose the weights on.
        place: folder for weights, checkpoint and logs.
        bar: told of every step.
        teacher: weights of a trained network to learn from as well.
        distill: how.
        lessons: folder that keeps what the teacher says, for trainings that share crops. Absent,
            it is kept in `place` if the crops come again, and deleted in the end.
        curriculum: what pseudo-labelled faces teach.

    Returns:
        the path of the weights.

    Raises:
        LandmintError: faces, networks and settings do not fit, or the training diverged.
    """
    bar.step("building the network")
    torch.manual_seed(network.fit.seed)  # of the first weights; the loop seeds every step
    model = _first(network, train)
    task: Task = task_for(model, network.loss, train, curriculum)
    identity: dict[str, Any] = {"loss": network.loss.model_dump(mode="json")}
    identity |= {"curriculum": curriculum} if curriculum != "std" else {}
    if network.start is not None:
        identity["start"] = sha256_file(starting_weights(network.start))
    if teacher is not None:
        distill = distill or DistillConfig()
        book = _book_for(network, train, teacher, lessons or place / LESSONS, bool(lessons))
        task = DistillTask(task, model, load_model(teacher), distill, book)
        identity |= {"teacher": sha256_file(teacher), "distill": distill.model_dump(mode="json")}
    weights = fit(
        model,
        task,
        train,
        val,
        network.augment,
        network.fit,
        place,
        lambda progress: _tell(bar, progress),
        identity,
    )
    shutil.rmtree(place / LESSONS, ignore_errors=True)
    return weights


def _first(network: NetworkRecipe, train: FaceSet) -> LandmarkModel:
    """The network before its first step: new, or with the weights that it begins from."""
    if network.start is None:
        rule = CropRule(network.model.crop_scale, network.model.crop_square)
        return create_model(network.model, mean_shape(train, rule))
    model = load_model(starting_weights(network.start))
    there, wanted = (
        one.model_dump(exclude={"pretrained"}) for one in (model.config, network.model)
    )
    other = [f"{key} is {there[key]!r}" for key in wanted if there[key] != wanted[key]]
    if other:
        raise LandmintError(
            f"{network.start} holds another network than the recipe",
            reason=f"there {', '.join(other)}",
            remedy="write the same under [student.model] or [teacher.model], or drop start",
        )
    return model


def _book_for(
    network: NetworkRecipe, train: FaceSet, teacher: Path, folder: Path, shared: bool
) -> LessonBook | None:
    """What keeps the teacher's answers, if it would be asked about a crop twice."""
    augment = network.augment
    if not (shared or augment.views):
        return None
    crops = {
        "augment": augment.model_dump(mode="json"),
        "seed": network.fit.seed if augment.seed is None else augment.seed,
        "faces": train.fingerprint,
        "model": network.model.model_dump(mode="json"),
        "teacher": sha256_file(teacher),
    }
    return LessonBook(
        folder / digest(crops)[:12], len(train.faces) * (augment.views or network.fit.epochs)
    )


def make_qat(run: Run, place: Path, bar: Bar) -> None:
    """Let the trained student learn to bear INT8."""
    teacher = run.place("teacher") / WEIGHTS if run.recipe.teacher else None
    train, val = run.faces("train"), run.faces("val")
    adapt_network(run.recipe, run.place(run.trained) / WEIGHTS, train, val, place, bar, teacher)


def adapt_network(
    recipe: Recipe,
    student: Path,
    train: FaceSet,
    val: FaceSet,
    place: Path,
    bar: Bar,
    teacher: Path | None = None,
) -> Path:
    """Train a recipe's trained student on, rounded as it will be deployed.

    Args:
        recipe: how the student was trained, how it is quantised, and how it adapts.
        student: its weights.
        train: faces to learn from; some of them set the ranges.
        val: faces to choose the weights on.
        place: folder for weights, checkpoint and logs.
        bar: told of every step.
        teacher: weights of a trained network to learn from as well.

    Returns:
        the path of the adapted weights.

    Raises:
        LandmintError: a library is missing, faces, networks and settings do not fit, or the
            training diverged.
    """
    bar.step("rounding the network as its INT8 graph does")
    network, config, settings = load_model(student), recipe.qat or QatConfig(), recipe.student
    # What corrects the weights of a network that was not trained for it would correct twice here.
    int8 = recipe.quantize.model_copy(update={"equalise": False, "bias_correction": False})
    graph = float_graph(network)
    crops = calibration_crops(network.contract, graph, train, int8)
    decision = decide(graph, crops, int8)
    simulated = simulate(network, graph, decision, crops, int8)
    truth = truth_task(network, settings.loss, train)
    teaches = None if teacher is None else load_model(teacher)
    files = {"student": student, "teacher": teacher}
    identity = {role: sha256_file(file) for role, file in files.items() if file}
    said = recipe.model_dump(mode="json", include={"qat", "quantize", "distill"})
    weights = fit(
        simulated,
        QatTask(truth, network, config, teaches, recipe.distill),
        train,
        val,
        settings.augment,
        fit_config(settings.fit, config),
        place,
        lambda progress: _tell(bar, progress),
        identity | said | {"loss": settings.loss.model_dump(mode="json")},
    )
    write_decision(place / RANGES, carried(decision, load_model(weights)))
    return weights


def _tell(bar: Bar, progress: Progress) -> None:
    metrics = progress.metrics
    note = f"epoch {min(progress.epoch + 1, progress.epochs)}/{progress.epochs}"
    note += f"  loss {metrics['loss']:.3g}" if "loss" in metrics else ""
    note += f"  NME {100 * metrics['val_nme']:.2f} %" if "val_nme" in metrics else ""
    bar.at(progress.done, progress.total, note)


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
    """Where a run's model comes from, for its manifest: no paths, nothing of this machine."""
    recipe = run.recipe
    networks = {"teacher": recipe.teacher, "student": recipe.student, run.trained: recipe.student}
    faces = {split: run.faces(split) for split in SPLITS}
    return {
        "recipe": recipe.name,
        "about": recipe.about,
        "faces": {
            "kind": recipe.faces.kind,
            **{
                split: {"faces": len(found.faces), "fingerprint": found.fingerprint}
                for split, found in faces.items()
            },
        },
        **{
            role: {
                "settings": training_settings(network),
                "figures": training_figures(run.place(role)),
                "sha256": sha256_file(run.place(role) / WEIGHTS),
            }
            for role, network in networks.items()
            if network
        },
        "distill": recipe.distill.model_dump(mode="json") if recipe.teacher else None,
        **(
            {"self_training": self_training.model_dump(mode="json", exclude={"faces"})}
            if (self_training := recipe.self_training)
            else {}
        ),
    }


def make_bundle(run: Run, place: Path, bar: Bar) -> None:
    """Add the INT8 forms, calibrated on training faces."""
    with tempfile.TemporaryDirectory(prefix="landmint-") as work:
        adapted, weights = None, run.place("qat") / WEIGHTS
        if run.recipe.qat:
            folder = Path(work) / "adapted"
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
        "figures": training_figures(weights.parent),
        "sha256": sha256_file(weights),
    }
    config = recipe.export if recipe else ExportConfig()
    return export_bundle(load_model(weights), faces, config, folder, about, bar.step)


def make_measurements(run: Run, place: Path, bar: Bar) -> None:
    """Measure every variant on the test faces."""
    bundle = Bundle.open(run.place("bundle"))
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
