"""Pictures that are turned, sized or copied otherwise than their labels and splits say."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.train.evaluate import crop_faces
from landmint.train.faces.check import DataCheck, check_data
from landmint.train.faces.exif import seen_points
from landmint.train.faces.face import face_set, read_face
from landmint.train.faces.pts300w import read_pts, write_pts
from landmint.train.faces.readers import SPLITS, FacesConfig, load_faces
from landmint.train.faces.synthetic import PERSON_PATTERN

CONTRACT = Contract(
    markup="68",
    input_size=32,
    crop=CropRule((1.2, 1.2), True),
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    head=Head("coordinates"),
    outputs=(Output("coordinates", (136,)),),
)
BACK = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""The orientation that undoes each."""


@pytest.fixture
def copy(synthetic_root: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic faces that a test may spoil."""
    return Path(shutil.copytree(synthetic_root, tmp_path / "faces"))


def _check(root: Path, **settings: Any) -> DataCheck:
    config = FacesConfig(kind="300w", root=root, person_pattern=PERSON_PATTERN, **settings)
    return check_data(config, SPLITS, Path())


def _faults(check: DataCheck) -> list[tuple[str, str]]:
    return [(remark.title, remark.where) for remark in check.findings if remark.fault]


def _as_a_phone(picture: Path, orientation: int) -> tuple[int, int]:
    """Store a picture turned, with the entry that turns it back; says its size as stored."""
    image = cv2.imread(str(picture))
    assert image is not None
    image = image[:-20]  # not square
    height, width = image.shape[:2]
    corners = np.array([[x, y] for y in range(height) for x in range(width)], dtype=np.float64)
    places = seen_points(corners, BACK[orientation], width, height).astype(int)
    stored = np.zeros((places[:, 1].max() + 1, places[:, 0].max() + 1, 3), dtype=np.uint8)
    stored[places[:, 1], places[:, 0]] = image.reshape(-1, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored[..., ::-1]).save(picture, exif=exif)
    return stored.shape[1], stored.shape[0]


@pytest.mark.parametrize("orientation", [3, 5, 6, 7, 8])
def test_labels_of_the_picture_as_people_see_it(orientation: int, copy: Path) -> None:
    paths = sorted(copy.glob("train/*.png"))[:4]
    for path in paths:
        _as_a_phone(path, orientation)
    turned = [
        ("labels of a picture that is turned otherwise", f"train: train/{path.stem}")
        for path in paths
    ]
    assert _faults(_check(copy)) == turned
    assert not _faults(_check(copy, orientation="exif"))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_labels_of_the_picture_as_it_is_stored(orientation: int, copy: Path) -> None:
    (path, *_) = sorted(copy.glob("train/*.png"))
    whole = read_pts(path.with_suffix(".pts"), 68)
    image = cv2.imread(str(path))
    assert image is not None
    size = image.shape[1], image.shape[0] - 20
    _as_a_phone(path, orientation)
    write_pts(path.with_suffix(".pts"), seen_points(whole, BACK[orientation], *size))
    assert not _faults(_check(copy))
    ((title, where),) = _faults(_check(copy, orientation="exif"))
    assert title.startswith("labels of a picture that is turned") and where.endswith(path.stem)


def test_a_crop_of_a_phones_picture_is_that_of_the_upright_one(
    copy: Path,
) -> None:
    config = FacesConfig(kind="300w", root=copy, orientation="exif")
    plain = load_faces(config, "train", Path())
    (path, *_) = sorted(copy.glob("train/*.png"))
    pixels = read_face(plain.faces[0])[:-20]
    _as_a_phone(path, 6)
    phone = load_faces(config, "train", Path())
    assert np.array_equal(read_face(phone.faces[0]), pixels)
    stored = load_faces(config.model_copy(update={"orientation": "stored"}), "train", Path())
    assert phone.fingerprint != stored.fingerprint
    crop = crop_faces(phone.faces[:1], CONTRACT).crops
    path.unlink()
    Image.fromarray(pixels).save(path)
    upright = load_faces(config, "train", Path())
    assert np.array_equal(crop, crop_faces(upright.faces[:1], CONTRACT).crops)


def test_an_annotation_that_states_another_size(writers: Any, tmp_path: Path) -> None:
    config = writers["coco"](tmp_path)
    faces = load_faces(config, "train", Path()).faces
    height, width = read_face(faces[0]).shape[:2]
    content = json.loads((tmp_path / "faces.json").read_text())
    for stated in ((width, height), (2 * width, height)):
        for entry in content["images"]:
            entry |= {"width": stated[0], "height": stated[1]}
        (tmp_path / "faces.json").write_text(json.dumps(content))
        findings = check_data(config, ["train"], Path()).findings
        sized = [r for r in findings if r.fault and "the annotation states" in r.detail]
        assert len(sized) == (0 if stated[0] == width else len(faces))


def test_labels_of_a_picture_that_was_shrunk(copy: Path) -> None:
    (path, *_) = sorted(copy.glob("val/*.png"))
    image = cv2.imread(str(path))
    assert image is not None
    cv2.imwrite(str(path), cv2.resize(image, None, fx=0.3, fy=0.3))
    assert _faults(_check(copy)) == [("labels of a picture of another size", "val: val/p800000_0")]


@pytest.mark.parametrize("mirror", [False, True])
def test_a_copy_in_another_split(mirror: bool, copy: Path) -> None:
    image = cv2.imread(str(copy / "train" / "p000002_1.png"))
    assert image is not None
    other = cv2.resize(image[:, ::-1] if mirror else image, None, fx=0.8, fy=0.8)
    cv2.imwrite(str(copy / "test" / "p900000_1.png"), other)
    check = _check(copy)
    (remark,) = [remark for remark in check.findings if remark.title.startswith("near-duplicate")]
    assert (remark.where, remark.fault) == ("train: train/p000002_1", True)
    assert remark.detail == "looks like test: test/p900000_1"
    assert "one split" in remark.kind.remedy


def test_blank_pictures_look_like_nothing(copy: Path) -> None:
    for place in ("train/p000002_1", "test/p900000_1"):
        black = np.full((64, 64, 3), 2 if "train" in place else 1, dtype=np.uint8)
        cv2.imwrite(str(copy / f"{place}.png"), black)
    titles = [remark.title for remark in _check(copy).findings]
    assert titles.count("blank pictures") == 2
    assert not any(title.startswith("near-duplicate") for title in titles)


def test_the_fingerprint_says_which_way_a_picture_is_read(copy: Path) -> None:
    config = FacesConfig(kind="300w", root=copy)
    faces = load_faces(config, "val", Path())
    turned = load_faces(config.model_copy(update={"orientation": "exif"}), "val", Path())
    assert faces.fingerprint == face_set("68", faces.faces, "").fingerprint != turned.fingerprint
