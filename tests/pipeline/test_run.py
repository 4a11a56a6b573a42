"""The whole way once, on a few synthetic faces; then again, interrupted, and verb by verb."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.pipeline.judge.judgement import VERDICT_FILES
from landmint.pipeline.progress import Screen
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.run import Run
from landmint.pipeline.steps import stages_of
from landmint.pipeline.steps.bundles import quantize_settings
from landmint.pipeline.steps.weights import training_settings
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import sha256_file
from landmint.runtime.markup import get_markup
from landmint.train.config import TrainingPlan
from landmint.train.faces.augment import AugmentConfig
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import SyntheticConfig
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.self_training import label_round
from landmint.train.training import train_network

pytestmark = pytest.mark.slow

RECIPE = """\
about = "a rehearsal"

[faces]
kind = "synthetic"
synthetic = { train = 24, val = 6, test = 12, size_px = 64 }

[teacher.model]
name = "hrnet"
backbone = "hrnet_w18_small"
input_size = 64

[teacher.fit]
epochs = 2
batch_size = 8
workers = 0
threads = 1

[student.model]
name = "pipnet"
backbone = "mobilenetv3_small_050"
input_size = 64
stride = 16

[student.fit]
epochs = 2
batch_size = 8
workers = 0
threads = 1
checkpoint_every_steps = 1

[student.augment]
views = 1 # so that the second epoch asks the teacher nothing

[export]
formats = ["onnx"]
parity_faces = 2

[quantize]
size = 8

[measure]
launches = 1
samples = 20
seconds = 0.2

[gate.nme_percent]
"*" = 1000.0
"""
MakeOnce = Callable[[str, Callable[[Path], object]], Path]
LONG_S = 600  # nothing here takes so long unless it hangs
STOPPING_AFTER_A_CHECKPOINT = """
import sys
from landmint.pipeline.cli import main
from landmint.train import loop

save = loop.save_checkpoint

def save_and_wait(*arguments):
    save(*arguments)
    print("saved", flush=True)
    sys.stdin.readline()

loop.save_checkpoint = save_and_wait
main()
"""


def _landmint(folder: Path, *words: object) -> Result:
    """The command in this process, which has imported torch already, in another folder."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(cli.app, list(map(str, words)))


@pytest.fixture(scope="session")
def made(make_once: MakeOnce) -> Path:
    """A folder with tiny.toml and the whole run of it; not to be changed."""
    return make_once("run", _run_all)


def _run_all(folder: Path) -> None:
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    done = _landmint(folder, "run", "tiny.toml")
    assert done.exit_code == 0, done.output
    assert "report:  runs/tiny/report.html" in done.stdout
    stages = _stages(folder)
    for number, stage in enumerate(stages, start=1):
        assert f"{number}/{len(stages)} {stage}" in done.stderr


def _stages(folder: Path) -> list[str]:
    """Names of the stages of that run."""
    run = Run(load_recipe(folder / "tiny.toml"), folder / "runs" / "tiny")
    return [stage.name for stage in stages_of(run)]


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of that folder, to be changed."""
    yield Path(shutil.copytree(made, tmp_path / "work", symlinks=True))


def _current(said: str) -> dict[str, bool]:
    """Stage to whether it was found up to date, of those that were shown."""
    lines = re.findall(r"^\d+/\d+ ([a-z-]+) +(up to date|\d)", said, re.MULTILINE)
    return {stage: word == "up to date" for stage, word in lines}


def test_everything_stands_in_the_run(made: Path) -> None:
    run = made / "runs" / "tiny"
    bundle = Bundle.open(run / "bundle")
    names = {variant.name for variant in bundle.manifest.variants if variant.files}
    assert names == {"torch/float32", "onnx/float32", "onnx/int8"}
    assert not (run / "student" / "lessons").exists()
    assert bundle.manifest.provenance["recipe"] == "tiny"
    assert bundle.manifest.provenance["teacher"]["settings"]["fit"]["epochs"] == 2
    assert str(made) not in (run / "bundle" / "manifest.json").read_text(encoding="utf-8")
    verdict = json.loads((run / "verdict" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["exit_code"] == 0
    assert (run / "teacher" / "model.safetensors").is_file()
    assert (run / "teacher").resolve().parent == (made / "runs" / "teachers")


def test_a_second_run_does_nothing_and_imports_no_torch(copy: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom landmint.pipeline.cli.run import run\n"
        "assert run(Path('tiny.toml')) == 0\n"
        "assert not {'torch', 'matplotlib', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=copy, capture_output=True, text=True, timeout=LONG_S
    )
    assert done.returncode == 0, done.stderr
    assert _current(done.stderr) == dict.fromkeys(_stages(copy), True)


def test_another_limit_is_judged_anew_and_nothing_else_is_done(copy: Path) -> None:
    text = RECIPE.replace("1000.0", "0.01")
    (copy / "tiny.toml").write_text(text, encoding="utf-8")
    done = _landmint(copy, "run", "tiny.toml")
    assert done.exit_code == 5, "the exit code is the verdict's"
    again = {stage for stage, current in _current(done.stderr).items() if not current}
    assert again == {"verdict", "report"}


def test_a_changed_face_is_read_again_and_what_it_taught_is_taught_again(copy: Path) -> None:
    picture = next((copy / "runs/tiny/faces/test").glob("*.png"))
    content = picture.read_bytes()
    picture.unlink()
    picture.write_bytes(content)  # the same picture, at another time
    done = _landmint(copy, "run", "tiny.toml", "--until", "student")
    wanted = {"faces": False, "teacher": True, "student": True}
    assert _current(done.stderr) == wanted, "the faces are what they were"


def test_recipes_that_agree_on_the_teacher_share_it(copy: Path) -> None:
    other = RECIPE.replace('"pipnet"', '"pfld"').replace('"mobilenetv3_small_050"', '"own"')
    other = other.replace("stride = 16\n", "")
    (copy / "other.toml").write_text(other, encoding="utf-8")
    done = _landmint(copy, "run", "other.toml", "--until", "teacher")
    assert _current(done.stderr)["teacher"]
    links = {(copy / "runs" / name / "teacher").resolve() for name in ("tiny", "other")}
    assert len(links) == 1


def _again(folder: Path, start: str, old: str = "", new: str = "") -> Result:
    """Train the recipe's student once more, from weights and without a teacher."""
    tables = f'[student]\nstart = "{start}"\n\n[student.model]'
    text = RECIPE.replace("[student.model]", tables).replace(old, new)
    text = re.sub(r"\[teacher.model\].*?(?=\[student\])", "", text, flags=re.DOTALL)
    (folder / "again.toml").write_text(text, encoding="utf-8")
    return _landmint(folder, "run", "again.toml", "--until", "student")


def test_a_network_may_begin_from_the_weights_of_a_run(copy: Path) -> None:
    first, start = copy / "runs/tiny/student/model.safetensors", "runs/tiny/student"
    still = "checkpoint_every_steps = 1\nlearning_rate = 1e-30\nfrozen_norms = 1.0"
    done = _again(copy, f"{start}/model.safetensors", "checkpoint_every_steps = 1", still)
    assert done.exit_code == 0, done.output
    before, after = load_file(first), load_file(copy / "runs/again/student/model.safetensors")
    assert all(torch.allclose(after[name], tensor, atol=1e-6) for name, tensor in before.items())
    assert _current(_again(copy, f"{start}/model.safetensors").stderr)["student"] is False
    shutil.copy(copy / "runs/again/student/model.safetensors", first)
    done = _landmint(copy, "run", "again.toml", "--until", "student")
    assert _current(done.stderr)["student"] is False, "other weights to begin from"


def test_weights_that_cannot_begin_a_training_are_refused(copy: Path) -> None:
    done = _again(copy, "nowhere.safetensors")
    assert done.exit_code == 2
    assert "the weights to begin from are not at" in done.stderr
    done = _again(copy, "pipnet-mbv4")
    assert done.exit_code == 2
    assert "pipnet-mbv4 is no file, no folder and no shipped model" in done.stderr
    weights = "runs/tiny/student/model.safetensors"
    done = _again(copy, weights, '"mobilenetv3_small_050"', '"mobilenetv3_small_100"')
    assert done.exit_code == 2
    assert "holds another network than the recipe" in done.stderr
    assert "there backbone is 'mobilenetv3_small_050': " in done.stderr
    assert "building the network" not in done.stderr, "it is told before any work"


def test_a_trained_student_does_not_miss_what_it_learned_from(copy: Path) -> None:
    """Neither is it trained again, nor do its bundles forget their origin."""
    weights, student = copy / "old.safetensors", copy / "runs/again/student/model.safetensors"
    shutil.copy(copy / "runs/tiny/student/model.safetensors", weights)
    old, named = 'about = "a rehearsal"', f'about = "taught"\nteachers = ["{weights}"]'
    assert _again(copy, str(weights), old, named).exit_code == 0
    done = _landmint(copy, "run", "again.toml", "--until", "float-bundle")
    assert _current(done.stderr)["student"], done.stderr
    before, learned = _origin(copy), sha256_file(student)
    weights.unlink()
    done = _landmint(copy, "run", "again.toml", "--until", "float-bundle")
    assert _current(done.stderr) == {"faces": True, "student": True, "float-bundle": True}
    assert f"{weights} is gone; only a new training would need it" in done.stderr.replace("\n", " ")
    shutil.rmtree(copy / "runs/again/float-bundle")
    done = _landmint(copy, "run", "again.toml", "--until", "float-bundle")
    assert _current(done.stderr) == {"faces": True, "student": True, "float-bundle": False}
    assert _origin(copy) == before and before["student"]["settings"]["start"]
    done = _again(
        copy, str(weights), old, named.replace("taught", "longer") + "\n[distill]\nalpha = 0.7"
    )
    assert done.exit_code == 2, "another student"
    assert f"the weights to begin from are not at {weights}" in done.stderr
    assert sha256_file(student) == learned, "what stands is kept"


def _origin(folder: Path) -> Mapping[str, Any]:
    return Bundle.open(folder / "runs/again/float-bundle").manifest.provenance


def test_trainings_that_share_lessons_may_differ_in_length(copy: Path) -> None:
    run = Run(load_recipe(copy / "tiny.toml"), copy / "runs/tiny")
    faces, teacher = run.faces("train"), run.place("teacher") / "model.safetensors"
    student = run.recipe.student.model_copy(update={"augment": AugmentConfig()})
    for epochs in (1, 2):
        fit = student.fit.model_copy(update={"epochs": epochs})
        network = student.model_copy(update={"fit": fit})
        with Screen().bar("") as bar:
            place, lessons = copy / str(epochs), copy / "lessons"
            plan = TrainingPlan(network, faces, run.faces("val"), (teacher,))
            train_network(plan, place, bar, lessons=lessons)
    assert len(list((copy / "lessons").iterdir())) == 2


@pytest.mark.parametrize("signalled", ["the process", "its group"])
def test_an_interrupted_training_goes_on_and_ends_with_the_same_weights(
    copy: Path, signalled: str
) -> None:
    (copy / "tiny.toml").write_text(RECIPE.replace("workers = 0", "workers = 1"), encoding="utf-8")
    student = copy / "runs/tiny/student"
    wanted = load_file(student / "model.safetensors")
    shutil.rmtree(student)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPING_AFTER_A_CHECKPOINT]
        + ["run", "tiny.toml", "--until", "student"],
        cwd=copy,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "saved\n"
    if signalled == "its group":
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LONG_S)  # closes its standard input: it goes on
    assert process.returncode == 3, said
    assert "interrupted in stage student" in said
    assert "kept: faces, teacher; student goes on where it stopped" in said
    assert "go on with: landmint run tiny.toml --until student" in said
    assert "Traceback" not in said
    assert not (student / "model.safetensors").exists()
    done = _landmint(copy, "run", "tiny.toml", "--until", "student")
    assert done.exit_code == 0
    found = load_file(student / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


class Killed(BaseException):
    """The end of a process, for a test: nothing below `BaseException` handles it."""


def _kill_at(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the run when it shows `point`: a step of a training, or what it begins with."""

    def at(bar: object, done: int, total: int, note: str = "") -> None:
        if point == f"{done}/{total}":
            raise Killed

    def step(bar: object, note: str) -> None:
        if note.startswith(point):
            raise Killed

    monkeypatch.setattr("landmint.pipeline.progress._Lines.at", at)
    monkeypatch.setattr("landmint.pipeline.progress._Lines.step", step)


def test_a_run_killed_again_and_again_has_the_manifests_of_an_unbroken_one(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy / "runs" / "tiny"
    manifests = [run / name / "manifest.json" for name in ("float-bundle", "bundle")]
    unbroken = [manifest.read_bytes() for manifest in manifests]
    for stage in ("student", "float-bundle", "bundle"):
        shutil.rmtree(run / stage)
    for point in ("2/6", "5/6", "export to onnx", "quantise to onnx"):
        _kill_at(point, monkeypatch)
        with pytest.raises(Killed):
            _landmint(copy, "run", "tiny.toml")
        monkeypatch.undo()
    done = _landmint(copy, "run", "tiny.toml", "--until", "bundle")
    assert done.exit_code == 0, done.output
    assert [manifest.read_bytes() for manifest in manifests] == unbroken


@pytest.mark.parametrize(
    ("old", "new", "stage"),
    [
        ("a rehearsal", "a performance", "float-bundle"),
        ("checkpoint_every_steps = 1", "epochs = 3", "float-bundle"),
        ("epochs = 1", "epochs = 2", "bundle"),
    ],
    ids=["about", "epochs of the student", "epochs of QAT"],
)
def test_what_a_manifest_says_of_its_origin_is_an_input_of_its_stage(
    tmp_path: Path, old: str, new: str, stage: str
) -> None:
    text = RECIPE.replace("epochs = 2\n", "", 2) + "\n[qat]\nepochs = 1\n"
    path, settings = tmp_path / "tiny.toml", []
    for content in (text, text.replace(old, new)):
        path.write_text(content, encoding="utf-8")
        run = Run(load_recipe(path), tmp_path / "run")
        settings.append({each.name: each.settings(run) for each in stages_of(run)}[stage])
    assert settings[0] != settings[1]


def test_a_verb_that_borrows_faces_leaves_the_description_of_the_run_alone(copy: Path) -> None:
    description = copy / "runs" / "tiny" / "run.json"
    before = description.read_bytes()
    text = RECIPE.replace("a rehearsal", "another recipe")
    (copy / "tiny.toml").write_text(text, encoding="utf-8")
    done = _landmint(copy, "data", "check", "--recipe", "tiny.toml")
    assert done.exit_code == 0, done.output
    assert description.read_bytes() == before
    done = _landmint(copy, "report", "runs/tiny")
    assert "another recipe" not in (copy / "runs/tiny/report.html").read_text(encoding="utf-8")


def test_each_verb_works_alone(copy: Path) -> None:
    recipe = ("--recipe", "tiny.toml")
    done = _landmint(copy, "train", "tiny.toml", "--out", "t")
    assert done.exit_code == 0, done.stderr
    done = _landmint(copy, "distill", "tiny.toml", "--teacher", done.stdout.strip(), "--out", "s")
    assert done.exit_code == 0, done.stderr
    done = _landmint(copy, "export", "s/model.safetensors", *recipe, "--out", "float")
    assert done.exit_code == 0, done.stderr
    done = _landmint(copy, "quantize", "float", *recipe, "--out", "int8", "--explain")
    assert done.exit_code == 0, done.stderr
    assert "What each layer costs" in done.stdout
    assert (copy / "int8" / "explain.json").is_file()
    done = _landmint(copy, "measure", "int8", *recipe, "--variant", "onnx/int8", "--out", "m")
    assert done.exit_code == 0, done.stderr
    assert "onnx/int8" in done.stdout and "torch/float32" in done.stdout
    done = _landmint(copy, "gate", "m", *recipe, "--out", "v")
    assert done.exit_code == 0, done.stdout
    assert {path.name for path in (copy / "v").iterdir()} == {"verdict.json", *VERDICT_FILES}
    done = _landmint(copy, "report", "runs/tiny", "--out", "page.html")
    assert done.exit_code == 0, done.stderr
    face = next((copy / "runs/tiny/faces/test").glob("*.png"))
    done = _landmint(copy, "predict", face, "--bundle", "int8", "--box", "16,16,32,32")
    assert done.exit_code == 0, done.stderr
    assert (copy / "predictions" / f"{face.stem}.json").is_file()


def test_qat_stands_between_student_and_int8(copy: Path) -> None:
    text = RECIPE + "\n[qat]\nepochs = 1\n"
    (copy / "tiny.toml").write_text(text, encoding="utf-8")
    done = _landmint(copy, "run", "tiny.toml", "--until", "bundle")
    assert done.exit_code == 0, done.stderr
    again = {"qat": False, "bundle": False}
    ready = dict.fromkeys(("faces", "teacher", "student", "float-bundle"), True)
    assert _current(done.stderr) == ready | again
    run = copy / "runs" / "tiny"
    bundle, before = (Bundle.open(run / name) for name in ("bundle", "float-bundle"))
    about = bundle.manifest.provenance["qat"]
    assert about["settings"]["epochs"] == 1
    assert about["sha256"] == sha256_file(run / "qat" / "model.safetensors")
    assert about["sha256"] != bundle.manifest.provenance["student"]["sha256"]
    kept = "onnx/float32.onnx"
    assert bundle.manifest.files[kept] == before.manifest.files[kept]
    ranges = json.loads((run / "bundle" / "ranges.json").read_text(encoding="utf-8"))
    assert ranges["about"]["weights from"] == "quantisation-aware training"
    weights, recipe = "runs/tiny/qat/model.safetensors", ("--recipe", "tiny.toml")
    done = _landmint(
        copy, "quantize", "runs/tiny/float-bundle", *recipe, "--adapted", weights, "--out", "b"
    )
    assert done.exit_code == 0, done.stderr
    assert "qat" in Bundle.open(copy / "b").manifest.provenance


UNLABELLED = """
[self_training]
rounds = ["cls2", "std"]
epochs = 1

[self_training.faces]
root = "more"
"""


def test_self_training_stands_between_student_and_float_bundle(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "tiny.toml").write_text(RECIPE + UNLABELLED, encoding="utf-8")
    command = ("run", "tiny.toml", "--until", "float-bundle")
    missing = _landmint(copy, *command)
    assert missing.exit_code == 2
    assert "the unlabelled faces of tiny.toml are not at more" in missing.stderr
    counts = SyntheticConfig(train=9, val=0, test=0).counts
    write_synthetic(copy / "more", counts, get_markup("68"), 64, 5)

    def stopped(weights: Path, *arguments: Any) -> FaceSet:
        folder: Path = arguments[4]
        if folder.name == "2-std":
            raise KeyboardInterrupt
        return label_round(weights, *arguments)

    monkeypatch.setattr("landmint.train.rounds.label_round", stopped)
    done = _landmint(copy, *command)
    assert done.exit_code == 3 and "self-training goes on where it stopped" in done.stderr
    place = copy / "runs" / "tiny" / "self-training"
    first = (place / "1-cls2" / "model.safetensors").stat().st_mtime_ns
    monkeypatch.undo()
    done = _landmint(copy, *command)
    assert done.exit_code == 0, done.stderr
    ready = dict.fromkeys(("faces", "teacher", "student"), True)
    assert _current(done.stderr) == ready | {"self-training": False, "float-bundle": False}
    assert (place / "1-cls2" / "model.safetensors").stat().st_mtime_ns == first
    labels = json.loads((place / "2-std" / "labels.json").read_text(encoding="utf-8"))
    assert len(labels["annotations"]) == 9

    trained = load_file(place / "model.safetensors")
    supervised = load_file(place.parent / "student" / "model.safetensors")
    assert not all(torch.equal(trained[name], tensor) for name, tensor in supervised.items())
    provenance = Bundle.open(place.parent / "float-bundle").manifest.provenance
    assert provenance["self-training"]["sha256"] == sha256_file(place / "model.safetensors")
    assert provenance["self_training"]["rounds"] == ["cls2", "std"]

    shutil.rmtree(place)
    again = _landmint(copy, *command[:-1], "self-training")
    assert again.exit_code == 0, again.stderr
    whole = load_file(place / "model.safetensors")
    assert all(torch.equal(whole[name], tensor) for name, tensor in trained.items())


def test_verbs_that_need_faces_say_so(copy: Path) -> None:
    done = _landmint(copy, "quantize", "runs/tiny/float-bundle", "--out", "x")
    assert done.exit_code == 2
    assert "no faces are given" in done.stderr


def test_faces_in_300w_layout_need_no_recipe(copy: Path) -> None:
    faces = ("--faces", "runs/tiny/faces", "--variant", "torch/float32")
    done = _landmint(copy, "measure", "runs/tiny/bundle", *faces, "--out", "m2")
    assert done.exit_code == 0, done.stderr


def test_a_bundle_of_a_file_that_was_changed_is_made_again(copy: Path) -> None:
    graph = copy / "runs/tiny/bundle/onnx/int8.onnx"
    graph.write_bytes(graph.read_bytes()[:-10])
    done = _landmint(copy, "measure", "runs/tiny/bundle", "--recipe", "tiny.toml", "--out", "m")
    assert done.exit_code == 2
    assert "differs from its hash" in done.stderr
    shown = _current(_landmint(copy, "run", "tiny.toml", "--until", "bundle").stderr)
    assert not shown["bundle"]
    assert shown["float-bundle"]


def test_faces_that_are_not_there_are_missed_before_any_work(tmp_path: Path) -> None:
    text = RECIPE.replace('"synthetic"\n', '"300w"\nroot = "nowhere"\n', 1)
    (tmp_path / "tiny.toml").write_text(text, encoding="utf-8")
    done = _landmint(tmp_path, "run", "tiny.toml")
    assert done.exit_code == 2
    assert "the faces of tiny.toml are not at nowhere" in done.stderr
    assert "--faces ROOT" in done.stderr


def test_settings_that_change_no_weight_start_no_training(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    before = training_settings(load_recipe(path).student, {})
    path.write_text(RECIPE.replace("workers = 0", "workers = 3"), encoding="utf-8")
    assert training_settings(load_recipe(path).student, {}) == before
    assert "activation" not in before["model"], "it came later, and is not set"
    assert not {"soft_argmax_tau", "soft_argmax_radius"} & set(before["model"])
    assert before["model"]["pretrained"] is False, "as it was when it was true or false"
    assert "seed" not in before["augment"] and before["augment"]["views"] == 1


def test_a_file_of_ranges_counts_by_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    path, ranges = tmp_path / "recipes" / "tiny.toml", tmp_path / "recipes" / "mine.json"
    text = RECIPE.replace("[quantize]\n", '[quantize]\nranges = "mine.json"\n')
    path.write_text(text, encoding="utf-8")
    config = load_recipe(path).quantize
    assert config.ranges == ranges, "relative to the recipe"
    with pytest.raises(LandmintError, match="the ranges to quantise with are not at"):
        quantize_settings(config)
    found = []
    for text in ("{}", "[]", "{}"):
        ranges.write_text(text, encoding="utf-8")
        found.append(quantize_settings(config))
    assert found[0] == found[2] != found[1]
    assert quantize_settings(QuantizeConfig())["ranges"] is None


def test_several_targets_are_visited_by_one_command(copy: Path) -> None:
    """Three machines, so three processes; one of them is not there."""
    desk = 'base = "host"\nabout = "a rehearsal elsewhere"\naddress = "desk"\n'
    (copy / "desk.toml").write_text(desk, encoding="utf-8")
    words = ("run", "tiny.toml", "--targets", "host,desk.toml,rpi5:nobody@nowhere.invalid")
    command = [sys.executable, "-m", "landmint.pipeline", *words]
    first = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=LONG_S)
    assert first.returncode == 3, first.stderr
    assert "report:  runs/tiny/targets.html" in first.stdout
    run = copy / "runs" / "tiny"
    measured = {folder.name for folder in (run / "targets").iterdir() if list(folder.glob("m*"))}
    assert measured == {"host", "desk.toml"}
    page = (run / "targets.html").read_text(encoding="utf-8")
    assert "rpi5:nobody@nowhere.invalid" in page and "desk.toml" in page
    done = _landmint(copy, *words[:-1], "host,desk.toml")
    assert done.exit_code == 0, done.stderr
    assert "measurements" not in _current(done.stderr), "they are up to date"
    done = _landmint(copy, *words, "--until", "bundle")
    assert done.exit_code == 2
    assert "--until and --targets are given" in done.stderr
