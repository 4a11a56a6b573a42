"""Broken pictures: refused in landmint's words, and counted where a data set is checked."""

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli
from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.check import check_data
from landmint.train.faces.face import read_image
from landmint.train.faces.posture import expected_shape
from landmint.train.faces.pts300w import write_pts
from landmint.train.faces.readers import FacesConfig

AskInVain = Callable[..., Result]


def _png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG whose header claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _labels() -> Floats:
    """Landmarks of a face in a picture of 64 x 64."""
    face = expected_shape(get_markup("68"))
    assert face is not None
    return 15 * face + (32, 24)


PICTURES: Mapping[str, bytes] = {
    "empty": b"",
    "a web page": b"<html>not found</html>",
    "claims 60000 x 60000": _png(60_000, 60_000),
    "claims no width": _png(0, 5),
    "a header of HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
    "a header of 12 bits": b"P5\n9 9\n4095\n",
    "a truncated JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
}
picture_case = pytest.mark.parametrize("content", PICTURES.values(), ids=list(PICTURES))


@picture_case
def test_a_picture_is_read_or_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(LandmintError, match="cannot read the image") as caught:
        read_image(tmp_path / "a.png")
    assert caught.value.reason and "OpenCV" not in str(caught.value)


@picture_case
def test_predict_tells_of_a_picture(content: bytes, tmp_path: Path, ask_in_vain: AskInVain) -> None:
    (tmp_path / "a.png").write_bytes(content)
    ask_in_vain("predict", "../a.png", said="cannot read the image")


@picture_case
def test_a_check_counts_a_broken_picture_and_goes_on(content: bytes, tmp_path: Path) -> None:
    for name in "ab":
        write_pts(tmp_path / f"{name}.pts", _labels())
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), dtype=np.uint8))
    (tmp_path / "b.png").write_bytes(content)
    check = check_data(FacesConfig(kind="300w", root=tmp_path, train=(".",)), ["train"], Path())
    assert [f.title for f in check.findings if f.fault] == ["unreadable images"]


@pytest.mark.parametrize("size", [(1, 9000), (2000, 1), (1, 1)], ids=str)
def test_a_thin_picture_has_no_face(
    size: tuple[int, int], tmp_path: Path, ask_in_vain: AskInVain
) -> None:
    cv2.imwrite(str(tmp_path / "thin.png"), np.full((*size, 3), 99, dtype=np.uint8))
    said = "no face was found"
    ask_in_vain("predict", "../thin.png", said=said, code=3, leaves="predictions")


def test_of_several_pictures_the_broken_one_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 48, 3), 99, dtype=np.uint8))
    (tmp_path / "b.png").write_bytes(PICTURES["claims 60000 x 60000"])
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, ["predict", "b.png", "a.png"])
    assert result.exit_code == 2
    assert "cannot read the image b.png" in result.output and "a.png  0 faces" in result.output
    assert sorted(path.name for path in (tmp_path / "predictions").iterdir()) == [
        "a.json",
        "a.png",
    ]


def test_heic_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(PICTURES["a header of HEIC"])
    with pytest.raises(LandmintError) as caught:
        read_image(tmp_path / "a.heic")
    assert "save it as JPEG or PNG" in caught.value.reason


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_pixels_are_as_bright_as_they_are_meant(bits: int, tmp_path: Path) -> None:
    """Once 12 bits in 16 were read as if white were 16 bits: almost black."""
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    deep = np.rint(grey * ((2**bits - 1) / 255)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([deep] * 3))
    assert (read_image(tmp_path / "a.png") == grey[..., None]).all()


QUARTERS = {1: 0, 3: 2, 6: 3, 8: 1}
"""EXIF orientation, and by how many quarters to the left numpy turns what is stored."""


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", QUARTERS)
def test_a_picture_is_turned_as_its_camera_noted(
    orientation: int, suffix: str, tmp_path: Path
) -> None:
    """Pillow's own reading of EXIF is the second opinion."""
    stored = np.zeros((32, 48, 3), dtype=np.uint8)
    stored[:8, :8, 0] = 255  # red, top left
    path = tmp_path / f"a.{suffix}"
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(stored).save(path, exif=exif, quality=95)
    turned = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert("RGB"))
    for image, wanted in (
        (read_image(path), stored),
        (read_image(path, upright=True), np.rot90(stored, QUARTERS[orientation])),
        (read_image(path, upright=True), turned),
    ):
        assert image.shape == wanted.shape
        assert np.abs(image.astype(int) - wanted).mean() < 4


def test_a_picture_that_shows_nothing_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    black = rng.integers(0, 3, (64, 64, 3), dtype=np.uint8)
    pictures = {"black": black, "white": np.full_like(black, 255), "dark": 6 * black}
    for name, pixels in pictures.items():
        write_pts(tmp_path / f"{name}.pts", _labels())
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    check = check_data(FacesConfig(kind="300w", root=tmp_path, train=(".",)), ["train"], Path())
    titles = {Path(f.where).stem: f.title for f in check.findings if "pictures" in f.title}
    blank = "blank pictures"
    assert titles == {"black": blank, "white": blank, "dark": "nearly black pictures"}
    assert check.sound
