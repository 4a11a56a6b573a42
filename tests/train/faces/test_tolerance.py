"""Label files that other tools and other machines wrote: read as they were meant."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.train.faces.readers import FacesConfig, load_faces

Change = Callable[[bytes], bytes]
Writers = Mapping[str, Callable[[Path], FacesConfig]]
MARK = b"\xef\xbb\xbf"


def _same_faces(config: FacesConfig, before: FacesConfig) -> None:
    expected, faces = load_faces(before, "train", Path()), load_faces(config, "train", Path())
    assert len(faces.faces) == len(expected.faces) > 0
    for face, other in zip(faces.faces, expected.faces, strict=True):
        assert face.points == pytest.approx(other.points)
        assert face.box == pytest.approx(other.box)
        assert face.image.read_bytes() == other.image.read_bytes()


def _windows_lines(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def _trailing(content: bytes) -> bytes:
    return content.replace(b"\n", b" \t \n") + b"\n\n"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("wflw", lambda content: MARK + content),
        ("wflw", _windows_lines),
        ("wflw", _trailing),
        ("wflw", lambda content: content.replace(b" a/", b" images\\a\\")),
        ("wflw", lambda content: content.replace(b" a/", b" D:\\faces\\images\\a\\")),
        ("wflw", lambda content: content.replace(b" a/", b" /home/me/faces/a/")),
        ("wflw", lambda content: content.replace(b".jpg", b".JPG")),
        ("hrnet", lambda content: MARK + content),
        ("hrnet", _windows_lines),
        ("coco", lambda content: MARK + content),
        ("coco", lambda content: content.replace(b": 7}", b': "seven"}')),
    ],
)
def test_what_other_tools_write(
    kind: str, change: Change, writers: Writers, tmp_path: Path
) -> None:
    before = writers[kind](tmp_path)
    (name,) = before.train
    (tmp_path / "changed").write_bytes(change((tmp_path / name).read_bytes()))
    _same_faces(before.model_copy(update={"train": ("changed",)}), before)


def test_a_path_that_is_not_of_another_machine_is_taken_as_it_is(
    writers: Writers, tmp_path: Path
) -> None:
    """Else the labels of test/a_2.jpg could come to lie on another picture, a_2.jpg."""
    config = writers["wflw"](tmp_path)
    path = tmp_path / "list.txt"
    path.write_text(path.read_text().replace(" a/", " a/test/"))
    with pytest.raises(LandmintError, match="does not exist"):
        load_faces(config, "train", Path())


def test_ids_of_text_and_digits(writers: Writers, tmp_path: Path) -> None:
    before = writers["coco"](tmp_path)
    content = json.loads((tmp_path / "faces.json").read_text())
    for image in content["images"]:
        image["id"] = str(image["id"])
    (tmp_path / "changed").write_text(json.dumps(content))
    _same_faces(before.model_copy(update={"train": ("changed",)}), before)


def test_the_faces_of_whole_bodies(writers: Writers, tmp_path: Path) -> None:
    before = writers["coco"](tmp_path)
    content = json.loads((tmp_path / "faces.json").read_text())
    for entry in content["annotations"]:
        entry["face_kpts"], entry["keypoints"] = entry["keypoints"], [1, 2, 2] * 17
        entry["face_box"] = entry.pop("bbox", None)
        entry["bbox"], entry["face_valid"] = [0, 0, 50, 40], True
    content["annotations"].append({"id": 99, "image_id": 0, "face_kpts": [], "face_valid": False})
    (tmp_path / "changed").write_text(json.dumps(content))
    _same_faces(before.model_copy(update={"train": ("changed",)}), before)


def test_parts_of_imglab_from_one(writers: Writers, tmp_path: Path) -> None:
    before = writers["imglab"](tmp_path)
    text = (tmp_path / "faces.xml").read_text()
    for i in reversed(range(68)):
        text = text.replace(f'name="{i:02d}"', f'name="{i + 1}"')
    (tmp_path / "changed").write_text(text)
    _same_faces(before.model_copy(update={"train": ("changed",)}), before)


def test_a_pts_called_after_the_whole_image(writers: Writers, tmp_path: Path) -> None:
    before = writers["300w"](tmp_path / "before")
    after = writers["300w"](tmp_path / "after")
    for path in (tmp_path / "after/train").glob("*.pts"):
        path.rename(path.with_suffix(".jpg.pts"))
    _same_faces(after, before)


def test_a_binary_pts(writers: Writers, tmp_path: Path) -> None:
    before = writers["300w"](tmp_path / "before")
    after = writers["300w"](tmp_path / "after")
    faces = load_faces(before, "train", Path()).faces
    for face in faces:
        packed = struct.pack("<i136f", 68, *np.ravel(face.points))
        (tmp_path / f"after/{face.name}.pts").write_bytes(packed)
    _same_faces(after, before)
    (tmp_path / f"after/{faces[0].name}.pts").write_bytes(struct.pack("<i172f", 86, *[5.0] * 172))
    with pytest.raises(LandmintError) as caught:
        load_faces(after, "train", Path())
    assert caught.value.reason == "86 points where the markup has 68"
