"""Recipes: every shipped one is valid; whatever is wrong in one is said at once, with its line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline.judge.gate import Limits
from landmint.pipeline.measure_config import GateConfig, MeasureConfig
from landmint.pipeline.networks import check_named_teachers, check_networks
from landmint.pipeline.recipe import load_recipe
from landmint.runtime.contract import CropRule
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import BY_DEFAULT
from landmint.runtime.latency import LatencyConfig
from landmint.train.models import ModelConfig, create_model, save_model

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))

SOUND = """\
about = "a test"

[faces]
kind = "300w"
root = "somewhere"
markup = "68"

[teacher.model]
name = "hrnet"
backbone = "hrnet_w18_small"
input_size = 64

[teacher.fit]
epochs = 3

[student.model]
name = "pipnet"
backbone = "mobilenetv3_small_050"
input_size = 64
stride = 16

[gate.nme_percent]
"*/int8" = 5.0
"*" = 4
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _problems(folder: Path, old: str, new: str) -> list[str]:
    """What is said of SOUND with one part replaced, without the path."""
    assert old in SOUND
    path = _write(folder, SOUND.replace(old, new))
    with pytest.raises(LandmintError) as caught:
        load_recipe(path)
    lines = caught.value.fact.splitlines()
    listed = lines if len(lines) == 1 else lines[1:]
    return [line.strip().removeprefix(f"{path}:") for line in listed]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.about


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_networks_of_shipped_recipes_fit_each_other(path: Path) -> None:
    check_networks(load_recipe(path))


def test_there_is_a_recipe_for_each_published_student() -> None:
    students = {load_recipe(path).student.model.name for path in RECIPES}
    assert students == {"pipnet", "pfld", "mobilefan", "simcc", "hrnet", "fan"}, "teachers too"


def test_the_taught_recipes_name_the_same_teachers() -> None:
    recipes = [load_recipe(path) for path in RECIPES if path.stem.endswith("taught-ytf68")]
    named = {tuple(Path(teacher).resolve() for teacher in recipe.teachers) for recipe in recipes}
    assert len(recipes) == 5
    assert len(named) == 1, "so that they share what the teachers said"
    made = {
        path.parents[1] / "runs" / path.stem / "student" / "model.safetensors" for path in RECIPES
    }
    assert set(named.pop()) <= made, "a recipe makes each of them"


def test_a_sound_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, SOUND))
    assert recipe.name == "mine"
    assert recipe.student.model.markup == "68"
    assert list(recipe.gate.limits.nme_percent) == ["*/int8", "*"], "the order counts"
    assert recipe.gate.limits.of("nme_percent", "onnx/float32") == 4.0


def test_a_crop_with_a_scale_for_each_axis(tmp_path: Path) -> None:
    crop = "crop_scale = [1.2, 1]\ncrop_square = false\ncrop_shift = [0, 0.1]\n"
    text = SOUND.replace("stride = 16", crop).replace("[teacher.fit]", f"{crop}[teacher.fit]")
    model = load_recipe(_write(tmp_path, text)).student.model
    assert model.crop == CropRule((1.2, 1.0), square=False, shift=(0.0, 0.1))


def test_a_crop_of_one_scale_is_written_down_as_before(tmp_path: Path) -> None:
    """Stages are up to date by what is written down: a trained network stays so."""
    crop = "crop_scale = 1.25\n"
    text = SOUND.replace("stride = 16", crop).replace("[teacher.fit]", f"{crop}[teacher.fit]")
    model = load_recipe(_write(tmp_path, text)).student.model
    assert '"crop_scale":1.25,' in model.model_dump_json()
    assert model.crop == CropRule((1.25, 1.25), square=True)


def test_the_markup_of_the_faces_is_that_of_the_networks(tmp_path: Path) -> None:
    text = SOUND.replace('"300w"', '"wflw"').replace('markup = "68"', 'markup = "98"')
    recipe = load_recipe(_write(tmp_path, text))
    assert recipe.teacher is not None
    assert (recipe.teacher.model.markup, recipe.student.model.markup) == ("98", "98")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("epochs = 3", "epoch = 3", "14: teacher.fit.epoch: unknown key; did you mean 'epochs'?"),
        ("epochs = 3", 'epochs = "3"', '14: teacher.fit.epochs: "3" should be a valid integer'),
        (
            "[teacher.fit]",
            "[teacher.augment]\nmirror_shift = 0.015\n[teacher.fit]",
            "14: teacher.augment.mirror_shift: is no longer a key: say how far the labels lean "
            "under [faces], such as label_offset = { share = [0.015, 0] }",
        ),
        ("epochs = 3", "epochs = 0", "14: teacher.fit.epochs: should be greater than or equal"),
        ("epochs = 3", 'precision = "fp8"', '14: teacher.fit.precision: unknown value "fp8"'),
        ('markup = "68"', 'markup = "67"', "6: faces.markup: unknown markup '67'; choices: 68, 98"),
        ('"300w"', '"menpo"', "4: faces.kind: unknown kind of faces 'menpo'; choices: synthetic"),
        ('"pipnet"', '"pipnt"', "17: student.model.name: unknown model 'pipnt'; did you mean 'pip"),
        ("stride = 16", 'markup = "98"', "20: student.model.markup: is 98, but the faces have"),
        ("stride = 16", "crop_scale = 2", "20: student.model.crop_scale: is 2.0, but the teacher"),
        ("stride = 16", "crop_scale = 0", "20: student.model.crop_scale: should be a number from"),
        ("stride = 16", 'crop_scale = "2"', "20: student.model.crop_scale: should be a number fr"),
        ("stride = 16", "crop_scale = [1, 2, 3]", "20: student.model.crop_scale: should be a num"),
        ("stride = 16", "crop_scale = [1.2, nan]", "20: student.model.crop_scale: should be a nu"),
        ("stride = 16", "crop_scale = [1.2, 1]", "16: student.model: two numbers in crop_scale "),
        ("stride = 16", "crop_scale = true", "20: student.model.crop_scale: should be a number fr"),
        (
            '[teacher.model]\nname = "hrnet"\n',
            "[teacher.model]\n",
            "8: teacher.model.name: is",
        ),
        (
            "[gate.nme_percent]",
            "[gate.nme]",
            "22: gate.nme: unknown key; choices: nme",
        ),
        ('"*" = 4', '"*" = -4', "22: gate: limit nme_percent.'*' = -4.0 is not positive"),
        ('about = "a test"', "[measure]\ntarget = 'moon'", "2: measure.target: unknown target"),
    ],
)
def test_one_problem_has_its_line_and_choices(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    (said,) = _problems(tmp_path, old, new)
    assert said.startswith(problem)


def test_all_problems_are_said_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    said = _problems(
        tmp_path, 'markup = "68"\n', 'markup = "67"\ncolour = 1\n[exports]\n[quantize]\nzise = 3\n'
    )
    assert [line.split(":")[0] for line in said] == ["6", "7", "8", "10"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[faces\n", ":1: not valid TOML"),
        ("a = 1\na = 2\n", ":2: not valid TOML"),
        ('a = "', ":1:"),
    ],
)
def test_what_is_no_toml_is_said_with_its_line(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(LandmintError) as caught:
        load_recipe(_write(tmp_path, text))
    assert where in caught.value.fact
    assert caught.value.reason


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="cannot read the recipe"):
        load_recipe(tmp_path / "no.toml")


@pytest.mark.parametrize(
    ("tables", "formats"),
    [
        ("", BY_DEFAULT),
        ('[export]\nformats = ["onnx"]', ("onnx",)),
        ('[export]\nformats = ["tflite"]\n[quantize]\nsize = 9', ("tflite",)),
        ('[export]\nformats = ["tflite"]\n[quantize]\nformats = ["tensorrt"]', ("tensorrt",)),
    ],
)
def test_int8_is_made_in_the_formats_that_are_exported(
    tables: str, formats: tuple[str, ...], tmp_path: Path
) -> None:
    recipe = load_recipe(_write(tmp_path, f"{SOUND}\n{tables}\n"))
    assert recipe.quantize.formats == formats


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            '[export]\nformats = ["onnx"]\n[quantize]\nformats = ["onnx", "tflite"]',
            "quantize.formats: tflite/int8 is made from tflite/float32; add tflite to",
        ),
        (
            '[export]\nformats = ["tflite"]\n[quantize]\nexplain = true',
            "quantize.explain: layers are explained in the ONNX INT8 graph; add onnx to",
        ),
        (
            '[export]\nformats = ["tflite"]\n[quantize]\nfallback_budget = 0.1',
            "quantize.fallback_budget: layers are explained in the ONNX INT8 graph; add onnx to",
        ),
        (
            '[export]\nformats = ["tflite"]\n[quantize]\nprecisions = ["int8", "w8a16"]',
            "quantize.precisions: w8a16 is a precision of onnx, which is not among the formats",
        ),
        (
            '[quantize]\nprecisions = ["w8a16"]\nexplain = true',
            "quantize.explain: layers are explained in the ONNX INT8 graph; add onnx to",
        ),
        (
            "[quantize]\nfallback_budget = 0.1\n[qat]",
            "quantize.fallback_budget: no cure is searched for where",
        ),
    ],
    ids=[
        "without its float form",
        "explained without onnx",
        "searched without onnx",
        "of another format",
        "explained without int8",
        "and QAT",
    ],
)
def test_int8_that_cannot_be_made_is_refused(tables: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match=said.replace(".", r"\.")):
        load_recipe(_write(tmp_path, f"{SOUND}\n{tables}\n"))


def test_other_faces_may_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(_write(tmp_path, SOUND)).with_faces(Path("mine"))
    assert recipe.faces.root == tmp_path / "mine"
    assert recipe.file == tmp_path / "mine.toml"
    drawn = load_recipe(_write(tmp_path, SOUND.replace('"300w"', '"synthetic"')))
    assert drawn.with_faces(Path("mine")).faces.kind == "300w"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("stride = 16", "stride = 5", ":16: student.model: pipnet on mobilenetv3_small_050 has no"),
        ('"hrnet_w18_small"', '"resnet"', ":8: teacher.model: hrnet has no backbone 'resnet'"),
        (
            "epochs = 3",
            "[teacher.loss]\nkind = 'pip'",
            ":14: teacher.loss: loss 'pip' does not fit",
        ),
    ],
)
def test_networks_that_cannot_be_built_are_found_before_any_work(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    recipe = load_recipe(_write(tmp_path, SOUND.replace(old, new)))
    with pytest.raises(LandmintError) as caught:
        check_networks(recipe)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('rounds = ["cls4"]\n', 'self_training.rounds.0: unknown value "cls4"'),
        ("rounds = []\n", "self_training.rounds"),
        ("", "self_training.faces: is missing"),
        ("epochs = 0\nfaces = {}\n", "self_training.epochs"),
    ],
)
def test_wrong_self_training(table: str, said: str, tmp_path: Path) -> None:
    path = _write(tmp_path, f"{SOUND}\n[self_training]\n{table}")
    with pytest.raises(LandmintError) as caught:
        load_recipe(path)
    assert said in caught.value.fact


def test_self_training_that_does_not_fit_the_student(tmp_path: Path) -> None:
    table = '\n[self_training]\nfaces = { kind = "coco", train = "boxes.json" }\n'
    recipe = load_recipe(_write(tmp_path, SOUND + table))
    assert recipe.self_training is not None and recipe.self_training.faces.markup == "68"
    with pytest.raises(LandmintError, match="cls3: a 4 x 4 score map cannot be 4 times"):
        check_networks(recipe)
    pfld = SOUND.replace('"pipnet"', '"pfld"').replace("mobilenetv3_small_050", "own")
    pfld = pfld.replace("stride = 16\n", "")
    with pytest.raises(LandmintError, match="self-training is for PIPNet, not for pfld"):
        check_networks(load_recipe(_write(tmp_path, pfld + table)))


def test_a_teacher_may_have_any_head(tmp_path: Path) -> None:
    text = SOUND.replace('name = "hrnet"\nbackbone = "hrnet_w18_small"', 'name = "pfld"')
    check_networks(load_recipe(_write(tmp_path, text)))


def test_trained_teachers_are_named_by_file_or_as_shipped(tmp_path: Path) -> None:
    line = 'teachers = ["pipnet-mbv3", "a/model.safetensors"]\n'
    recipe = load_recipe(_write(tmp_path, line + SOUND))
    assert recipe.teachers == ("pipnet-mbv3", str(tmp_path / "a/model.safetensors"))
    assert load_recipe(_write(tmp_path, SOUND)).teachers == ()


def test_a_trained_teacher_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, 'teachers = ["a.safetensors"]\n' + SOUND))
    with pytest.raises(LandmintError, match=r"a\.safetensors is no file"):
        check_named_teachers(recipe)
    shape = np.random.default_rng(0).uniform(size=(68, 2))
    for scale, fits in ((recipe.student.model.crop_scale, True), (2.0, False)):
        config = ModelConfig(name="pfld", width=0.25, input_size=64, crop_scale=scale)
        save_model(create_model(config, shape), tmp_path / "a.safetensors")
        if fits:
            check_named_teachers(recipe)
    with pytest.raises(LandmintError, match="set the same crop_scale"):
        check_named_teachers(recipe)


def test_reading_a_recipe_imports_no_trainer_and_no_converter() -> None:
    heavy = ["torch", "tensorflow", "onnx", "openvino", "nncf", "timm", "matplotlib"]
    script = (
        "import json, sys\nfrom landmint.pipeline.run import Run\n"
        f"print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_measuring_and_judging_have_the_names_of_the_device_layer() -> None:
    config = MeasureConfig()
    defaults = LatencyConfig()
    for name in set(MeasureConfig.model_fields) - {"target"}:
        assert getattr(config, name) == getattr(defaults, name), name
    assert config.latency == defaults
    assert set(GateConfig.model_fields) == set(Limits.__dataclass_fields__) - {"reference"}
