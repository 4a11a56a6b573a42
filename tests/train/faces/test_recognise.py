"""A folder tells which reader reads it; one that does not tell is refused in words."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from landmint.runtime.errors import LandmintError
from landmint.train.faces.readers import FacesConfig, read_faces
from landmint.train.faces.recognise import LAYOUTS, recognise
from tests.train.faces.conftest import write_cofw

Writers = Mapping[str, Callable[[Path], FacesConfig]]
# What the published data set calls the labels of a split, where a test's writer has another name.
PUBLISHED = {
    "wflw": ("list.txt", "list_98pt_rect_attr_{}.txt"),
    "hrnet": ("faces.csv", "face_landmarks_mine_{}.csv"),
    "imglab": ("faces.xml", "labels_{}.xml"),
    "coco": ("faces.json", "labels/{}.json"),
}


def _lay_out(kind: str, root: Path, writers: Writers) -> FacesConfig:
    """Training faces as the writer makes them, and the same again as test faces."""
    config = writers[kind](root)
    if kind == "cofw":
        write_cofw(root, "T")
    elif kind in PUBLISHED:
        name, pattern = PUBLISHED[kind]
        for split in ("train", "test"):
            (root / pattern.format(split)).parent.mkdir(exist_ok=True)
            shutil.copy(root / name, root / pattern.format(split))
        (root / name).unlink()
    else:
        shutil.copytree(root / "train", root / "test")
    return config


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_data_set_is_recognised_and_read(kind: str, tmp_path: Path, writers: Writers) -> None:
    written = _lay_out(kind, tmp_path / "mine", writers)
    config = recognise(tmp_path / "mine")
    assert (config.kind, config.markup) == (kind, written.markup)
    assert config.images == written.images
    assert len(read_faces(config, "train", Path())) == 4
    assert len(read_faces(config, "test", Path())) == 4
    assert config.val == config.train, "there are no validation faces"
    assert config.limits == {"val": 500}


def test_validation_faces_that_are_there_are_taken(tmp_path: Path, writers: Writers) -> None:
    _lay_out("300w", tmp_path, writers)
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    config = recognise(tmp_path)
    assert (config.train, config.val, config.test) == (("train",), ("val",), ("test",))
    assert config.limits == {}


def test_what_is_said_counts_more_than_what_is_seen(tmp_path: Path, writers: Writers) -> None:
    _lay_out("300w", tmp_path, writers)
    for split in ("train", "test"):
        (tmp_path / f"{split}.json").write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(LandmintError, match="looks like several kinds") as refused:
        recognise(tmp_path)
    assert refused.value.choices == ("300w", "coco")
    assert recognise(tmp_path, kind="300w").kind == "300w"
    with pytest.raises(LandmintError, match="cannot be read as 300w"):
        recognise(tmp_path, kind="300w", markup="19")


def test_what_is_not_there_is_said(tmp_path: Path, writers: Writers) -> None:
    with pytest.raises(LandmintError, match="does not exist"):
        recognise(tmp_path / "nowhere")
    with pytest.raises(LandmintError, match="no data set .* is recognised") as refused:
        recognise(tmp_path)
    assert refused.value.choices == tuple(LAYOUTS)
    writers["300w"](tmp_path)
    with pytest.raises(LandmintError, match="of 300w there is train alone"):
        recognise(tmp_path)
    with pytest.raises(LandmintError, match="no layout is known of kind 'aflw'") as refused:
        recognise(tmp_path, kind="aflw")
    assert refused.value.choices == tuple(LAYOUTS)
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    with pytest.raises(LandmintError, match="unknown markup '67'"):
        recognise(tmp_path, markup="67")


def test_a_scheme_that_nobody_knows_is_said(tmp_path: Path, writers: Writers) -> None:
    _lay_out("300w", tmp_path, writers)
    for path in tmp_path.rglob("*.pts"):
        path.write_text("version: 1\nn_points: 2\n{\n1 1\n2 2\n}\n", encoding="utf-8")
    with pytest.raises(LandmintError, match="cannot be read as 300w") as refused:
        recognise(tmp_path)
    assert "2" in refused.value.reason
    assert "68" in refused.value.choices
