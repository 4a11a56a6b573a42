"""Copies are found whatever was done to them, and other pictures are not; beside a DCT hash."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.fft import dctn

from landmint.runtime.crop import Image
from landmint.train.faces.near import alike, difference_hash, look_of, mirrored


def _picture(seed: int, side: int = 160) -> Image:
    """Soft blobs with an edge or two, as photographs have."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(picture, (20 + seed % 50, 30), (90, 60 + seed % 70), (255, 255, 255), -1)
    noise = rng.normal(0, 4, picture.shape)
    return np.asarray((picture + noise).clip(0, 255), dtype=np.uint8)


def _recompressed(image: Image) -> Image:
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


COPIES: Mapping[str, Callable[[Image], Image]] = {
    "recompressed": _recompressed,
    "half as large": lambda image: np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5), np.uint8),
    "twice as wide": lambda image: np.asarray(cv2.resize(image, None, fx=2.0, fy=1.0), np.uint8),
    "brighter": lambda image: np.asarray(np.clip(image * 1.1 + 9, 0, 255), dtype=np.uint8),
    "grey": lambda image: np.asarray(
        cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8
    ),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "a pixel cut off": lambda image: np.ascontiguousarray(image[1:, 1:]),
}


def _dct_hash(image: Image) -> np.ndarray:
    """pHash, as the library of that name has it: low frequencies beside their median."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    low = dctn(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(float))[:8, :8]
    return np.asarray(low > np.median(low))


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_and_no_other_picture(change: str) -> None:
    pictures = [_picture(seed) for seed in range(40)]
    copies = [COPIES[change](picture) for picture in pictures[:10]]
    pairs = set(alike([look_of(p) for p in pictures], [look_of(c) for c in copies]))
    assert pairs == {(i, i) for i in range(10)}
    if change not in ("mirrored", "grey"):
        hashes, others = ([_dct_hash(p) for p in some] for some in (pictures, copies))
        by_dct = {
            (i, j)
            for i, ours in enumerate(hashes)
            for j, theirs in enumerate(others)
            if (ours != theirs).sum() <= 8
        }
        assert by_dct == pairs


def test_the_fingerprint_is_pillows() -> None:
    """But for places that hardly differ in brightness, where rounding decides."""
    for seed in range(10):
        grey = np.asarray(cv2.cvtColor(_picture(seed), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        small = np.asarray(
            Pillow.fromarray(grey).resize((17, 16), Pillow.Resampling.BOX), dtype=np.int16
        )
        theirs = np.packbits(small[:, :-1] < small[:, 1:])
        apart = np.unpackbits(theirs ^ difference_hash(grey).view(np.uint8)).sum()
        assert apart <= 12


def test_the_look_of_the_mirrored_picture() -> None:
    picture = _picture(3)
    turned, wanted = mirrored(look_of(picture)), look_of(picture[:, ::-1].copy())
    assert turned.grey @ wanted.grey > 0.999
    # Places of one brightness are darker than their neighbour neither way.
    assert np.unpackbits((turned.bits ^ wanted.bits).view(np.uint8)).sum() <= 30


def test_nothing_is_like_nothing() -> None:
    assert not list(alike([], [look_of(_picture(0))]))
