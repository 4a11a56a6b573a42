"""Sides, order and uprightness of landmarks, wrong in one face, in many and in all."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from landmint.runtime.markup import get_markup
from landmint.train.faces.check import check_data
from landmint.train.faces.pts300w import read_pts, write_pts
from landmint.train.faces.readers import SPLITS, FacesConfig
from landmint.train.faces.synthetic import PERSON_PATTERN

Points = NDArray[np.float64]
MARKUP = get_markup("68")
FLIP = list(MARKUP.flip)
JAW_REVERSED = [*range(16, -1, -1), *range(17, 68)]
EYES_FIRST = [*range(36, 48), *range(36), *range(48, 68)]
LIPS_EXCHANGED = [*range(48), *range(60, 68), *range(48, 60)]


@pytest.fixture
def copy(synthetic_root: Path, tmp_path: Path) -> Path:
    """A copy of the 36 synthetic faces that a test may spoil."""
    return Path(shutil.copytree(synthetic_root, tmp_path / "faces"))


def _titles(root: Path) -> Counter[str]:
    config = FacesConfig(kind="300w", root=root, person_pattern=PERSON_PATTERN)
    return Counter(r.title for r in check_data(config, SPLITS, Path()).findings if r.fault)


def _spoil(root: Path, change: Callable[[Points], Points], every: int = 1) -> int:
    """Change every so many label files; says how many."""
    paths = sorted(root.rglob("*.pts"))[::every]
    for path in paths:
        write_pts(path, change(read_pts(path, 68)))
    return len(paths)


def _flip_naively(root: Path, every: int) -> int:
    """Mirror pictures and landmarks, and leave the landmarks their names."""
    paths = sorted(root.rglob("*.png"))[::every]
    for path in paths:
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), image[:, ::-1])
        labels = path.with_suffix(".pts")
        points = read_pts(labels, 68)
        write_pts(labels, np.array([image.shape[1] - 1, 0]) + points * (-1, 1))
    return len(paths)


@pytest.mark.parametrize("every", [1, 2, 9])
def test_naive_flips_are_found_in_some_in_many_and_in_all_faces(every: int, copy: Path) -> None:
    flipped = _flip_naively(copy, every)
    assert _titles(copy) == {"left and right swapped": flipped}


@pytest.mark.parametrize("every", [1, 9])
def test_exchanged_names_are_found(every: int, copy: Path) -> None:
    assert (
        _spoil(copy, lambda points: points[FLIP], every) == _titles(copy)["left and right swapped"]
    )


def test_a_correct_flip_is_no_fault(copy: Path) -> None:
    _flip_naively(copy, 2)
    for path in sorted(copy.rglob("*.pts"))[::2]:
        write_pts(path, read_pts(path, 68)[FLIP])
    assert not _titles(copy)


def test_landmarks_that_are_counted_from_below(copy: Path) -> None:
    image = cv2.imread(str(next(copy.rglob("*.png"))))
    assert image is not None
    spoiled = _spoil(copy, lambda points: np.array([0, len(image) - 1]) + points * (1, -1))
    assert _titles(copy) == {"y counted from below": spoiled}


ORDERS: Mapping[str, list[int]] = {
    "the jaw reversed": JAW_REVERSED,
    "the lips exchanged": LIPS_EXCHANGED,
    "the eyes first": EYES_FIRST,
    "at random": np.random.default_rng(0).permutation(68).tolist(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_another_order_is_found(order: str, copy: Path) -> None:
    spoiled = _spoil(copy, lambda points: points[ORDERS[order]])
    titles = _titles(copy)
    if order == "the jaw reversed":  # its pairs are exchanged in each face
        assert titles["left and right swapped"] == spoiled
    elif order == "the lips exchanged":
        assert titles["landmarks with other numbers than in the markup"] > 10
    else:
        assert titles["landmarks in another order"] > 0.9 * spoiled


def test_the_eyes_alone_exchanged_in_one_face(copy: Path) -> None:
    order = list(range(68))
    for i in MARKUP.regions["eyes"]:
        order[i] = FLIP[i]
    spoiled = _spoil(copy, lambda points: points[order], 40)
    config = FacesConfig(kind="300w", root=copy, person_pattern=PERSON_PATTERN)
    findings = check_data(config, SPLITS, Path()).findings
    (remark,) = [remark for remark in findings if remark.fault]
    assert spoiled == 1 and remark.title == "left and right swapped"
    assert remark.detail.startswith("landmarks 36 and 45") and "sides exchanged" in remark.detail
    assert "flip map" in remark.kind.remedy


def test_a_picture_upside_down_is_no_fault(copy: Path) -> None:
    for path in sorted(copy.rglob("*.png"))[:2]:
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), image[::-1, ::-1])
        labels = path.with_suffix(".pts")
        write_pts(labels, np.array(image.shape[1::-1]) - 1 - read_pts(labels, 68))
    config = FacesConfig(kind="300w", root=copy, person_pattern=PERSON_PATTERN)
    check = check_data(config, SPLITS, Path())
    assert check.sound
    assert [r.title for r in check.findings].count("faces on their head") == 2


def test_real_faces_have_no_fault(real_faces: Callable[[str], Path]) -> None:
    """Photographs of all poses; none was chosen."""
    root = real_faces("ytf68")
    config = FacesConfig(kind="300w", root=root, person_pattern=r"^(.+)_\d+", train=("val",))
    assert check_data(config, ("train",), Path()).sound
