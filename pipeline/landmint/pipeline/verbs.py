"""What each verb of the command does, with its options as plain values.

Messages go to the standard error, results to the standard output. Imports of the heavy rooms stand
inside the verbs, since a run that is up to date needs none of them.
"""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from landmint.export.config import ExportConfig
from landmint.pipeline.driver import bring_up_to_date
from landmint.pipeline.lock import hold
from landmint.pipeline.measure_config import GateConfig, MeasureConfig
from landmint.pipeline.places import REPORT_FILE, RUNS, VERDICT_FILE
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.steps.weights import training_summary
from landmint.pipeline.verb_faces import given_faces, learning_faces, recipe_on, run_with_faces
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path, read_json, sha256_file
from landmint.runtime.scratch import scratch_folder
from landmint.train.config import NetworkRecipe
from landmint.train.faces.readers import SPLITS, FacesConfig, Split, SyntheticConfig
from landmint.train.models import load_model
from landmint.train.processes import launcher_rank
from landmint.train.zoo import best, find_model, shipped


def run(recipe_path: Path, out: Path | None, faces: Path | None, until: str | None) -> int:
    """Bring a run up to date; returns the exit code of its verdict.

    Raises:
        LandmintError: the recipe is wrong or a stage failed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise LandmintError(
            "`landmint run` is the work of one process",
            reason="a launcher has started several of them",
            remedy="start `landmint train` and `landmint distill` with the launcher",
        )
    recipe = recipe_on(recipe_path, faces)
    again = _again(recipe_path, out, faces, until)
    made = Run(recipe, out or RUNS / recipe.name, again)
    screen = Screen()
    screen.line(f"{recipe.name}  {recipe.about}".rstrip(), style="bold")
    bring_up_to_date(made, screen, until)
    if until is not None and until not in ("verdict", "report"):
        return 0
    verdict = read_json(made.place("verdict") / VERDICT_FILE)
    for line in verdict["advice"]:
        print(line)
    print(f"verdict: {verdict['summary']} (exit code {verdict['exit_code']})")
    if until != "verdict":
        print(f"report:  {made.folder / REPORT_FILE}")
    code: int = verdict["exit_code"]
    return code


def _again(recipe: Path, out: Path | None, faces: Path | None, until: str | None) -> str:
    """The same command, to be typed."""
    words = ["landmint", "run", str(recipe)]
    for name, value in (("out", out), ("faces", faces), ("until", until)):
        words += [f"--{name}", str(value)] if value is not None else []
    return shlex.join(words)


def train(recipe_path: Path, out: Path, role: str, faces: Path | None) -> None:
    """Train one network of a recipe on its faces.

    Raises:
        LandmintError: the recipe has no such network, or the training failed.
    """
    recipe = recipe_on(recipe_path, faces)
    networks = {"teacher": recipe.teacher, "student": recipe.student}
    if networks.get(role) is None:
        raise LandmintError(
            f"{recipe_path} has no network '{role}'",
            choices=[name for name, network in networks.items() if network],
        )
    _train(recipe, networks[role] or recipe.student, out, None)


def distill(recipe_path: Path, teacher: Path, out: Path, faces: Path | None) -> None:
    """Train a recipe's student with a trained teacher.

    Raises:
        LandmintError: teacher and student do not fit, or the training failed.
    """
    recipe = recipe_on(recipe_path, faces)
    if not teacher.is_file():
        raise LandmintError(
            f"{teacher} does not exist", remedy="give the model.safetensors of `landmint train`"
        )
    _train(recipe, recipe.student, out, teacher)


def qat(given: str, recipe_path: Path, out: Path, teacher: Path | None, root: Path | None) -> None:
    """Let a trained student learn to bear INT8.

    Raises:
        LandmintError: a file is missing, networks do not fit, or the training failed.
    """
    recipe, student = recipe_on(recipe_path, root), find_model(given)
    load_model(student)  # before the faces, which take longer
    screen = Screen()
    sets = learning_faces(recipe, screen)
    from landmint.pipeline.training import adapt_network

    with hold(out, screen), screen.bar("quantisation-aware training") as bar:
        weights = adapt_network(recipe, student, sets["train"], sets["val"], out, bar, teacher)
    if launcher_rank() == 0:
        screen.line(training_summary(out))
        print(weights)


def _train(recipe: Recipe, network: NetworkRecipe, out: Path, teacher: Path | None) -> None:
    screen = Screen()
    sets = learning_faces(recipe, screen)
    from landmint.pipeline.training import train_network

    with hold(out, screen), screen.bar(f"training {network.model.name}") as bar:
        weights = train_network(
            network, sets["train"], sets["val"], out, bar, teacher, recipe.distill
        )
    if launcher_rank() == 0:
        screen.line(training_summary(out))
        print(weights)


def lint(given: str, recipe_path: Path | None) -> int:
    """Say what targets have against a network, a bundle or an ONNX file.

    Returns:
        0, or 2 when something will not build or is wrong.

    Raises:
        LandmintError: it is none of these, or the recipe is wrong.
    """
    path = find_model(given)
    config = load_recipe(recipe_path).export if recipe_path else ExportConfig()
    from landmint.pipeline.linting import lint_path, print_findings

    found = lint_path(path, config.formats)
    print_findings(found)
    return 2 * any(one.severity == "error" for findings in found.values() for one in findings)


def data_check(
    root: Path | None,
    recipe_path: Path | None,
    given: Mapping[str, object],
    network: str | None,
    out: Path,
) -> int:
    """Examine a data set: a folder, or that of a recipe, with settings given instead of its own.

    Returns:
        0 where it is sound, else 2.

    Raises:
        LandmintError: neither is given, a setting makes no sense, or the weights do not fit.
    """
    if root is None and recipe_path is None:
        raise LandmintError("no data set is given", remedy="add its folder, or --recipe RECIPE")
    from landmint.pipeline.data_check import check_faces, settings, splits_there

    model = None if network is None else load_model(find_model(network))
    named = [split for split in SPLITS if split in given]
    if recipe_path is not None:
        run = run_with_faces(recipe_on(recipe_path, root), Screen())
        return check_faces(settings(run.faces_config, given), named or SPLITS, out, model)
    config = settings(FacesConfig(kind="300w", root=root or Path()), given)
    return check_faces(config, named or splits_there(config), out, model)


def export(given: str, out: Path | None, recipe_path: Path | None, faces: Path | None) -> None:
    """Export a trained network; without faces it is compared with its forms on drawn ones.

    Raises:
        LandmintError: there is no such network, or a form differs from it.
    """
    if out is None:
        raise LandmintError(
            "no folder is given for the bundle", remedy="add --out FOLDER, or --lint to look only"
        )
    checkpoint = find_model(given)
    model = load_model(checkpoint)
    from landmint.export.bundle_export import export_bundle
    from landmint.pipeline.reference import draw_faces

    markup, config = model.contract.markup, ExportConfig()
    provenance = {"checkpoint_sha256": sha256_file(checkpoint)}
    screen = Screen()
    with hold(out, screen), screen.bar("export") as bar, scratch_folder() as work:
        if recipe_path is None and faces is None:
            bar.step("drawing faces to compare the forms on")
            drawn = SyntheticConfig(train=0, val=config.parity_faces, test=0)
            sets = draw_faces(work, markup, drawn)
        else:
            recipe, sets = given_faces(recipe_path, faces, markup, ("val",))
            if recipe:
                config, provenance = recipe.export, provenance | {"recipe": recipe.name}
        export_bundle(model, sets["val"], config, out, provenance, bar.step)
    print(out)


def quantize(
    path: Path,
    out: Path,
    recipe_path: Path | None,
    faces: Path | None,
    weights: Path | None,
    explained: bool,
    fallback_budget: float | None,
) -> int:
    """Add INT8 forms to a bundle, of its own weights or of adapted ones.

    It may tell where they lose, and search for layers to keep in float.

    Returns:
        0, or the gate's code when a fallback was searched for and some format has none that
        surely keeps the budget.

    Raises:
        LandmintError: the bundle is broken, calibration and test faces overlap, or the weights are
            those of another network.
    """
    bundle = Bundle.open(path)
    from landmint.pipeline.quantizing import quantize_into

    config = load_recipe(recipe_path).quantize if recipe_path else QuantizeConfig()
    explained = explained or config.explain or fallback_budget is not None
    config = config.model_copy(update={"explain": explained})
    if weights is not None and fallback_budget is not None:
        raise LandmintError(
            "no fallback is searched for with adapted weights",
            reason="they were trained with the layers rounded that the recipe rounds",
            remedy="leave --fallback-budget away, or set quantize.float_layers and train again",
        )
    splits: tuple[Split, ...] = ("train", "test")
    splits += ("val",) if explained or weights else ()
    recipe, sets = given_faces(recipe_path, faces, bundle.manifest.contract.markup, splits)
    screen, code = Screen(), 0
    with hold(out, screen):
        with screen.bar("quantize") as bar:
            quantize_into(out, bundle, sets, config, recipe, weights, bar)
        if explained:
            from landmint.pipeline.explaining import explain_int8

            measuring = recipe.measure if recipe else MeasureConfig()
            code = explain_int8(bundle, out, sets, config, measuring, fallback_budget)
    print(out)
    return code


def measure(
    path: Path,
    out: Path,
    recipe_path: Path | None,
    faces: Path | None,
    variants: Sequence[str],
    plans: bool,
) -> None:
    """Measure a bundle's variants on test faces.

    Raises:
        LandmintError: the bundle is broken, or has no such variant.
    """
    bundle = Bundle.open(path, plans=plans)
    for name in variants:
        bundle.variant(name)
    from landmint.pipeline.judge.advice import advise_folder
    from landmint.pipeline.measuring import measure_into
    from landmint.pipeline.tables import print_measurements

    markup = bundle.manifest.contract.markup
    recipe, sets = given_faces(recipe_path, faces, markup, ("test",))
    config = recipe.measure if recipe else MeasureConfig()
    screen = Screen()
    with hold(out, screen), screen.bar("measure") as bar, atomic_path(out) as fresh:
        measure_into(fresh, bundle, sets["test"], config, variants, bar)
    print_measurements(out)
    for line in advise_folder(out, (recipe.gate if recipe else GateConfig()).limits):
        print(line)


def gate(measurements: Path, recipe_path: Path, out: Path | None) -> int:
    """Judge measurements; returns the exit code.

    Raises:
        LandmintError: the recipe is wrong, or something is missing in the folder.
    """
    from landmint.pipeline.judge.advice import advise_folder
    from landmint.pipeline.judge.gate import exit_code
    from landmint.pipeline.judge.verdicts import judge_folder, verdict_text, write_verdicts

    recipe = load_recipe(recipe_path)
    verdicts = judge_folder(measurements, recipe.gate.limits)
    advice = advise_folder(measurements, recipe.gate.limits)
    if out is not None:
        write_verdicts(verdicts, advice, recipe.name, out)
    print(verdict_text(verdicts, advice, recipe.name), end="")
    return exit_code(verdicts)


def report(folder: Path, out: Path | None) -> None:
    """Write the page of a run.

    Raises:
        LandmintError: the run lacks its bundle or its measurements.
    """
    from landmint.pipeline.report import write_report

    print(write_report(folder, out or folder / REPORT_FILE))


def predict(
    paths: Sequence[Path],
    given: str | None,
    variant: str | None,
    box: str | None,
    smooth: bool,
    out: Path,
    plans: bool,
) -> int:
    """Find landmarks in photographs and videos, by the best shipped model where none is given.

    Returns:
        0, or 3 when in some of them no face was found.

    Raises:
        LandmintError: an image, a video or the model cannot be read, or an option makes no sense.
    """
    from landmint.pipeline.predict import parse_box, predict_images
    from landmint.pipeline.predict_video import SUFFIXES, predict_videos

    where = None if box is None else parse_box(box)
    model = best().weights if given is None else find_model(given)
    videos = [path for path in paths if path.suffix.lower() in SUFFIXES]
    images = [path for path in paths if path not in videos]
    if smooth and not videos:
        raise LandmintError(
            "--smooth has nothing to smooth",
            reason="only landmarks that follow each other in time tremble",
            remedy="leave it out, or give a video",
            choices=SUFFIXES,
        )
    screen, codes = Screen(), [0]
    if images:
        codes.append(predict_images(images, model, variant, where, out, screen, plans))
    if videos:
        codes.append(predict_videos(videos, model, variant, where, smooth, out, screen, plans))
    return max(codes)


def models() -> None:
    """Print what is shipped.

    Raises:
        NotMeasuredError: nothing is.
    """
    from landmint.pipeline.tables import print_shipped

    best()
    print_shipped(shipped())


def doctor(as_json: bool) -> None:
    """Print what this machine has."""
    from landmint.pipeline.doctor import as_lines, examine

    with Screen().bar("looking at this machine"):
        found = examine()
    print(json.dumps(found, indent=2) if as_json else "\n".join(as_lines(found)))
