"""Faces without some of their landmarks: refused by name, left out or masked as is asked for."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.train.evaluate import truth_of
from landmint.train.faces.check import check_data
from landmint.train.faces.face import missing_lines
from landmint.train.faces.readers import FacesConfig, load_faces

Writers = Mapping[str, Callable[[Path], FacesConfig]]
KINDS = ("300w", "coco", "imglab", "lapa")


def _without_one(kind: str, root: Path) -> None:
    """Landmark 3 of one face is placed nowhere, as tools of this kind say it."""
    if kind == "coco":
        content = json.loads((root / "faces.json").read_text())
        content["annotations"][1]["keypoints"][9:12] = [0, 0, 0]
        (root / "faces.json").write_text(json.dumps(content))
        return
    if kind == "imglab":
        text = (root / "faces.xml").read_text()
        start = text.index('<part name="03"')
        (root / "faces.xml").write_text(text[:start] + text[text.index("/>", start) + 2 :])
        return
    place = {"300w": "train/a_2.pts", "lapa": "train/landmarks/a_2.txt"}[kind]
    lines = (root / place).read_text().splitlines()
    first = lines.index("{") + 1 if kind == "300w" else 1
    lines[first + 3] = "-1 -1" if kind == "300w" else "0.0 0.0"
    (root / place).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_landmark_is_named(kind: str, writers: Writers, tmp_path: Path) -> None:
    config = writers[kind](tmp_path)
    _without_one(kind, tmp_path)
    with pytest.raises(LandmintError, match="landmarks 3 are missing") as caught:
        load_faces(config, "train", Path())
    assert "leave_out" in caught.value.remedy and caught.value.reason
    check = check_data(config, ["train"], Path())
    assert [remark.title for remark in check.findings].count("broken rows") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_face_is_left_out_where_that_is_asked(
    kind: str, writers: Writers, tmp_path: Path
) -> None:
    config = writers[kind](tmp_path).model_copy(update={"missing": "leave_out"})
    whole = load_faces(config, "train", Path())
    _without_one(kind, tmp_path)
    rest = load_faces(config, "train", Path())
    assert (whole.left_out, rest.left_out) == (0, 1)
    assert {face.name for face in rest.faces} < {face.name for face in whole.faces}
    assert len(rest.faces) == len(whole.faces) - 1
    check = check_data(config, ["train"], Path())
    assert "broken rows" not in {remark.title for remark in check.findings}
    assert [r.title for r in check.findings if r.title == "faces left out"] == ["faces left out"]


def test_another_fault_is_no_missing_landmark(writers: Writers, tmp_path: Path) -> None:
    config = writers["300w"](tmp_path).model_copy(update={"missing": "leave_out"})
    path = tmp_path / "train/a_2.pts"
    path.write_text(path.read_text().replace("{", "", 1))
    with pytest.raises(LandmintError, match="a_2.pts:1"):
        load_faces(config, "train", Path())


@pytest.mark.parametrize("kind", KINDS)
def test_a_face_is_masked_where_that_is_asked(kind: str, writers: Writers, tmp_path: Path) -> None:
    config = writers[kind](tmp_path).model_copy(update={"missing": "mask"})
    whole = load_faces(config, "train", Path())
    _without_one(kind, tmp_path)
    masked = load_faces(config, "train", Path())
    assert [face.name for face in masked.faces] == [face.name for face in whole.faces]
    lacking = [face for face in masked.faces if not face.placed.all()]
    assert len(lacking) == 1 and masked.left_out == 0
    (face,) = lacking
    assert np.flatnonzero(~face.placed).tolist() == [3]
    sound = {face.name: face.points for face in whole.faces}[face.name]
    assert np.delete(face.points, 3, 0) == pytest.approx(np.delete(sound, 3, 0))
    assert np.isfinite(face.box).all()
    assert missing_lines(masked) == [
        f"1 landmarks of 1 faces of {masked.source} are missing: they teach nothing, and errors "
        "are means over the others"
    ]
    check = check_data(config, ["train"], Path())
    assert "broken rows" not in {remark.title for remark in check.findings}


def test_a_face_that_cannot_be_judged_is_left_out_of_the_judges(
    writers: Writers, tmp_path: Path
) -> None:
    config = writers["300w"](tmp_path).model_copy(update={"missing": "mask", "val": ("train",)})
    path = tmp_path / "train/a_2.pts"
    lines = path.read_text().splitlines()
    lines[lines.index("{") + 1 + 36] = "-1 -1"  # the corner of an eye
    path.write_text("\n".join(lines))
    train, val = (load_faces(config, split, Path()) for split in ("train", "val"))
    assert (len(train.faces) - len(val.faces), train.left_out, val.left_out) == (1, 0, 1)
    assert truth_of(val).names == tuple(face.name for face in val.faces)


def test_a_face_of_which_nothing_is_left_is_left_out(writers: Writers, tmp_path: Path) -> None:
    config = writers["lapa"](tmp_path).model_copy(update={"missing": "mask"})
    path = tmp_path / "train/landmarks/a_2.txt"
    path.write_text("106\n" + "0 0\n" * 106)
    assert load_faces(config, "train", Path()).left_out == 1
