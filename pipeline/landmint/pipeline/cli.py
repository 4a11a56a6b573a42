"""The command `landmint`: its verbs in the order of the work, their options and their help.

What a verb does stands in `verbs.py`, which is imported when one runs: `landmint --help` imports
nothing heavy.
"""

import signal
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from landmint.pipeline.cli_app import (
    FacesOption,
    ModelArgument,
    RecipeFile,
    RecipeOption,
    app,
    verb,
)
from landmint.pipeline.cli_data import SplitOption, data

__all__ = ["app", "main"]

app.add_typer(data, name="data")


class Accelerator(StrEnum):
    """Where a network runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@verb
def run(
    recipe: RecipeFile,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; runs/<recipe name> by default.")
    ] = None,
    faces: FacesOption = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after it.")] = None,
) -> int:
    """The whole way: faces, teacher, student, bundle, INT8, measurements, verdict, report.

    A stage that is up to date is left alone; an interrupted run goes on where it was, training
    from its last checkpoint.

    Examples:
        landmint run demo
        landmint run pfld-ytf68 --faces /data/ytf68
        landmint run demo --until student
    """
    from landmint.pipeline import verbs

    return verbs.run(recipe, out, faces, until)


@verb
def train(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option(help="Folder for weights, checkpoints and logs.")],
    role: Annotated[
        str, typer.Option(help="Which network of the recipe: teacher or student.")
    ] = "teacher",
    faces: FacesOption = None,
) -> None:
    """Train one network of a recipe on its faces alone.

    Run it again to go on from the last checkpoint.

    Examples:
        landmint train demo --out runs/teacher
        landmint train demo --role student --out runs/undistilled
    """
    from landmint.pipeline import verbs

    verbs.train(recipe, out, role, faces)


@verb
def distill(
    recipe: RecipeFile,
    teacher: Annotated[
        Path, typer.Option(metavar="CHECKPOINT", help="The teacher's model.safetensors.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for weights, checkpoints and logs.")],
    faces: FacesOption = None,
) -> None:
    """Train a recipe's student with a trained teacher beside it.

    Examples:
        landmint distill demo --teacher runs/teacher/model.safetensors --out runs/s
    """
    from landmint.pipeline import verbs

    verbs.distill(recipe, teacher, out, faces)


@verb
def label(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="A folder of images, looked through below.")
    ],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A network's model.safetensors, or a shipped one.")
    ],
    out: Annotated[Path, typer.Option(help="The COCO-style JSON that is written.")],
    boxes: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="found: faces are looked for; whole: each image is a face; or a data set that "
            "knows the boxes, its folder or file; COCO-style JSON needs no landmarks for that.",
        ),
    ] = "found",
    margin: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.49, help="whole: share of each side that is no face, at each edge."
        ),
    ] = 0.1,
    kind: Annotated[
        str | None, typer.Option(help="The data set's reader; see docs/adding-a-dataset.md.")
    ] = None,
    markup: Annotated[
        str | None, typer.Option(help="The data set's landmark scheme, if not the network's.")
    ] = None,
    split: SplitOption = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Leave out faces whose mean confidence is lower.")
    ] = None,
    flip_test: Annotated[
        bool,
        typer.Option("--flip-test", help="Heatmaps: mean with the mirrored crop; twice the work."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces together in the network.")] = 32,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="On each machine; one for each GPU, else core, by default."),
    ] = None,
    nodes: Annotated[
        int, typer.Option(min=1, help="Machines; start the command on each with torchrun or Slurm.")
    ] = 1,
    accelerator: Annotated[
        Accelerator, typer.Option(help="Where to run; auto takes the GPUs if there are any.")
    ] = Accelerator.auto,
) -> int:
    """Let a trained network label any images, to train on: teacher or student, any head.

    Run it again to go on where it was interrupted. Images that cannot be read are listed at the
    end. Exit code 3 when no face was found at all.

    Examples:
        landmint label photographs --model runs/demo/teacher/model.safetensors --out labels.json
        landmint label crops --model model.safetensors --out labels.json --boxes whole --margin 0.05
        landmint label images --model model.safetensors --out labels.json --boxes boxes.json
        landmint label images --model model.safetensors --out labels.json --min-confidence 0.4
    """
    from landmint.pipeline.labelling import BoxOptions, label_folder
    from landmint.train.label import LabelConfig
    from landmint.train.zoo import find_model

    where = BoxOptions(boxes, margin, kind, markup, tuple(split or ()))
    config = LabelConfig(
        flip_test=flip_test,
        min_confidence=min_confidence,
        batch_size=batch_size,
        processes=processes,
        nodes=nodes,
        accelerator=accelerator.value,
    )
    return label_folder(images, find_model(model), out, where, config)


@verb
def qat(
    model: ModelArgument,
    recipe: Annotated[
        Path,
        typer.Option("--recipe", metavar="RECIPE", help="Of the student; \\[qat] says how."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for weights, checkpoints and logs.")],
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="The teacher's, to learn from it as well."),
    ] = None,
    faces: FacesOption = None,
) -> None:
    """Quantisation-aware training: let a trained student learn to bear INT8.

    It is rounded as its INT8 form will be and guided by what it said before. Give the weights that
    come out to `landmint quantize --adapted`.

    Examples:
        landmint qat runs/demo/student/model.safetensors --recipe demo --out q
    """
    from landmint.pipeline import verbs

    verbs.qat(model, recipe, out, teacher, faces)


@verb
def export(
    model: ModelArgument,
    out: Annotated[Path | None, typer.Option(help="The bundle's folder.")] = None,
    recipe: RecipeOption = None,
    faces: FacesOption = None,
    lint: Annotated[
        bool,
        typer.Option(
            "--lint",
            help="Build nothing; say what each target will not do, or do badly, with a network, "
            "a bundle or an ONNX file. Exit code 2 when something will not work.",
        ),
    ] = False,
) -> int:
    """Turn a trained network into ONNX, OpenVINO, TFLite and TensorRT, in one bundle.

    Each float32 form is compared with the network on crops, of drawn faces where none are given;
    one that differs is refused.

    Examples:
        landmint export pipnet-mbv3 --out bundle
        landmint export runs/demo/student/model.safetensors --recipe demo --out b
        landmint export model.safetensors --faces /data/my-300w --out bundle
        landmint export --lint runs/demo/bundle
    """
    from landmint.pipeline import verbs

    if lint:
        return verbs.lint(model, recipe)
    verbs.export(model, out, recipe, faces)
    return 0


@verb
def quantize(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A float bundle.")],
    out: Annotated[Path, typer.Option(help="The new bundle's folder.")],
    recipe: RecipeOption = None,
    faces: FacesOption = None,
    adapted: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Make them of these weights, of `landmint qat`."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Tell what each layer loses to INT8 and where engines part, on validation faces; "
            "writes explain.json into the bundle. Takes minutes.",
        ),
    ] = False,
    fallback_budget: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            min=0.0,
            help="Search for layers to keep in float, measured on the target, until NME rises by "
            "at most so many points over the float student; explains as well.",
        ),
    ] = None,
) -> int:
    """Add INT8 forms to a bundle, calibrated on training faces.

    The calibration set may share no image and no person with the test faces.

    Examples:
        landmint quantize bundle --recipe demo --out int8-bundle
        landmint quantize bundle --recipe demo --adapted q/model.safetensors --out b
        landmint quantize bundle --faces /data/my-300w --out int8-bundle --explain
        landmint quantize bundle --recipe r.toml --out int8-bundle --fallback-budget 0.05
    """
    from landmint.pipeline import verbs

    return verbs.quantize(bundle, out, recipe, faces, adapted, explain, fallback_budget)


@verb
def measure(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle.")],
    out: Annotated[Path, typer.Option(help="Folder for the measurements.")],
    recipe: RecipeOption = None,
    faces: FacesOption = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT/PRECISION", help="Only this one; may be given again."),
    ] = None,
    plans: Annotated[
        bool, typer.Option("--plans", help="Run TensorRT plans too: code of whoever made them.")
    ] = False,
) -> None:
    """Measure landmarks, latency, memory and size of every variant; raw samples are kept.

    A variant that cannot run here is "not measured", with the reason.

    Examples:
        landmint measure runs/demo/bundle --recipe demo --out measurements
        landmint measure bundle --faces /data/my-300w --variant tflite/int8 --out m
    """
    from landmint.pipeline import verbs

    verbs.measure(bundle, out, recipe, faces, variant or [], plans)


@verb
def gate(
    measurements: Annotated[
        Path, typer.Argument(metavar="MEASUREMENTS", help="A folder of measurements.")
    ],
    recipe: Annotated[Path, typer.Option(metavar="RECIPE", help="Its gate table has the limits.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for verdict.md and junit.xml; none by default.")
    ] = None,
) -> int:
    """Judge measurements by the limits of a recipe; the exit code is the verdict.

    Examples:
        landmint gate runs/demo/measurements --recipe demo --out verdict
    """
    from landmint.pipeline import verbs

    return verbs.gate(measurements, recipe, out)


@verb
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; report.html in the run's folder.")
    ] = None,
) -> None:
    """Write what was built and measured as one self-contained HTML page.

    Examples:
        landmint report runs/demo --out demo.html
    """
    from landmint.pipeline import verbs

    verbs.report(run, out)


@verb
def predict(
    paths: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Photographs, or videos.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "--bundle",
            metavar="MODEL",
            help="A shipped model, a bundle, or weights; the best shipped model by default.",
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT/PRECISION", help="Of a bundle; the first that runs here by default."
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="The face, in pixels; else faces are looked for."),
    ] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Videos: filter out the landmarks' tremble.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for pictures and JSON.")] = Path("predictions"),
    plans: Annotated[
        bool, typer.Option("--plans", help="Run TensorRT plans too: code of whoever made them.")
    ] = False,
) -> int:
    """Find landmarks in photographs and videos; draws them and writes them as JSON.

    Examples:
        landmint predict me.jpg
        landmint predict me.jpg --model mobilefan --box 120,80,200,220
        landmint predict a.jpg b.jpg --model bundle --variant tflite/int8 --out found
        landmint predict clip.mp4 --model runs/demo/bundle --smooth
    """
    from landmint.pipeline import verbs

    return verbs.predict(paths, model, variant, box, smooth, out, plans)


@verb
def models() -> None:
    """The models that come along: network, size, error on faces that they never saw.

    Examples:
        landmint models
    """
    from landmint.pipeline import verbs

    verbs.models()


@verb
def recipes() -> None:
    """The recipes that come along: what each is for, and the folder to copy one from.

    Every verb that takes a recipe takes the name of one of these.

    Examples:
        landmint recipes
    """
    from landmint.pipeline.tables import print_recipes

    print_recipes()


@verb
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What this machine has: engines, converters, GPUs; and what to install for the rest.

    Examples:
        landmint doctor
        landmint doctor --json
    """
    from landmint.pipeline import verbs

    verbs.doctor(json)


def main() -> None:
    """Entry point of the command."""
    signal.signal(signal.SIGTERM, _terminated)
    app()


def _terminated(number: int, frame: FrameType | None) -> None:
    """A polite end from outside is treated as Ctrl-C."""
    raise KeyboardInterrupt
