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
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import FaceSet
from landmint.train.faces.synthetic import PERSON_PATTERN, write_synthetic
from landmint.train.models import ModelConfig, create_model, save_model
from landmint.train.second_opinion import Opinion


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    write_synthetic(root, {"train": 16, "val": 4, "test": 4}, get_markup("68"), 64, seed=3)
    return root


def ask(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["data", "check", *map(str, words)])


@pytest.fixture(autouse=True)
def _no_model_is_shipped(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """But for the test that is about it: a shipped one takes seconds."""
    if "shipped" not in request.node.name:
        monkeypatch.setattr("landmint.pipeline.data_check.shipped", lambda: ())


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


def test_what_a_model_says_is_told(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is asked about faces that are labelled well; here it leans and errs by order."""
    weights = tmp_path / "model.safetensors"
    torch.manual_seed(0)
    config = ModelConfig(name="pfld", width=0.25, input_size=64)
    save_model(create_model(config, np.full((68, 2), 0.5)), weights)
    asked = (faces, "--model", weights, "--out", tmp_path / "sheet.png")
    opinion = "landmint.train.second_opinion.second_opinion"
    monkeypatch.setattr(opinion, _says(error=0.05))
    answer = ask(*asked)
    assert answer.exit_code == 0, answer.output
    assert "a model was asked about 24 faces at random" in answer.stdout
    assert "to the right of what the model sees both ways round (24 faces)" in answer.stdout
    assert "label_offset = { pixels = [0.00, 0], share = [0.0200, 0] }" in answer.stdout
    assert "below what the model sees (24 faces)" in answer.stdout
    assert "nothing is advised" in answer.stdout
    monkeypatch.setattr(opinion, _says(error=0.5))
    answer = ask(*asked)
    assert answer.exit_code == 2
    assert "broken: labels of the mirrored picture: 24" in answer.stdout
    assert "falls from 50% to 10% with labels mirrored" in answer.stdout
    assert "label_offset" not in answer.stdout and "mend first" in answer.stdout
    result = ask(faces, "--markup", "98", "--model", weights)
    assert result.exit_code == 2
    assert "the model knows markup 68, the faces have 98" in result.stderr
    result = ask(faces, "--model", "nowhere.safetensors")
    assert result.exit_code == 2
    assert "nowhere.safetensors is no file" in result.stderr


def _says(error: float) -> Callable[[object, FaceSet], Opinion]:
    def opinion(_: object, faces: FaceSet) -> Opinion:
        sides = np.array([max(face.box.w, face.box.h) for face in faces.faces])
        alike = np.ones(len(sides))
        lean = 0.02 * np.stack([sides, sides], axis=1)
        return Opinion(lean, error * alike, 0.9 * alike, 0.1 * alike, 0.9 * alike)

    return opinion


def test_a_shipped_model_is_asked_where_none_is_named(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landmint.train.second_opinion.second_opinion", _says(error=0.05))
    asked = (faces, "--out", tmp_path / "sheet.png")
    assert "a model was asked about 24 faces" in ask(*asked).stdout
    assert "a model was asked" not in ask(*asked, "--model", "none").stdout


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
