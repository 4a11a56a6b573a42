"""Augmentation: landmarks follow the pixels exactly, whatever is drawn."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from landmint.runtime.contract import CropRule
from landmint.runtime.crop import Box, apply_affine, crop_matrix, flip_points, invert_affine
from landmint.runtime.markup import get_markup
from landmint.train.faces.augment import AugmentConfig, augment, disturb, draw_matrix

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

MARKUP = get_markup("68")
BOX = Box(60.0, 50.0, 90.0, 110.0)
RULES = (
    CropRule((1.25, 1.25), True),
    CropRule((1.1, 1.1), False),
    CropRule((1.1, 1.1), False, shift=(0.15, -0.1)),
    CropRule((0.8, 1.6), False, shift=(0.0, 0.1)),
    CropRule((1.7, 0.9), False),
    CropRule((1.25, 1.25), True, shift=(-0.1, 0.3)),
)
GEOMETRY = AugmentConfig(
    occlude_probability=0, blur_probability=0, gray_probability=0, colour_probability=0,
    jpeg_probability=0,
)  # fmt: skip
STILL = GEOMETRY.model_copy(
    update={
        "scale": (1.0, 1.0), "shift": 0.0, "stretch": 0.0, "rotate_probability": 0.0,
        "flip_probability": 0.0,
    }
)  # fmt: skip


def face_points() -> Floats:
    """68 points in the box."""
    rng = np.random.default_rng(3)
    return np.array([BOX.x, BOX.y]) + rng.uniform(0.1, 0.9, (68, 2)) * [BOX.w, BOX.h]


def dot(x: float, y: float) -> Image:
    """A black image with a soft dot at a place between pixels."""
    rows, columns = np.mgrid[:220, :210]
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
    return np.repeat(np.rint(spot).astype(np.uint8)[..., None], 3, axis=2)


def centre_of(crop: Image) -> Floats:
    """Where the dot of a crop is."""
    weight = crop[..., 0].astype(np.float64)
    rows, columns = np.mgrid[: crop.shape[0], : crop.shape[1]]
    centre: Floats = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    return centre


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_dots_are_found_where_the_points_say(rule: CropRule, flip: float) -> None:
    config, points = GEOMETRY.model_copy(update={"flip_probability": flip}), face_points()
    for seed, landmark in enumerate((0, 8, 17, 30, 36, 48, 62)):
        # What is the subject's left eye becomes, mirrored, the picture of a right eye.
        name = MARKUP.flip[landmark] if flip else landmark
        rng = np.random.default_rng(seed)
        crop, moved = augment(dot(*points[landmark]), points, BOX, rule, 96, MARKUP, config, rng)
        if np.all(np.abs(moved[name] - 47.5) < 36):
            assert centre_of(crop) == pytest.approx(moved[name], abs=0.1)


def test_without_variation_it_is_the_devices_crop() -> None:
    points = face_points()
    for rule in RULES:
        rng = np.random.default_rng(0)
        _, moved = augment(dot(90, 90), points, BOX, rule, 96, MARKUP, STILL, rng)
        device = apply_affine(invert_affine(crop_matrix(BOX, rule, 96)), points)
        assert moved == pytest.approx(device)


def test_a_mirrored_face_is_cropped_as_the_device_would_crop_it() -> None:
    """A rule that looks to the right of the box looks to the right of a mirrored box as well."""
    config, points = STILL.model_copy(update={"flip_probability": 1.0}), face_points()
    rule, width = CropRule((1.2, 1.2), False, shift=(0.2, 0.1)), 210
    rng = np.random.default_rng(0)
    _, moved = augment(dot(90, 90), points, BOX, rule, 96, MARKUP, config, rng)
    mirrored_box = Box(width - BOX.x - BOX.w, BOX.y, BOX.w, BOX.h)
    matrix = invert_affine(crop_matrix(mirrored_box, rule, 96))
    mirrored = points[list(MARKUP.flip)] * (-1, 1) + (width, 0)
    assert moved == pytest.approx(apply_affine(matrix, mirrored))


def test_flip_is_the_runtimes() -> None:
    config, points = STILL.model_copy(update={"flip_probability": 1.0}), face_points()
    rule, rng = RULES[0], np.random.default_rng(0)
    _, moved = augment(dot(90, 90), points, BOX, rule, 96, MARKUP, config, rng)
    device = apply_affine(invert_affine(crop_matrix(BOX, rule, 96)), points)
    assert moved == pytest.approx(flip_points(device, 96, MARKUP))


@pytest.mark.parametrize("rule", RULES)
def test_every_crop_lies_within_reach_and_is_no_finer_than_said(rule: CropRule) -> None:
    config = AugmentConfig(rotate_degrees=45)
    half = config.reach_px(BOX, rule) / 2
    centre = np.array([BOX.x + BOX.w / 2, BOX.y + BOX.h / 2])
    corners = np.array([[0, 0], [95, 0], [0, 95], [95, 95]], dtype=np.float64)
    steps = []
    for seed in range(300):
        matrix, _ = draw_matrix(BOX, rule, 96, config, np.random.default_rng(seed))
        assert np.all(np.abs(apply_affine(matrix, corners) - centre) <= half)
        steps.append(np.linalg.svd(matrix[:, :2], compute_uv=False).min())
    assert min(steps) >= config.finest_step(BOX, rule, 96)


def test_the_turn_is_rigid_in_the_image() -> None:
    config = STILL.model_copy(update={"rotate_probability": 1.0, "rotate_degrees": 30.0})
    matrix, _ = draw_matrix(BOX, RULES[1], 96, config, np.random.default_rng(0))
    straight = crop_matrix(BOX, RULES[1], 96)[:, :2]
    turn = matrix[:, :2] @ np.linalg.inv(straight)
    assert turn @ turn.T == pytest.approx(np.eye(2))
    assert abs(np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))) <= 30


def test_equal_seeds_draw_equal_crops() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    first, second, other = (
        augment(
            image, face_points(), BOX, RULES[0], 64, MARKUP, AugmentConfig(),
            np.random.default_rng(seed),
        )
        for seed in (5, 5, 6)
    )  # fmt: skip
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("kind", ["occlude", "blur", "gray", "colour", "jpeg"])
def test_each_disturbance_changes_pixels_of_a_copy(kind: str) -> None:
    config = STILL.model_copy(update={f"{kind}_probability": 1.0})
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    before = crop.copy()
    after = disturb(crop, config, np.random.default_rng(1))
    assert np.array_equal(crop, before)
    assert after.shape == crop.shape and after.dtype == np.uint8
    assert not np.array_equal(after, crop)
    if kind == "gray":
        assert np.ptp(after.astype(int), axis=2).max() <= 1
    if kind == "occlude":
        assert 0 < np.mean(np.any(after != crop, axis=2)) < 0.4**2 * 2


def test_no_disturbance_leaves_the_crop() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(disturb(crop, STILL, np.random.default_rng(0)), crop)


@pytest.mark.parametrize(
    "settings", [{"scale": (1.2, 0.8)}, {"jpeg_quality": (0, 50)}, {"shift": 1.5}, {"zoom": 2}]
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AugmentConfig.model_validate(settings)
