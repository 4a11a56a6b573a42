"""Crops: exact geometry, faithful pixels."""

import dataclasses

import numpy as np
import pytest

from landmint.runtime.contract import Contract, CropRule, Head, Layout, Output
from landmint.runtime.crop import (
    Box,
    Floats,
    Image,
    apply_affine,
    box_of,
    compose,
    crop_matrix,
    flip_points,
    invert_affine,
    normalise,
    warp,
)
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup


def gradient(height: int, width: int) -> Image:
    """Red tells x, green tells y."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)[None, :]
    image[..., 1] = np.arange(height)[:, None]
    return image


def test_box_of_is_tight() -> None:
    assert box_of(np.array([[1.0, 2.0], [5.0, 10.0], [3.0, 4.0]])) == Box(1, 2, 4, 8)


def test_square_rule_takes_the_longer_side_and_keeps_the_centre() -> None:
    matrix = crop_matrix(Box(10, 20, 40, 80), CropRule((1.25, 1.25), True), 100)
    assert np.allclose(apply_affine(matrix, np.array([49.5, 49.5])), [30, 60])
    assert np.allclose([matrix[0, 0], matrix[1, 1]], 1.25 * 80 / 100)


def test_stretched_rule_scales_each_axis() -> None:
    matrix = crop_matrix(Box(10, 20, 40, 80), CropRule((1.1, 1.1), False), 64)
    assert np.allclose([matrix[0, 0], matrix[1, 1]], [1.1 * 40 / 64, 1.1 * 80 / 64])


@pytest.mark.parametrize("square", [True, False])
def test_a_shift_moves_the_crop_by_shares_of_the_box(square: bool) -> None:
    box, rule = Box(10, 20, 40, 80), CropRule((1.2, 1.2), square, shift=(-0.25, 0.1))
    matrix = crop_matrix(box, rule, 100)
    assert np.allclose(apply_affine(matrix, np.array([49.5, 49.5])), [30 - 10, 60 + 8])
    still = crop_matrix(box, CropRule((1.2, 1.2), square), 100)
    assert np.allclose(matrix[:, :2], still[:, :2])


@pytest.mark.parametrize("box", [Box(40, 30, 200, 300), Box(-15.5, 7, 51, 23), Box(0, 0, 9, 90)])
def test_the_crop_of_pipnets_own_demo(box: Box) -> None:
    """Left, right and bottom edges move outwards by a tenth, the top edge moves inwards.

    Jin et al., PIPNet, `lib/demo_video.py`: det_box_scale is 1.2; "remove a part of top area for
    alignment, see paper for details". There each move is cut to whole pixels.
    """
    det_box_scale = 1.2
    rule = CropRule((1.2, 1.0), square=False, shift=(0.0, 0.1))
    edges = np.array([[-0.5, -0.5], [255.5, 255.5]])
    corners = apply_affine(crop_matrix(box, rule, 256), edges)
    for whole, px in ((float, 1e-6), (int, 1.0)):
        det_xmin, det_ymin = box.x, box.y
        det_xmax, det_ymax = box.x + box.w, box.y + box.h
        det_xmin -= whole(box.w * (det_box_scale - 1) / 2)
        det_ymin += whole(box.h * (det_box_scale - 1) / 2)
        det_xmax += whole(box.w * (det_box_scale - 1) / 2)
        det_ymax += whole(box.h * (det_box_scale - 1) / 2)
        theirs = np.array([[det_xmin, det_ymin], [det_xmax, det_ymax]])
        assert corners == pytest.approx(theirs, abs=px)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_input_has_the_contracts_colour_order(layout: Layout) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    rgb = Contract(
        markup="68",
        input_size=8,
        crop=CropRule((1.2, 1.2), True),
        mean=(123.0, 117.0, 104.0),
        std=(58.0, 57.0, 56.0),
        head=Head("coordinates"),
        outputs=(Output("coordinates", (136,)),),
        layout=layout,
    )
    axis = 1 if layout == "NCHW" else 3
    plain, other = normalise(crops, rgb), normalise(crops, dataclasses.replace(rgb, color="BGR"))
    np.testing.assert_allclose(np.flip(other, axis), plain)
    red = (crops[..., 0] - 123.0) / 58.0
    np.testing.assert_allclose(other.take(2, axis), red, rtol=1e-5)


@pytest.mark.parametrize("box", [Box(0, 0, 0, 5), Box(0, 0, 5, -1), Box(float("nan"), 0, 5, 5)])
def test_an_empty_box_is_refused(box: Box) -> None:
    with pytest.raises(LandmintError, match="has no area"):
        crop_matrix(box, CropRule((1.0, 1.0), True), 64)


def test_inverse_and_composition() -> None:
    rotation = np.array([[0.8, -0.6, 3.0], [0.6, 0.8, -2.0]])
    shear = np.array([[2.0, 0.5, 1.0], [0.0, 3.0, 4.0]])
    points = np.random.default_rng(0).normal(size=(7, 2))
    assert np.allclose(
        apply_affine(invert_affine(rotation), apply_affine(rotation, points)), points
    )
    both = apply_affine(compose(rotation, shear), points)
    assert np.allclose(both, apply_affine(rotation, apply_affine(shear, points)))


def test_a_stack_of_matrices_maps_a_stack_of_points() -> None:
    matrices = np.random.default_rng(1).normal(size=(3, 2, 3))
    points = np.random.default_rng(2).normal(size=(3, 5, 2))
    expected: list[Floats] = [apply_affine(m, p) for m, p in zip(matrices, points, strict=True)]
    assert np.allclose(apply_affine(matrices, points), expected)


def test_identity_warp_returns_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert np.array_equal(warp(image, np.eye(3)[:2], 32), image)


def test_warp_samples_at_pixel_centres() -> None:
    crop = warp(gradient(100, 100), np.array([[0.5, 0, 20], [0, 0.5, 30]]), 64)
    assert crop[10, 40].tolist() == [40, 35, 0]


def test_warp_is_black_outside() -> None:
    white = np.full((10, 10, 3), 255, np.uint8)
    crop = warp(white, np.array([[1.0, 0, -5], [0, 1.0, -5]]), 20)
    inside = np.zeros((20, 20), bool)
    inside[5:15, 5:15] = True
    assert np.array_equal(crop[..., 0] == 255, inside)
    assert np.all(crop[~inside] == 0)


def test_shrinking_averages_instead_of_aliasing() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = warp(stripes, crop_matrix(Box(0, 0, 256, 256), CropRule((1.0, 1.0), True), 64), 64)
    assert np.all(np.abs(crop[2:-2, 2:-2].astype(int) - 127.5) <= 1)


def test_shrinking_keeps_the_geometry() -> None:
    matrix = np.array([[3.0, 0, 12], [0, 3.0, 21]])
    crop = warp(gradient(240, 240), matrix, 64)
    assert np.allclose(crop[20, 10, :2], [12 + 30, 21 + 60], atol=1)


@pytest.mark.parametrize("corner", [(37.0, 51.0), (-80.0, -33.0), (390.0, 300.0), (2000.0, 2000.0)])
def test_shrinking_reads_only_what_the_crop_needs(corner: tuple[float, float]) -> None:
    """A crop of a part of the image equals that of the whole image, averaged everywhere.

    Of blocks of 5 x 5, four pixels are averaged, no two in one row or column.
    """
    image = np.random.default_rng(0).integers(0, 256, (400, 505, 3), np.uint8)
    turn = np.array([[4.9, -1.1], [1.1, 4.9]])
    matrix = np.column_stack([turn, np.array(corner)])
    samples = [image[y::5, x::5] for x, y in ((0, 1), (1, 4), (3, 0), (4, 3))]
    whole = ((np.sum(samples, axis=0) + 2) // 4).astype(np.uint8)
    shifted = np.column_stack([turn, np.array(corner) + 0.5]) / 5
    shifted[:, 2] -= 0.5
    crop, expected = warp(image, matrix, 48), warp(whole, shifted, 48)
    assert np.abs(crop.astype(int) - expected.astype(int)).max() <= 1


def test_flip_points_twice_is_the_identity() -> None:
    markup = get_markup("68")
    points = np.random.default_rng(0).uniform(0, 99, (68, 2))
    flipped = flip_points(points, 100, markup)
    assert np.allclose(flip_points(flipped, 100, markup), points)
    assert np.allclose(flipped[36], [99 - points[45, 0], points[45, 1]])
