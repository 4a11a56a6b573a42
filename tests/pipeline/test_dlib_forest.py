"""dlib's .dat by numpy: its landmarks are dlib's own, but for dlib's rounding to whole pixels."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from landmint.export.importing.imported import kind_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.synthetic import generate
from tests.scripts import benchmark

TRAINED = Path(__file__).parent / "forest"
"""Trained and asked by dlib 20.0.1, on drawn faces: five points, two stages of six trees."""


@pytest.fixture(scope="module")
def forest() -> ModuleType:
    return benchmark("dlib_forest")


def _picture() -> NDArray[np.uint8]:
    x, y = np.meshgrid(np.arange(60), np.arange(50))
    return ((37 * x * y + 11 * x + 5 * y) % 256).astype(np.uint8)


def test_landmarks_are_those_that_dlib_found(forest: ModuleType) -> None:
    predictor = forest.read_forest(TRAINED / "five.dat")
    answers = json.loads((TRAINED / "answers.json").read_text(encoding="utf-8"))
    for box, landmarks in zip(answers["boxes"], answers["landmarks"], strict=True):
        found = predictor.predict(_picture(), tuple(box))
        np.testing.assert_allclose(found, landmarks, atol=0.5001)


def test_landmarks_are_those_of_the_dlib_that_is_here(forest: ModuleType, tmp_path: Path) -> None:
    dlib: Any = pytest.importorskip("dlib", reason="dlib is not installed")
    markup = get_markup("68")
    faces = [generate(3, 5 * index, markup, 96) for index in range(8)]
    pictures = [np.ascontiguousarray(face.image[..., 1]) for face in faces]
    boxes = [
        tuple(map(int, (*face.points.min(axis=0).round(), *face.points.max(axis=0).round())))
        for face in faces
    ]
    shapes = [
        [
            dlib.full_object_detection(
                dlib.rectangle(*box), [dlib.point(*map(int, point)) for point in face.points]
            )
        ]
        for face, box in zip(faces, boxes, strict=True)
    ]
    options = dlib.shape_predictor_training_options()
    options.cascade_depth, options.num_trees_per_cascade_level, options.tree_depth = 4, 30, 3
    options.oversampling_amount, options.num_threads = 4, 1
    trained = dlib.train_shape_predictor(pictures, shapes, options)
    trained.save(str(tmp_path / "forest.dat"))
    predictor = forest.read_forest(tmp_path / "forest.dat")
    for picture, (left, top, right, bottom) in zip(pictures, boxes, strict=True):
        box = left - 7, top + 3, right + 5, bottom - 6
        parts = trained(picture, dlib.rectangle(*box)).parts()
        theirs = np.array([(part.x, part.y) for part in parts])
        np.testing.assert_allclose(predictor.predict(picture, box), theirs, atol=0.5001)


def test_a_similarity_of_two_points_by_hand(forest: ModuleType) -> None:
    """A quarter turn, twice as large, and a shift."""
    matrix = forest.similarity(np.array([0.0, 0, 1, 0]), np.array([5.0, 6, 5, 8]))
    np.testing.assert_allclose(matrix, [[0, -2, 5], [2, 0, 6]], atol=1e-12)


def _cut(content: bytes) -> bytes:
    return content[:-3]


@pytest.mark.parametrize(
    ("spoil", "wording"),
    [
        (lambda content: b"", "cut short"),
        (_cut, "cut short"),
        (lambda content: content + b"\x01\x00", "parts do not fit"),
        (lambda content: b"\x01\x02" + content[2:], "another version"),
        (lambda content: b"\x7f" + content[1:], "serialize"),
        (lambda content: b"<?xml version='1.0'?>", "serialize"),
        (lambda content: content[:2] + b"\x81\x03" + content[4:], "no list of landmarks"),
        (lambda content: content[:3] + b"\x08" + content[4:], "parts do not|cut short|depth"),
    ],
)
def test_files_that_are_no_forest(
    spoil: Callable[[bytes], bytes], wording: str, forest: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "net.dat"
    path.write_bytes(spoil((TRAINED / "five.dat").read_bytes()))
    with pytest.raises(LandmintError, match=wording):
        forest.read_forest(path)


def test_a_forest_is_not_imported() -> None:
    with pytest.raises(LandmintError, match="decision trees, no network") as error:
        kind_of(TRAINED / "five.dat")
    assert "benchmarks/rivals.py" in error.value.remedy
