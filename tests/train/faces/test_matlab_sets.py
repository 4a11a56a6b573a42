"""COFW, COFW-68 and AFLW: what their MATLAB files say, and what a broken one is told."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from landmint.runtime.errors import LandmintError
from landmint.train.faces import aflw
from landmint.train.faces.face import read_image
from landmint.train.faces.readers import FacesConfig, load_faces

Writers = Mapping[str, Callable[[Path], FacesConfig]]


def test_cofw_counts_from_one_and_hides_the_occluded(writers: Writers, tmp_path: Path) -> None:
    faces = load_faces(writers["cofw"](tmp_path), "train", Path()).faces
    with h5py.File(tmp_path / "COFW_train_color.mat") as file:
        said = file["phisTr"][:, 2]
    np.testing.assert_allclose(faces[2].points[:, 0], said[:29] - 1)
    np.testing.assert_allclose(faces[2].points[:, 1], said[29:58] - 1)
    assert faces[2].box == (5, 6, 30, 32)
    assert np.flatnonzero(~faces[2].visible).tolist() == [3]
    assert faces[2].name == "COFW_train_color/0003"


def test_cofw_pictures_are_written_once(writers: Writers, tmp_path: Path) -> None:
    config = writers["cofw"](tmp_path)
    first, grey = load_faces(config, "train", Path()).faces[:2]
    assert read_image(first.image).shape == (40, 50, 3)
    assert read_image(first.image)[7, 9].tolist() == [200, 0, 0]
    assert read_image(grey.image)[7, 9].tolist() == [1, 1, 1]
    os.utime(tmp_path / "COFW_train_color.mat", (1000, 1000))
    os.utime(first.image, (2000, 2000))
    load_faces(config, "train", Path())
    assert int(first.image.stat().st_mtime) == 2000
    os.utime(tmp_path / "COFW_train_color.mat", (3000, 3000))
    load_faces(config, "train", Path())
    assert first.image.stat().st_mtime > 3000, "the pictures are older than their file"


def test_cofw68_takes_the_pictures_of_cofw(writers: Writers, tmp_path: Path) -> None:
    faces = load_faces(writers["cofw68"](tmp_path), "train", Path()).faces
    assert faces[3].image == tmp_path / "COFW_test_color" / "0004.png"
    said = loadmat(tmp_path / "COFW68_Data" / "test_annotations" / "4_points.mat")["Points"]
    np.testing.assert_allclose(faces[3].points, said - 1)
    assert faces[3].box == (5, 6, 30, 32)
    assert np.flatnonzero(~faces[3].visible).tolist() == [5]


def test_aflw_parts(writers: Writers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aflw, "TRAIN_FACES", 2)
    config = writers["aflw"](tmp_path).model_copy(update={"val": ("frontal",)})
    split = {name: load_faces(config, name, Path()).faces for name in ("train", "test", "val")}
    names = {key: [face.name for face in faces] for key, faces in split.items()}
    assert names == {"train": ["a#1", "b#2"], "test": ["a#3", "c#4"], "val": ["c#4"]}
    face = split["test"][0]
    assert np.flatnonzero(~face.visible).tolist() == [4]
    assert face.box == (5, 6, 30, 32)
    assert face.person == "0/a"
    assert face.image == tmp_path / "images" / "0" / "a.jpg"
    said = loadmat(tmp_path / aflw.FILE)["data"][2]
    np.testing.assert_allclose(face.points, np.stack([said[:19], said[19:]], axis=1))
    with pytest.raises(LandmintError, match=r"no part 'all'[\s\S]*train, test, frontal"):
        load_faces(config.model_copy(update={"test": ("all",)}), "test", Path())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("cofw", "COFW_train_color.mat"),
        ("cofw68", "COFW_test_color.mat"),
        ("cofw68", "COFW68_Data/cofw68_test_bboxes.mat"),
        ("aflw", "AFLWinfo_release.mat"),
    ],
)
@pytest.mark.parametrize("content", [None, b"", b"no MATLAB file", "other variables"])
def test_broken_files(
    kind: str, name: str, content: bytes | str | None, writers: Writers, tmp_path: Path
) -> None:
    config, path = writers[kind](tmp_path), tmp_path / name
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content and kind == "aflw":
        savemat(path, {"x": 1})
    elif content:
        with h5py.File(path, "w") as file:
            file["x"] = 1
    with pytest.raises(LandmintError, match=f"cannot read the MATLAB file .*{path.name}"):
        load_faces(config, "train", Path())


@pytest.mark.parametrize(("kind", "needed"), [("cofw", "29"), ("cofw68", "68"), ("aflw", "19")])
def test_other_markups(kind: str, needed: str, writers: Writers, tmp_path: Path) -> None:
    config = writers[kind](tmp_path).model_copy(update={"markup": "98"})
    with pytest.raises(LandmintError, match=f"has? {needed} points|have {needed} points"):
        load_faces(config, "train", Path())


def test_no_picture_in_the_cell(writers: Writers, tmp_path: Path) -> None:
    config = writers["cofw"](tmp_path)
    with h5py.File(tmp_path / "COFW_train_color.mat", "r+") as file:
        file["IsTr"][0, 2] = file.create_dataset("flat", data=np.zeros(9, dtype=np.uint8)).ref
    with pytest.raises(LandmintError, match="color.mat: face 3"):
        load_faces(config, "train", Path())
    assert cv2.haveImageReader(str(tmp_path / "COFW_train_color" / "0001.png"))
