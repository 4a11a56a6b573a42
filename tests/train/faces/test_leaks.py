"""Faces that share a person or an image with others are refused, however images are compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.train.faces.leaks import (
    pixel_digests,
    readable_digests,
    refuse_leaks,
    same_bytes,
    same_pixels,
)


class Shown(NamedTuple):
    name: str
    person: str
    image: Path


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """One picture twice, as PNG and BMP, another one, and a file that is no picture."""
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    shown = {"a.png": pixels, "a.bmp": pixels, "b.png": pixels[::-1]}
    for name, picture in shown.items():
        assert cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return {path.name: path for path in tmp_path.iterdir()}


def refuse(faces: Sequence[Shown], others: Sequence[Shown]) -> None:
    refuse_leaks(faces, others, "{count} of ours share {what} with theirs", same_bytes, "part them")


def test_a_shared_person_is_refused_and_an_unknown_one_is_not(images: dict[str, Path]) -> None:
    a, b = images["a.png"], images["b.png"]
    refuse([Shown("1", "", a)], [Shown("2", "", b)])
    refuse([Shown("1", "anna", a)], [Shown("2", "bert", b)])
    ours = [Shown(str(number), "anna", a) for number in range(4)]
    with pytest.raises(LandmintError, match=r"^4 of ours share a person with theirs: 0, 1, 2, \.+"):
        refuse(ours, [Shown("x", "anna", b)])


def test_a_shared_image_is_refused(images: dict[str, Path]) -> None:
    with pytest.raises(LandmintError, match="1 of ours share an image with theirs: 1"):
        refuse([Shown("1", "", images["copy.png"])], [Shown("2", "", images["a.png"])])


def test_bytes_and_pixels_tell_different_images_apart(images: dict[str, Path]) -> None:
    a, others = images["a.png"], [images[name] for name in ("a.bmp", "b.png")]
    assert same_bytes([*others, images["copy.png"]], [a]) == {images["copy.png"]}
    assert same_pixels(pixel_digests(others), pixel_digests)(others, [a]) == {images["a.bmp"]}


def test_an_image_that_cannot_be_read_is_the_same_as_none(images: dict[str, Path]) -> None:
    broken = [images["broken.png"]]
    assert readable_digests(broken) == {}
    same = same_pixels(readable_digests(broken), readable_digests)
    assert same(broken, broken) == set()
    with pytest.raises(LandmintError, match="broken.png"):
        pixel_digests(broken)
