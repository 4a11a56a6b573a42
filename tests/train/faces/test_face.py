"""Faces in memory: images, digests, fingerprints."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from landmint.runtime.crop import box_of
from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import Face, FaceSet, face_set, image_digest, read_image


def write_image(path: Path, value: int = 200) -> Path:
    image = np.full((6, 8, 3), (10, 20, value), dtype=np.uint8)  # blue, green, red
    assert cv2.imwrite(str(path), image)
    return path


def make_face(image: Path) -> Face:
    points = np.arange(136, dtype=np.float64).reshape(68, 2)
    return Face("one", image, points, box_of(points), "p", np.ones(68, dtype=np.bool_), {"blur": 1})


def test_read_image_is_rgb(tmp_path: Path) -> None:
    image = read_image(write_image(tmp_path / "a.png"))
    assert image.shape == (6, 8, 3)
    assert image[0, 0].tolist() == [200, 20, 10]


def test_grey_image_gets_three_channels(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "g.png"), np.full((5, 5), 90, dtype=np.uint8))
    assert read_image(tmp_path / "g.png").shape == (5, 5, 3)


def test_missing_image(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match=r"cannot read the image .*none\.png"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n truncated"])
def test_unreadable_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(LandmintError, match=r"bad\.png"):
        read_image(path)


def test_image_digest_is_of_the_pixels(tmp_path: Path) -> None:
    first, second = write_image(tmp_path / "a.png"), write_image(tmp_path / "b.bmp")
    assert image_digest(first) == image_digest(second)
    assert image_digest(first) != image_digest(write_image(tmp_path / "c.png", 201))


def test_image_digest_sees_the_shape(tmp_path: Path) -> None:
    flat = np.zeros((2, 8, 3), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.png"), flat)
    assert cv2.imwrite(str(tmp_path / "b.png"), flat.reshape(4, 4, 3))
    assert image_digest(tmp_path / "a.png") != image_digest(tmp_path / "b.png")


def fingerprint(*faces: Face) -> str:
    return face_set("68", faces, "test").fingerprint


def test_fingerprint_sees_every_change(tmp_path: Path) -> None:
    face = make_face(write_image(tmp_path / "a.png"))
    other = write_image(tmp_path / "b.png", 201)
    hidden = face.visible.copy()
    hidden[3] = False
    changed = [
        dataclasses.replace(face, name="two"),
        dataclasses.replace(face, image=other),
        dataclasses.replace(face, points=face.points + 1e-6),
        dataclasses.replace(face, box=face.box._replace(x=0.5)),
        dataclasses.replace(face, person="q"),
        dataclasses.replace(face, visible=hidden),
        dataclasses.replace(face, attributes={"blur": 0}),
    ]
    prints = {fingerprint(face), fingerprint(face, face), *map(fingerprint, changed)}
    assert len(prints) == 9
    assert face_set("98", [face], "test").fingerprint not in prints


def test_fingerprint_forgets_the_place(tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    here = make_face(write_image(tmp_path / "a.png"))
    there = make_face(write_image(tmp_path / "moved" / "a.png"))
    assert fingerprint(here) == fingerprint(there)


def test_fingerprint_needs_the_image(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="cannot read the image"):
        fingerprint(make_face(tmp_path / "none.png"))


def test_faces_are_in_order(synthetic_faces: FaceSet) -> None:
    names = [face.name for face in synthetic_faces.faces]
    assert names == sorted(names)
    assert len(names) == 20
