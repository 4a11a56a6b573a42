"""Orientations: the entry as Pillow writes it, the turn as OpenCV and Pillow do it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from landmint.train.faces.exif import orientation_of, seen_points
from landmint.train.faces.face import read_image


def _written(suffix: str, orientation: int) -> bytes:
    """A picture of 12 x 8 whose brightest block is that of columns 2, 3 and rows 4, 5."""
    pixels = np.full((8, 12, 3), 40, dtype=np.uint8)
    pixels[4:6, 2:4] = 250
    exif = Image.Exif()
    exif[0x0110] = "a phone"
    exif[0x0112] = orientation
    file = io.BytesIO()
    options = {"quality": 100} if suffix == "jpeg" else {"lossless": True}
    Image.fromarray(pixels).save(file, suffix, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
def test_a_turned_picture(suffix: str, orientation: int, tmp_path: Path) -> None:
    content = _written(suffix, orientation)
    assert orientation_of(content) == orientation
    (tmp_path / "a").write_bytes(content)
    seen = read_image(tmp_path / "a", upright=True)
    others = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    assert np.abs(seen.astype(int) - others).max() < 20
    (point,) = seen_points(np.array([[2.5, 4.5]]), orientation, 12, 8)
    row, column = np.argwhere(seen[..., 0] > 150).mean(axis=0)
    assert point == pytest.approx((column, row))


def test_a_picture_without_an_entry_is_as_it_is_stored() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "jpeg")
    assert orientation_of(file.getvalue()) == 1
    assert orientation_of(b"") == 1


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
def test_what_is_cut_off_or_nonsense_is_none(suffix: str) -> None:
    content = _written(suffix, 6)
    for end in range(len(content)):
        assert orientation_of(content[:end]) in (1, 6)
    for place in range(0, min(len(content), 200)):
        changed = content[:place] + b"\xff" + content[place + 1 :]
        assert 1 <= orientation_of(changed) <= 8
