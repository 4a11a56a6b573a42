"""Every fault that a data set can have is found, and named by its place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.markup import get_markup
from landmint.train.faces.check import DataCheck, check_data
from landmint.train.faces.pts300w import read_pts, write_pts
from landmint.train.faces.readers import SPLITS, FacesConfig
from landmint.train.faces.synthetic import PERSON_PATTERN


@pytest.fixture
def copy(synthetic_root: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic faces that a test may spoil."""
    return Path(shutil.copytree(synthetic_root, tmp_path / "faces"))


def check(root: Path) -> DataCheck:
    config = FacesConfig(kind="300w", root=root, person_pattern=PERSON_PATTERN)
    return check_data(config, SPLITS, Path())


def faults(root: Path) -> list[tuple[str, str]]:
    return [(found.title, found.where) for found in check(root).findings if found.fault]


def edit(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    write_pts(path, change(read_pts(path, 68)))


def test_whole_faces_are_sound(synthetic_root: Path) -> None:
    found = check(synthetic_root)
    assert found.sound
    assert [len(part.faces) for part in found.splits] == [20, 8, 8]
    assert len(found.strangest) == len(found.readable) == 36


def test_all_broken_rows_are_named(copy: Path) -> None:
    (copy / "train" / "p000000_1.pts").write_text("nothing")
    (copy / "train" / "p000001_1.png").unlink()
    (copy / "val" / "p800000_1.pts").write_text("version: 1\n{\n1 1\n}\n")
    found = check(copy)
    assert faults(copy) == [
        ("broken rows", f"train: {copy}/train/p000000_1.pts:1: malformed landmarks"),
        ("broken rows", f"train: {copy}/train/p000001_1.pts has no image beside it"),
        ("broken rows", f"val: {copy}/val/p800000_1.pts:4: malformed landmarks"),
    ]
    assert [(len(part.faces), len(part.broken)) for part in found.splits] == [
        *((18, 2), (7, 1), (8, 0))
    ]


def test_a_missing_split_does_not_hide_the_others(copy: Path) -> None:
    shutil.rmtree(copy / "val")
    assert faults(copy) == [("broken rows", f"val: folder {copy}/val does not exist")]


def test_unreadable_image(copy: Path) -> None:
    path = copy / "test" / "p900000_0.png"
    path.write_bytes(path.read_bytes()[:40])
    assert faults(copy) == [("unreadable images", f"cannot read the image {path}")]
    assert path not in check(copy).readable


def test_leaks_between_splits(copy: Path) -> None:
    for suffix in (".png", ".pts"):
        shutil.copy(copy / "train" / f"p000002_1{suffix}", copy / "test" / f"p000002_7{suffix}")
        shutil.copy(copy / "val" / f"p800000_0{suffix}", copy / "val" / f"p800000_9{suffix}")
    found = {finding.title: finding for finding in check(copy).findings}
    assert found["persons in two splits"].detail == "person p000002 also in test: test/p000002_7"
    assert found["pictures in two splits"].where == "train: train/p000002_1"
    assert found["pictures in two splits"].detail == "in test, train: test: test/p000002_7"
    assert not found["pictures twice in a split"].fault
    assert found["pictures twice in a split"].where == "val: val/p800000_0"


def test_a_picture_that_two_splits_name(copy: Path) -> None:
    config = FacesConfig(kind="300w", root=copy, val=("train",), test=("test",))
    titles = {finding.title for finding in check_data(config, SPLITS, Path()).findings}
    assert {"persons in two splits", "pictures in two splits"} <= titles


def test_strange_and_swapped_shapes(copy: Path) -> None:
    edit(copy / "train" / "p000001_2.pts", lambda points: points[list(get_markup("68").flip)])
    edit(
        copy / "val" / "p800001_1.pts", lambda points: points + 60 * (np.arange(68) == 30)[:, None]
    )
    found = check(copy)
    assert faults(copy) == [("left and right swapped", "train: train/p000001_2")]
    (strange,) = [one for one in found.findings if one.title == "strange shapes"]
    assert strange.where == "val: val/p800001_1"
    assert strange.detail.startswith("landmark 30 is ")
    assert {face.name for face in found.strangest[:2]} == {"train/p000001_2", "val/p800001_1"}


def test_landmarks_outside_the_picture(copy: Path) -> None:
    edit(copy / "val" / "p800001_1.pts", lambda points: points - (points[:, 0].min() + 3.5, 0))
    (found,) = [one for one in check(copy).findings if one.title.startswith("landmarks outside")]
    assert found.where == "val: val/p800001_1"
    assert found.detail.endswith("by up to 3.0 px")


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((5, 6, 40, 35), None),
        ((5, 6, 10, 10), "landmarks are well outside the box"),
        ((-100, -100, 300, 300), "the box is "),
    ],
)
def test_boxes_that_do_not_fit(
    box: tuple[int, int, int, int], said: str | None, tmp_path: Path
) -> None:
    import cv2

    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((50, 50, 3), dtype=np.uint8))
    points = np.random.default_rng(0).uniform(8, 40, 196)
    x, y, w, h = box
    numbers = [*points, x, y, x + w, y + h, *[0] * 6]
    (tmp_path / "list.txt").write_text(" ".join(f"{value:g}" for value in numbers) + " a.png\n")
    config = FacesConfig(kind="wflw", root=tmp_path, markup="98", images=".", test=("list.txt",))
    found = check_data(config, ("test",), Path())
    told = [one.detail for one in found.findings if one.title == "boxes that do not fit"]
    assert bool(told) == (said is not None)
    assert all(said in detail for detail in told if said)
    assert not found.strangest, "one face is nothing to compare with"
    assert "not compared" in {one.title for one in found.findings}
