"""COCO-style JSON: what is read, what a malformed entry is told, and real samples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import Face, read_image
from landmint.train.faces.readers import FacesConfig, load_faces

RealFaces = Callable[[str | Path], Path]


def entry(flag: int = 1, **changes: Any) -> dict[str, Any]:
    keypoints = [value for i in range(19) for value in (2.0 * i, 3.0 * i, flag)]
    return {"id": 4, "image_id": 1, "keypoints": keypoints, "bbox": [1, 2, 30, 40], **changes}


def load(root: Path, *entries: dict[str, Any]) -> tuple[Face, ...]:
    assert cv2.imwrite(str(root / "a.png"), np.zeros((60, 40, 3), dtype=np.uint8))
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": entries}
    (root / "t.json").write_text(json.dumps(content))
    config = FacesConfig(kind="coco", root=root, markup="19", test=("t.json",))
    return load_faces(config, "test", Path()).faces


def test_one_face(tmp_path: Path) -> None:
    (face,) = load(tmp_path, entry())
    assert (face.name, face.person, face.image) == ("a#4", "a", tmp_path / "a.png")
    assert face.box == (1, 2, 30, 40)
    assert face.points[2].tolist() == [4, 6]
    (boxless,) = load(tmp_path, entry(bbox=None))
    assert boxless.box == (0, 0, 36, 54)


def test_one_is_hidden_only_where_two_occurs(tmp_path: Path) -> None:
    (face,) = load(tmp_path, entry(1))
    assert face.visible.all()
    hidden, shown = load(tmp_path, entry(1), entry(2, id=5))
    assert not hidden.visible.any() and shown.visible.all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image_id": 9}, "image_id 9 is not among the images"),
        ({"keypoints": [1.0, 2.0, 1]}, "1 points where the markup has 19"),
        ({"keypoints": [1.0, 2.0]}, "no triples"),
        ({"keypoints": "none"}, "keypoints: Input should be a valid list"),
        ({"keypoints": [1.0, 2.0, 1] * 18 + [0, 0, 0]}, "landmarks 18 are missing"),
        ({"keypoints": [1.0, float("nan"), 1] * 19}, "landmark 0 is not finite"),
        ({"bbox": [1, 2, 0, 40]}, "the box has 0 x 40 px"),
    ],
)
def test_malformed_entry(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LandmintError) as caught:
        load(tmp_path, entry(), entry(**changes))
    assert caught.value.fact == f"{tmp_path / 't.json'}: annotations[1]: malformed face"
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": []}', '{"images": [], "annotations": [1]}']
)
def test_other_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    config = FacesConfig(kind="coco", root=tmp_path, markup="19", test=("t.json",))
    with pytest.raises(LandmintError, match=r"t\.json"):
        load_faces(config, "test", Path())


@pytest.mark.parametrize(
    ("name", "markup", "count"),
    [
        ("300w", "68", 2),
        ("wflw", "98", 4),
        ("cofw", "29", 2),
        ("aflw", "19", 2),
        ("lapa", "106", 2),
    ],
)
def test_real_samples(name: str, markup: str, count: int, real_faces: RealFaces) -> None:
    root = real_faces(f"samples/{name}")
    config = FacesConfig(kind="coco", root=root, markup=markup, test=(f"test_{name}.json",))
    faces = load_faces(config, "test", Path()).faces
    assert len(faces) == count
    for face in faces:
        height, width = read_image(face.image).shape[:2]
        assert np.all(face.points >= 0) and np.all(face.points < (width, height))
        middle = face.points.mean(axis=0) - (face.box.x, face.box.y)
        assert np.all(middle > 0) and np.all(middle < (2 * face.box.w, 2 * face.box.h))
        left, right = (face.points[corner, 0] for corner in get_markup(markup).eye_corners)
        assert left < right
        assert face.visible.any() and face.visible.all() == (name != "cofw")


def test_the_same_faces_in_two_formats(real_faces: RealFaces) -> None:
    """The JSON's 300W points are the .pts file's numbers, which count from 1."""
    samples = real_faces("samples")
    coco = FacesConfig(kind="coco", root=samples / "300w", test=("test_300w.json",))
    pts = FacesConfig(kind="300w", root=samples, test=("300w",))
    ones, others = (load_faces(config, "test", Path()).faces for config in (coco, pts))
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_allclose(one.points, other.points)
