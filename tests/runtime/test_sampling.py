"""Sampling: OpenCV and numpy agree, and both with pictures averaged and interpolated in full."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from landmint.runtime import sampling
from landmint.runtime.contract import CropRule
from landmint.runtime.crop import Box, Floats, Image, crop_matrix, warp
from landmint.runtime.sampling import block_means

MEAN_LEVELS, MOST_LEVELS = 0.5, 2
"""How far OpenCV and numpy may differ, of 255."""


def picture(height: int, width: int, seed: int = 0) -> Image:
    """As a camera would see something: soft shapes, edges two pixels wide, a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, 3), 120.0)
    for _ in range(12):
        across, down, phase = rng.uniform((-0.06, -0.06, 0), (0.06, 0.06, 9))
        wave = np.sin(across * x + down * y + phase)
        image += rng.uniform(4, 12, 3) * wave[..., None]
    disc = np.hypot(x - width * 0.4, y - height * 0.5) - 0.3 * min(height, width)
    image += 60 * np.clip(disc, -1, 1)[..., None]
    return np.clip(np.rint(image + rng.normal(0, 2, image.shape)), 0, 255).astype(np.uint8)


def turned(step: float, degrees: float, corner: tuple[float, float]) -> Floats:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.column_stack([step * np.array([[cos, -sin], [sin, cos]]), np.array(corner)])


def face(side: float, image: Image) -> Floats:
    """The crop of a face in the middle, at no whole pixel."""
    height, width = image.shape[:2]
    box = Box(width / 2 - side / 2 + 0.37, height / 2 - side / 2 + 0.13, side, side)
    return crop_matrix(box, CropRule((1.25, 1.25), True), 128)


SMALL = picture(301, 407)
LARGE: Image = cv2.resize(SMALL, (2560, 2560), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
CASES = {
    **{f"face of {side} px": (LARGE, face(side, LARGE)) for side in (60, 97, 250, 333, 800, 2000)},
    "turned by 30 degrees": (SMALL, turned(0.7, 30, (90, -20))),
    "turned by 90 degrees": (SMALL, turned(2.4, 90, (300, -20))),
    "nearly upside down, coarse": (SMALL, turned(3.6, -170, (380, 320))),
    "beyond the left edge": (SMALL, turned(1.7, 0, (-120.3, 40.6))),
    "beyond all edges": (SMALL, turned(4.3, 0, (-60.5, -80.25))),
    "the last pixel": (SMALL, turned(2.0, 0, (407 - 2 * 128 + 0.5, 301 - 2 * 128 + 0.5))),
    "wholly outside": (SMALL, turned(1.0, 0, (900, 900))),
    "mirrored": (SMALL, np.array([[-1.3, 0, 300], [0, 1.3, 20]])),
    "one pixel": (picture(1, 1), turned(0.02, 0, (-1.2, -1.1))),
    "a line, coarse": (picture(1, 300), turned(3.3, 0, (-10, -200))),
    "tiny and coarse": (picture(7, 5), turned(11, 20, (-500, -700))),
    "too wide for OpenCV's 16 bits": (np.tile(SMALL[:40], (1, 81, 1)), turned(1.5, 0, (32800, 3))),
    "grey": (np.repeat(SMALL[..., :1], 3, axis=2), turned(1.1, 5, (100, 100))),
    "a view": (SMALL[20:200, 40:300, ::-1], turned(2.2, 0, (-5, -5))),
    "a view in full": (SMALL[20:200, 40:300, ::-1], turned(0.8, 0, (30, 30))),
}


def without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "opencv", lambda: None)


@pytest.mark.parametrize("case", CASES)
def test_opencv_and_numpy_give_the_same_crop(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image, matrix = CASES[case]
    with_opencv = warp(image, matrix, 128).astype(int)
    without_opencv(monkeypatch)
    difference = np.abs(warp(image, matrix, 128) - with_opencv)
    assert difference.mean() <= MEAN_LEVELS
    assert difference.max() <= MOST_LEVELS


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("degrees", [0, 25])
def test_interpolation_is_scipys(
    degrees: float, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if alone:
        without_opencv(monkeypatch)
    matrix = turned(0.83, degrees, (120.4, 60.7))
    linear = matrix[::-1, 1::-1]  # scipy counts rows first
    channels = [
        ndimage.affine_transform(
            SMALL[..., c].astype(float), linear, matrix[::-1, 2], (128, 128), order=1
        )
        for c in range(3)
    ]
    difference = np.abs(warp(SMALL, matrix, 128) - np.stack(channels, axis=-1))
    assert difference.mean() < MEAN_LEVELS
    assert difference.max() < MOST_LEVELS


@pytest.mark.parametrize("side", [2, 3, 5, 8, 15])
def test_four_samples_stand_for_a_block(side: int) -> None:
    """Against the mean of all pixels of a block, in a picture without finer detail."""
    smooth: Image = cv2.GaussianBlur(LARGE, (0, 0), side / 2).astype(np.uint8)
    count = 1200 // side
    part = smooth[: count * side, : count * side]
    whole = cv2.resize(part, (count, count), interpolation=cv2.INTER_AREA).astype(int)
    means = block_means(smooth, (0, 0), (count, count), side)[..., :3]
    difference = np.abs(means - whole)
    assert difference.mean() < MEAN_LEVELS
    assert difference.max() <= 4  # at the disc's edge


@pytest.mark.parametrize("step", [2.0, 2.6, 3.3, 3.9, 5.5, 9.4, 17.0])
def test_a_crop_is_the_mean_of_all_its_pixels(step: float) -> None:
    """Or nearly, in a picture whose noise its four samples do not quite average away."""
    size, fine = 64, round(step + 0.5)
    corner = 100.3
    middle = corner + (step / fine - step) / 2
    line = np.array([step / fine, 0, middle])
    every = cv2.warpAffine(
        LARGE,
        np.stack([line, line[[1, 0, 2]]]),
        (size * fine, size * fine),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    means = cv2.resize(every, (size, size), interpolation=cv2.INTER_AREA).astype(int)
    difference = np.abs(warp(LARGE, turned(step, 0, (corner, corner)), size) - means)
    assert difference.mean() < 1.0


@pytest.mark.parametrize("side", [2, 3, 4, 6, 8, 16])
def test_no_stripes_of_two_pixels_alias(side: int) -> None:
    """Alternate columns, or rows, of black and white become grey."""
    stripes = np.zeros((side * 10, side * 10, 3), np.uint8)
    stripes[:, ::2] = 255
    for image in (stripes, stripes.transpose(1, 0, 2).copy()):
        means = block_means(image, (0, 0), (10, 10), side)[..., :3]
        assert np.all(np.abs(means.astype(int) - 127.5) <= 1)


@pytest.mark.parametrize("size", [(6, 6), (7, 5), (1, 1), (2, 9), (13, 13), (80, 85)])
@pytest.mark.parametrize("side", [2, 3, 7, 40])
@pytest.mark.parametrize("library", ["OpenCV", "numpy"])
def test_every_block_of_a_picture(
    library: str, size: tuple[int, int], side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a loop over pixels; blocks that the edge cuts are those before them."""
    if library == "numpy":
        without_opencv(monkeypatch)
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    rows, columns = (-(-length // side) for length in size)
    near, far = side // 8, 3 * side // 8
    offsets = [near, far, side - 1 - far, side - 1 - near]
    downs = [far, side - 1 - near, near, side - 1 - far]
    if side >= 8:
        downs = [side // 4, side - 1 - side // 4] * 2

    def inside(block: int, offset: int, length: int) -> int:
        last_whole = max(length // side - 1, 0)
        return min(min(block, last_whole) * side + offset, length - 1)

    expected = np.zeros((rows, columns, 3), int)
    for row, column in np.ndindex(rows, columns):
        for across, down in zip(offsets, downs, strict=True):
            y, x = inside(row, down, size[0]), inside(column, across, size[1])
            expected[row, column] += image[y, x]
    means = block_means(image, (0, 0), (columns, rows), side)[..., :3]
    assert np.array_equal(means, (expected + 2) // 4)


@pytest.mark.parametrize("library", ["OpenCV", "numpy"])
def test_a_table_normalises_as_arithmetic_does(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "numpy":
        without_opencv(monkeypatch)
    else:
        pytest.importorskip("cv2")
    pictures = np.random.default_rng(13).integers(0, 256, (3, 9, 7, 3), np.uint8)
    table = (np.arange(256)[:, None] - np.array([120.0, 110, 100])) / np.array([58.0, 57, 56])
    found = sampling.look_up(pictures[:, ::-1], table.astype(np.float32))
    expected = (pictures[:, ::-1] - np.array([120.0, 110, 100])) / np.array([58.0, 57, 56])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert sampling.look_up(pictures[:0], table.astype(np.float32)).shape == (0, 9, 7, 3)
