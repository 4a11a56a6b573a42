"""Sizes that files claim, as Pillow wrote them."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import read_image
from landmint.train.faces.header import claimed_size


def _written(kind: str, size: tuple[int, int] = (37, 23), **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("png", {}),
    "jpeg": ("jpeg", {}),
    "progressive jpeg": ("jpeg", {"progressive": True, "comment": b"\xff\xc0" * 20}),
    "gif": ("gif", {}),
    "bmp": ("bmp", {}),
    "webp": ("webp", {}),
    "lossless webp": ("webp", {"lossless": True}),
    "webp with a profile": ("webp", {"exif": Image.Exif()}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_sizes(kind: str) -> None:
    name, options = KINDS[kind]
    content = _written(name, **options)
    assert claimed_size(content) == (37, 23)
    for end in range(60):
        assert claimed_size(content[:end]) in (None, (37, 23)) or end < 32


def test_another_file_claims_nothing() -> None:
    assert claimed_size(_written("tiff")) is None
    assert claimed_size(b"") is None


def test_a_giant_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """Of 29,000 x 29,000 px OpenCV alone would ask for 2.5 GB."""
    content = bytearray(_written("png"))
    content[16:24] = struct.pack(">II", 29_000, 29_000)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(LandmintError, match="cannot read") as caught:
        read_image(tmp_path / "a.png")
    assert caught.value.reason.startswith("it claims 29000 x 29000 px, more than 268 million")
