"""What the student of every shipped recipe becomes in each format, beside what the linter said.

Students are untrained and take narrow pictures: what converts depends on no weight. Each format is
tried whatever the linter says of it: its float variants are made and compared with the network,
INT8 is calibrated on drawn faces, and NVIDIA's parser and builder take the TensorRT graphs. What
ends its process or lasts too long has failed. Networks that are one but for their training are
tried once. Answers are kept in a folder, so that a later call goes on from there.

    python benchmarks/exports.py exports                     # try what has no answer yet
    python benchmarks/exports.py exports --only zoo/adnet
    python benchmarks/exports.py exports --page docs/linting.md   # write the table, try nothing
"""

import argparse
import dataclasses
import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from landmint.export.bundle_export import FormCheck, Trained, export_bundle, float_forms
from landmint.export.config import ExportConfig
from landmint.export.isolated import why_not
from landmint.export.lint import EVERY, lint
from landmint.export.parity import crops_for_parity
from landmint.pipeline.recipe import Recipe, load_recipe
from landmint.pipeline.reference import draw_faces
from landmint.pipeline.shipped_recipes import shipped_recipes
from landmint.pipeline.text import NONE, listed, markdown_table
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.bundle import MANIFEST, Bundle, Manifest, write_bundle
from landmint.runtime.engines.tensorrt_build import LIBRARIES, build_plan, load_tensorrt
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import read_json, write_json
from landmint.runtime.formats import FORMATS, SOURCE, SOURCE_VARIANT, Format
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import Split, SyntheticConfig
from landmint.train.models import ModelConfig, create_model, model_class
from landmint.train.starting import stand_in_shape

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.results import replace_table  # noqa: E402

SIDE = 64
"""Width of the pictures in pixels, or the least that a network divides."""
MARKUP = "68"
DRAWN = SyntheticConfig(train=12, val=0, test=4, size_px=64, seed=1)
_NOT_IN_THE_GRAPH = {
    *("heatmap_sigma", "soft_argmax_tau", "soft_argmax_radius"),
    *("crop_scale", "crop_square", "crop_shift"),
}
_FEW = ExportConfig(formats=(SOURCE,), parity_faces=2)
_GRACE_S = 60.0
_ENDED, _NOT_MEASURED = "its process ended", "not measured"
_LONGEST = 160
Answer = dict[str, Any]
"""Of one network: "recipes", "lint" with a rule for each format that it refuses, and "formats" with
the reason, or "", for each variant; of TensorRT's "plans" too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what has no answer yet, or write the page; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("answers", type=Path, help="folder of the answers")
    parser.add_argument("--only", nargs="+", default=[], metavar="RECIPE", help="in this order")
    parser.add_argument("--seconds", type=float, default=1800.0, help="at most, for one process")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    parser.add_argument("--try", dest="child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    paths = shipped_recipes()
    networks = {name: toy(load_recipe(paths[name])) for name in options.only or paths}
    if options.child:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        (network,) = networks.values()
        try_formats(network, answer_file(options.answers, network))
    elif options.page:
        replace_table(options.page, page(options.answers, networks))
    else:
        for name, network in networks.items():
            _answer(name, answer_file(options.answers, network), options.seconds)
    return 0


def toy(recipe: Recipe) -> ModelConfig:
    """The student's network for narrow pictures of drawn faces."""
    model = recipe.student.model
    side = max(SIDE, model_class(model.name).divisor_of(model))
    small = {"input_size": side, "markup": MARKUP, "pretrained": False}
    return ModelConfig.model_validate({**model.model_dump(exclude=_NOT_IN_THE_GRAPH), **small})


def answer_file(folder: Path, network: ModelConfig) -> Path:
    """Where the answer of a network stands."""
    digest = hashlib.sha256(network.model_dump_json().encode()).hexdigest()
    return folder / f"{network.name}-{digest[:8]}.json"


def _answer(recipe: str, file: Path, seconds: float) -> None:
    """Try a recipe's network in processes of their own until each format has an answer."""
    while set(_answered(file)) != set(FORMATS):
        before = len(_answered(file))
        command = [sys.executable, __file__, str(file.parent), "--only", recipe, "--try"]
        code = _run(command, seconds)
        if code is None and file.is_file():
            write_json(file, _without_time(read_json(file), seconds))
        if len(_answered(file)) == before:
            print(f"{recipe}: exit code {code} before the first format", file=sys.stderr)
            return
    print(recipe, *(outcome(read_json(file), name) for name in FORMATS), sep=", ", flush=True)


def _answered(file: Path) -> Mapping[str, Any]:
    answered: Mapping[str, Any] = read_json(file)["formats"] if file.is_file() else {}
    return answered


def _without_time(answer: Answer, seconds: float) -> Answer:
    """An answer of which the format that was being tried is not measured."""
    reason = f"{_NOT_MEASURED}: not done after {seconds:g} s"
    formats = {
        name: {key: reason if text == _ENDED else text for key, text in reasons.items()}
        for name, reasons in answer["formats"].items()
    }
    return {**answer, "formats": formats}


def _run(command: Sequence[str], seconds: float) -> int | None:
    """Run a process; one that lasts too long is told so, that it stops those it started.

    Returns:
        its exit code; None where it lasted too long.
    """
    child = subprocess.Popen(command)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.terminate()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return None


def try_formats(network: ModelConfig, file: Path) -> None:
    """Try every format that has no answer yet, and write down each answer at once.

    A format is noted as failed before it is tried: the process may not live to say so.
    """
    with scratch_folder() as work:
        faces = draw_faces(work / "faces", MARKUP, DRAWN)
        model = create_model(network, stand_in_shape(int(MARKUP))).eval()
        source = export_bundle(model, faces["test"], _FEW, work / "source", {})
        graph = onnx.load(source.entry(source.variant(SOURCE_VARIANT)))
        crops = crops_for_parity(faces["test"], model.contract, _FEW.parity_faces)
        check = FormCheck(model.contract, _FEW, crops, Trained(model).outputs(crops))
        answer: Answer = {"lint": {}, "formats": {}, "plans": {}}
        if file.is_file():
            answer = read_json(file)
        for finding in lint(graph, model.contract, tuple(FORMATS)):
            if finding.severity == "error":
                refused = FORMATS if finding.target == EVERY else (finding.target,)
                answer["lint"] |= dict.fromkeys(refused, f"{finding.rule}: {finding.fact}")
        for name in FORMATS:
            if name in answer["formats"]:
                continue
            answer["formats"][name] = {f"{name}/all": _ENDED}
            write_json(file, answer)
            try:
                bundle = with_format(source, name, check, faces, work / name)
            except LandmintError as error:
                answer["formats"][name] = {f"{name}/all": why_not(error)}
                write_json(file, answer)
                continue
            own = [one for one in bundle.manifest.variants if one.format == name]
            answer["formats"][name] = {one.name: one.reason for one in own}
            if name == "tensorrt":
                answer["plans"] = {"": _ENDED}
                write_json(file, answer)
                answer["plans"] = plans_of(bundle)
            write_json(file, answer)


def with_format(
    source: Bundle, name: Format, check: FormCheck, faces: Mapping[Split, FaceSet], place: Path
) -> Bundle:
    """A bundle with a format's float variants, whatever the linter says, and with its INT8."""

    def build(folder: Path) -> Manifest:
        ignored = shutil.ignore_patterns(MANIFEST)
        shutil.copytree(source.path, folder, ignore=ignored, dirs_exist_ok=True)
        made = [] if name == SOURCE else float_forms(name, folder, check)
        variants = (*source.manifest.variants, *made)
        return dataclasses.replace(source.manifest, variants=variants, files={})

    plain = write_bundle(place / "float", build)
    settings = QuantizeConfig(formats=(name,), size=8)
    return quantize_bundle(plain, faces["train"], faces["test"], settings, place / "int8")


def plans_of(bundle: Bundle) -> dict[str, Any]:
    """What NVIDIA's parser and builder, which need no GPU, make of the TensorRT variants."""
    plans: dict[str, Any] = {}
    try:
        loaded = load_tensorrt([library for library in LIBRARIES if library.without_gpu])
    except NotMeasuredError as error:
        return {"": f"{_NOT_MEASURED}: {why_not(error)}"}
    for variant in bundle.manifest.variants:
        if variant.format != "tensorrt" or not variant.files:
            continue
        try:
            _, built = build_plan(loaded, bundle.path / variant.files[-1])
        except LandmintError as error:
            plans[variant.name] = why_not(error)
            continue
        agrees = all(variant.notes.get(key, note) == note for key, note in built.notes.items())
        plans[variant.name] = {
            "layers": sum(built.layers.values()),
            "weighted": built.weighted,
            "int8": built.weighted - len(built.float_layers),
            "agrees": agrees,
            "kib": built.plan_bytes >> 10,
        }
    return plans


def outcome(answer: Answer, name: Format) -> str:
    """One word or two for what became of a format."""
    reasons = answer["formats"].get(name, {"": f"{_NOT_MEASURED}: not tried yet"})
    if any(reason.startswith(_NOT_MEASURED) for reason in reasons.values()):
        return _NOT_MEASURED
    if name in answer["lint"]:
        return "refused" if all(reasons.values()) else "false alarm"
    failed = [variant.partition("/")[2] for variant, reason in reasons.items() if reason]
    return f"fails: {listed(failed)}" if failed else "made"


def page(folder: Path, networks: Mapping[str, ModelConfig]) -> str:
    """The table, why cells say no, and how many recipes have no answer yet."""
    answers: dict[str, Answer] = {}
    recipes: dict[str, list[str]] = {}
    missing = []
    for name, network in networks.items():
        file = answer_file(folder, network)
        if not _answered(file):
            missing.append(name)
            continue
        answers[file.name] = read_json(file)
        recipes.setdefault(file.name, []).append(name)
    rows = [_row(", ".join(recipes[key]), answer) for key, answer in answers.items()]
    labels = [record.label for record in FORMATS.values()]
    table = markdown_table(("recipes", *labels, *_PLAN_COLUMNS), rows)
    lines = [
        f"- {', '.join(recipes[key])}, {line}"
        for key, answer in answers.items()
        for line in _whys(answer)
    ]
    rest = [f"Not measured, for time: the {len(missing)} other recipes."] if missing else []
    return "\n\n".join([table, *(["\n".join(lines)] if lines else []), *rest])


_PLAN_COLUMNS = ("float16 plan, layers", "INT8 plan, layers", "its layers in INT8")


def _row(recipes: str, answer: Answer) -> list[str]:
    half, int8 = (answer["plans"].get(f"tensorrt/{kind}", {}) for kind in ("float16", "int8"))
    figures = [_figure(half, "layers"), _figure(int8, "layers"), NONE]
    if isinstance(int8, dict) and int8:
        figures[-1] = f"{int8['int8']} of {int8['weighted']}"
        figures[-1] += "" if int8["agrees"] else ", not as decided"
    return [recipes, *(outcome(answer, name) for name in FORMATS), *figures]


def _figure(plan: Any, key: str) -> str:
    if isinstance(plan, str):
        return "refused"
    return str(plan[key]) if plan else NONE


def _whys(answer: Answer) -> Iterator[str]:
    """Why a format was refused, failed or was not built, each in a line."""
    for name, record in FORMATS.items():
        if rule := answer["lint"].get(name):
            yield f"{record.label}, by the linter: {rule}"
        elif reasons := [reason for reason in answer["formats"].get(name, {}).values() if reason]:
            yield f"{record.label}: {reasons[0][:_LONGEST]}"
    for variant, plan in answer["plans"].items():
        if isinstance(plan, str):
            yield f"NVIDIA's parser, {variant or 'all'}: {plan[:_LONGEST]}"


if __name__ == "__main__":
    sys.exit(main())
