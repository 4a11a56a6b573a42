"""`landmint data check`: what is printed, what is written, what it exits with."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.pipeline.data_check import lean_line
from landmint.runtime.crop import Floats
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import FaceSet
from landmint.train.faces.synthetic import PERSON_PATTERN, write_synthetic
from landmint.train.models import ModelConfig, create_model, save_model


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    write_synthetic(root, {"train": 16, "val": 4, "test": 4}, get_markup("68"), 64, seed=3)
    return root


def ask(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["data", "check", *map(str, words)])


def test_help_has_examples() -> None:
    result = ask("--help")
    assert result.exit_code == 0
    assert "landmint data check" in re.sub(r"\x1b\[[0-9;]*m", "", result.output)


def test_sound(faces: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    result = ask(faces, "--person-pattern", PERSON_PATTERN, "--out", sheet)
    assert result.exit_code == 0, result.output
    assert re.search(r"train\W+16\W+16\W+4\W+0\b", result.stdout)
    assert result.stdout.splitlines()[-1] == "sound"
    picture = cv2.imread(str(sheet))
    assert picture is not None and picture.shape == (6 * 160, 8 * 160, 3)


def test_broken(faces: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(faces, tmp_path / "faces"))
    (copy / "val" / "p800000_1.pts").write_text("{\n1 1\n")
    (copy / "val" / "p800000_2.pts").write_text("")
    result = ask(copy, "--out", tmp_path / "sheet.jpg")
    assert result.exit_code == 2
    assert "broken: broken rows: 2" in result.stdout
    assert f"val: {copy}/val/p800000_1.pts:2: malformed landmarks: no closing" in result.stdout
    assert f"val: {copy}/val/p800000_2.pts:1: malformed landmarks: no line" in result.stdout
    assert result.stdout.splitlines()[-1] == "broken"
    assert (tmp_path / "sheet.jpg").is_file()


def test_labels_that_lean_to_one_side(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "model.safetensors"
    torch.manual_seed(0)
    config = ModelConfig(name="pfld", width=0.25, input_size=64)
    save_model(create_model(config, np.full((68, 2), 0.5)), weights)
    asked = (faces, "--model", weights, "--out", tmp_path / "sheet.png")
    monkeypatch.setattr("landmint.pipeline.data_check._LEANS", 1.0)
    assert "labels lean to neither side (of 24 faces)" in ask(*asked).stdout
    monkeypatch.setattr("landmint.pipeline.data_check._LEANS", 0.0)
    monkeypatch.setattr("landmint.pipeline.data_check._FEW_SIZES", 0.0)
    monkeypatch.setattr("landmint.train.evaluate.mirror_lean", _leaning_by(0.4, 0.0152))
    said = ask(*asked).stdout
    assert "% of the box's longer side to the right of what the model" in said
    assert "label_offset = { pixels = [0.40, 0], share = [0.0152, 0] }" in said
    monkeypatch.setattr("landmint.runtime.stats.MIN_PERSONS", 1000)
    assert "cannot be told: not enough persons" in ask(*asked).stdout
    result = ask(faces, "--markup", "98", "--model", weights)
    assert result.exit_code == 2
    assert "the model knows markup 68, the faces have 98" in result.stderr


def _leaning_by(pixels: float, share: float) -> Callable[[object, FaceSet], Floats]:
    def lean(_: object, faces: FaceSet) -> Floats:
        return np.array([pixels + share * max(face.box.w, face.box.h) for face in faces.faces])

    return lean


def test_a_lean_is_split_into_pixels_and_share() -> None:
    sides = np.array([40.0, 80, 160])
    assert lean_line(0.5 + 0.01 * sides, sides) == pytest.approx((0.5, 0.01))


def test_the_lean_of_faces_of_one_size_is_a_share() -> None:
    sides = np.array([100.0, 101, 99])
    assert lean_line(0.02 * sides, sides) == pytest.approx((0.0, 0.02))


def test_splits_by_name(faces: Path, tmp_path: Path) -> None:
    result = ask(faces, "--test", "val", "--out", tmp_path / "sheet.jpg")
    assert "test" in result.stdout and "train" not in result.stdout


def test_faces_of_a_recipe(faces: Path, tmp_path: Path) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "demo.toml"
    sheet = tmp_path / "sheet.jpg"
    result = ask(faces, "--recipe", recipe, "--person-pattern", PERSON_PATTERN, "--out", sheet)
    assert result.exit_code == 0, result.output


def test_a_recipe_finds_its_own_folder(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(faces, tmp_path / "data")
    demo = (Path(__file__).parents[2] / "recipes" / "demo.toml").read_text()
    _, _, networks = demo.partition("[teacher.model]")
    table = f"[faces]\nkind = '300w'\nroot = '../data'\nperson_pattern = '{PERSON_PATTERN}'\n"
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "own.toml").write_text(f"{table}[teacher.model]{networks}")
    monkeypatch.chdir(tmp_path)
    result = ask("--recipe", "recipes/own.toml")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "data-check.jpg").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no data set is given"),
        (("nowhere",), "nowhere has no split"),
        (("nowhere", "--kind", "lfw"), "unknown kind of faces 'lfw'"),
        (("nowhere", "--markup", "67"), "unknown markup '67'"),
        (("nowhere", "--person-pattern", "("), "not a regular expression"),
        (("--recipe", "nowhere.toml"), "cannot read the recipe"),
        (("nowhere", "--model", "nowhere.safetensors"), "nowhere.safetensors"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = ask(*words, "--out", tmp_path / "sheet.jpg")
    assert result.exit_code == 2
    assert result.stderr.startswith("landmint: ") and said in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_sheet_of_no_format(faces: Path, tmp_path: Path) -> None:
    result = ask(faces, "--out", tmp_path / "sheet.xyz")
    assert result.exit_code == 2
    assert "no image format '.xyz'" in result.stderr
