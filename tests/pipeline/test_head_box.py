"""Faces of nine points, made of faces of 68: they are read again, and stand for the same pose."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from landmint.pipeline.recipe import load_recipe
from landmint.runtime.errors import LandmintError
from landmint.runtime.head_pose import HEAD_BOX, Pose, fit_pose
from landmint.runtime.markup import get_markup
from landmint.train.faces.pose import POSE_MODEL
from landmint.train.faces.pts300w import write_pts
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.faces.synthetic import write_synthetic
from tests.scripts import benchmark

ROOT = Path(__file__).parents[2]
RECIPE = """
[faces]
kind = "300w"
root = "faces"

[student.model]
name = "pfld"
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark("head_box")


def test_faces_of_nine_points_are_read_by_the_recipe_of_the_zoo(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_synthetic(tmp_path / "faces", {"train": 3, "val": 1, "test": 1}, get_markup("68"), 96, 0)
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    for _ in range(2):  # the second time over the first
        assert script.main([str(tmp_path / "recipe.toml"), str(tmp_path / "box")]) == 0
    assert capsys.readouterr().out.startswith("train: 3 faces")
    recipe = load_recipe(ROOT / "recipes/zoo/rtm3d.toml").with_faces(tmp_path / "box")
    config = recipe.faces.model_copy(update={"person_pattern": ""})
    boxed = load_faces(config, "train", Path())
    original = config.model_copy(update={"root": tmp_path / "faces", "markup": "68"})
    plain = load_faces(original, "train", Path())
    assert [face.name for face in boxed.faces] == [face.name for face in plain.faces]
    for box, face in zip(boxed.faces, plain.faces, strict=True):
        assert box.image.resolve() == face.image.resolve()
        low, high = box.points.min(axis=0), box.points.max(axis=0)
        inner = face.points[27:]  # all but jaw and brows
        assert ((inner > low) & (inner < high)).all()


def test_the_box_has_the_pose_of_the_landmarks(script: ModuleType, tmp_path: Path) -> None:
    """Of a face that is the model head itself, turned."""
    markup = get_markup("68")
    turn = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    pose = Pose(turn, np.array([10.0, -30.0, 1000.0]))
    points = np.full((68, 2), 50.0)
    points[list(markup.pose_points)] = pose.project(POSE_MODEL, 500.0, np.array([50.0, 50.0]))
    (tmp_path / "train").mkdir()
    write_pts(tmp_path / "train" / "a.pts", points)
    (tmp_path / "train" / "a.png").touch()
    (face,) = load_faces(FacesConfig(kind="300w", root=tmp_path), "train", Path()).faces
    nine = script.head_box(face, markup)
    box = face.box
    focal, centre = 5 * max(box.w, box.h), np.array([box.x + box.w / 2, box.y + box.h / 2])
    again = fit_pose(HEAD_BOX, nine, focal, centre)
    # Another camera than the one that took it: the turn is met to a few degrees.
    cosine = (np.trace(again.rotation @ turn.T) - 1) / 2
    assert np.degrees(np.arccos(cosine)) < 5


def test_a_face_without_pose_is_refused(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    write_pts(tmp_path / "train" / "a.pts", np.random.default_rng(0).uniform(5, 90, (68, 2)))
    (tmp_path / "train" / "a.png").touch()
    (face,) = load_faces(FacesConfig(kind="300w", root=tmp_path), "train", Path()).faces
    with pytest.raises(LandmintError, match="has no pose"):
        script.head_box(face, replace(get_markup("68"), pose_points=()))
