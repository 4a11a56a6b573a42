"""`landmint label`: where the faces are, what is said, one message for each mistake."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.runtime.markup import get_markup
from landmint.train.faces.readers import SyntheticConfig
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.models import ModelConfig, create_model, save_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic faces in faces/, a fresh PFLD as model.safetensors."""
    root = tmp_path_factory.mktemp("label")
    counts = SyntheticConfig(train=3, val=0, test=0).counts
    write_synthetic(root / "faces", counts, get_markup("68"), 64, 0)
    shape = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    save_model(create_model(ModelConfig(name="pfld"), shape), root / "model.safetensors")
    return root


def _label(place: Path, out: Path, *words: object, images: str = "faces/train") -> Result:
    model = place / "model.safetensors"
    start = ["label", place / images, "--model", model, "--out", out, "--accelerator", "cpu"]
    return CliRunner().invoke(cli.app, [str(word) for word in (*start, *words)])


def test_each_image_a_face(place: Path, tmp_path: Path) -> None:
    done = _label(place, tmp_path / "l.json", "--boxes", "whole", "--margin", "0.25")
    assert done.exit_code == 0, done.output
    assert "3 faces in 3 images" in done.stderr and "faces/s" in done.stderr
    assert done.stdout.strip() == str(tmp_path / "l.json")
    faces = json.loads((tmp_path / "l.json").read_text())["annotations"]
    assert [face["bbox"] for face in faces] == [[15.5, 15.5, 32.0, 32.0]] * 3


def test_boxes_of_a_data_set(place: Path, tmp_path: Path) -> None:
    """A folder in 300W layout, then the file that this wrote, give the same faces."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    assert _label(place, first, "--boxes", place / "faces").exit_code == 0
    assert _label(place, second, "--boxes", first).exit_code == 0
    ones, others = (json.loads(path.read_text())["annotations"] for path in (first, second))
    assert len(ones) == 3
    assert [face["bbox"] for face in ones] == [face["bbox"] for face in others]
    points, again = (np.array([f["keypoints"] for f in faces]) for faces in (ones, others))
    np.testing.assert_allclose(again, points, atol=0.05)


def test_no_face_anywhere(place: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.full((60, 60, 3), 90, dtype=np.uint8))
    (tmp_path / "images" / "b.png").write_bytes(b"broken")
    done = _label(place, tmp_path / "l.json", images=str(tmp_path / "images"))
    assert done.exit_code == 3
    assert "0 faces in 1 images, 1 images without a face" in done.stderr
    assert "1 images cannot be read:" in done.stderr
    assert "b.png: it is truncated, or of an unknown format" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--boxes", "nowhere"], "there is no data set nowhere to take face boxes from"),
        (["--boxes", "{place}/model.safetensors"], "may be of any kind"),
        (["--boxes", "{place}/faces", "--kind", "strange"], "unknown kind of faces 'strange'"),
        (["--boxes", "{place}/faces", "--split", "none"], "none"),
        (["--boxes", "whole", "--flip-test"], "pfld has no flip test"),
        (["--model", "nowhere.safetensors"], "nowhere.safetensors is no file, no folder"),
        (["--model", "{place}/faces/train/p000000_0.png"], "is not a whole landmint model"),
    ],
)
def test_mistakes(words: list[str], said: str, place: Path, tmp_path: Path) -> None:
    done = _label(place, tmp_path / "l.json", *(word.format(place=place) for word in words))
    assert done.exit_code == 2
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "nothing half-written"
