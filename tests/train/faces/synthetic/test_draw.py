"""One drawn face: pure, in two markups, of one size or another, still or moving."""

import numpy as np
import pytest

from landmint.runtime.markup import get_markup
from landmint.train.faces.synthetic import VERSION, generate, moving_face

M68, M98 = get_markup("68"), get_markup("98")
SHADES = [[75.73, 72.7, 76.76], [67.68, 66.16, 71.15], [94.19, 87.57, 77.09]]
"""Mean red, green and blue of the pictures below."""
ENDS = [
    [[27.4141, 30.5354], [66.6215, 47.2003], [59.1982, 61.8064]],
    [[22.6811, 31.8585], [38.42, 45.4476], [37.5739, 62.6709]],
    [[18.6656, 43.5882], [55.7201, 52.0459], [56.3824, 66.449]],
]
"""Three landmarks of each in pixels: right end of the jaw, tip of the nose, middle of the lip."""


def test_generate_is_pure() -> None:
    first, again, other = (generate(3, index, M68, 64) for index in (9, 9, 10))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.points, again.points)
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(generate(4, 9, M68, 64).image, first.image)


def test_both_markups_are_of_one_picture() -> None:
    small, large = generate(0, 5, M68, 96), generate(0, 5, M98, 96)
    assert np.array_equal(small.image, large.image)
    assert small.attributes == large.attributes
    shared_68 = [*range(17), *range(17, 27), 27, 30, 31, 33, 35, 36, 39, 42, 45, *range(48, 68)]
    shared_98 = [*range(0, 33, 2), *range(33, 38), *range(42, 47), 51, 54, 55, 57, 59, 60, 64, 68,
                 72, *range(76, 96)]  # fmt: skip
    np.testing.assert_allclose(small.points[shared_68], large.points[shared_98], atol=1e-9)


@pytest.mark.parametrize("size_px", [64, 160, 224])
def test_faces_fill_half_the_picture(size_px: int) -> None:
    for index in range(0, 40, 4):
        image, points, attributes = generate(11, index, M98, size_px)
        assert image.shape == (size_px, size_px, 3) and image.dtype == np.uint8
        extent = np.ptp(points, axis=0).max() / size_px
        assert 0.35 < extent < 0.85
        assert (points > -0.05 * size_px).all() and (points < 1.05 * size_px).all()
        assert set(attributes.values()) <= {0, 1}
        assert image.std() > 5


def test_size_scales_the_same_face() -> None:
    small, large = generate(2, 8, M68, 80), generate(2, 8, M68, 160)
    np.testing.assert_allclose((small.points + 0.5) * 2 - 0.5, large.points, atol=1.0)


def test_a_moving_face_keeps_its_landmarks_on_it() -> None:
    first, *others = moving_face(0, 3, M68, 96, 4)
    still = generate(0, 3, M68, 96)
    np.testing.assert_allclose(first.points - still.points, [[4.8, 0]] * 68)
    shape = first.points - first.points.mean(axis=0)
    for frame in others:
        assert np.abs(frame.image.astype(int) - first.image).max() > 0
        moved = frame.points - frame.points.mean(axis=0)
        grown = np.linalg.norm(moved) / np.linalg.norm(shape)
        np.testing.assert_allclose(moved, grown * shape, atol=1e-9)


def test_the_pictures_are_those_of_their_version() -> None:
    """Runs count drawn faces as up to date by VERSION: raise it when this fails on purpose."""
    faces = [generate(3, index, M68, 96) for index in range(12)]
    shades = [face.image.mean(axis=(0, 1)).tolist() for face in faces[::4]]
    ends = [face.points[[0, 30, 57]].tolist() for face in faces[::4]]
    assert VERSION == 1
    np.testing.assert_allclose(shades, SHADES, atol=0.05)
    np.testing.assert_allclose(ends, ENDS, atol=0.001)
