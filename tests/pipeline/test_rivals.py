"""The benchmarks beside other people's models: which points are compared, and how."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from landmint.runtime.crop import Box, apply_affine, invert_affine
from landmint.runtime.markup import get_markup
from landmint.runtime.markup_file import read_markup
from tests.scripts import benchmark

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def foreign() -> ModuleType:
    return benchmark("foreign")


@pytest.fixture(scope="module")
def rivals(foreign: ModuleType) -> ModuleType:
    return benchmark("rivals")


@pytest.fixture(scope="module")
def predict(rivals: ModuleType) -> ModuleType:
    return benchmark("predict")


def test_vertices_of_the_mesh_mirror_as_their_landmarks_do(foreign: ModuleType) -> None:
    mesh, flip = read_markup(foreign.CONTRACTS / "mesh468.toml"), get_markup("68").flip
    vertex = dict(zip(range(17, 68), foreign.INNER, strict=True))
    assert len(set(vertex.values())) == 51
    for landmark in vertex:
        assert mesh.flip[vertex[landmark]] == vertex[flip[landmark]], landmark
    assert mesh.eye_corners == (vertex[36], vertex[45]) == foreign.EYES


def test_the_five_points_mirror_as_their_landmarks_do(
    foreign: ModuleType, rivals: ModuleType
) -> None:
    five, flip = read_markup(foreign.CONTRACTS / "five.toml"), get_markup("68").flip
    groups = [set(group) for group in rivals.SCHEMES["5"]]
    for i, group in enumerate(groups):
        assert {flip[landmark] for landmark in group} == groups[five.flip[i]]


def test_offsets_are_those_of_a_case_by_hand(rivals: ModuleType) -> None:
    """Eyes 10 px apart, level in one face and upright in the other; the third point lies lower."""
    predicted = np.array([[[0.0, 0], [10, 0], [5, 5]], [[0, 0], [0, 20], [-10, 10]]])
    # A tenth of the distance to the face's right and a fifth down; in the second face, whose right
    # eye is below its left one, right is down and down is left.
    truth = predicted + np.array([[[1.0, 2]], [[-4, 2]]])
    off = rivals.offsets(predicted, truth, (0, 1))
    np.testing.assert_allclose(off, [0.1 + 0.2j] * 3, atol=1e-12)
    np.testing.assert_allclose(rivals.freed(predicted, off, (0, 1)), truth, atol=1e-12)


def test_one_lost_face_of_three_moves_no_offset(rivals: ModuleType) -> None:
    predicted = np.tile([[0.0, 0], [10, 0]], (3, 1, 1))
    truth = predicted + (1, 0)
    truth[2] += 500
    np.testing.assert_allclose(rivals.offsets(predicted, truth, (0, 1)), [0.1, 0.1], atol=1e-12)


def test_points_of_a_scheme_are_means_of_landmarks(rivals: ModuleType) -> None:
    points = np.stack([np.arange(68.0), np.arange(68.0) ** 2], axis=-1)[None]
    inner = rivals.reduced(points, "68", "51")
    np.testing.assert_allclose(inner, points[:, 17:])
    expected = [38.5, 44.5, 30, 48, 54]
    np.testing.assert_allclose(rivals.reduced(points, "68", "5")[0, :, 0], expected)
    np.testing.assert_allclose(rivals.reduced(inner, "51", "5")[0, :, 0], expected)


def test_errors_with_and_without_offsets(rivals: ModuleType) -> None:
    rng = np.random.default_rng(0)
    face = rng.uniform(0, 100, (68, 2))
    face[36:42], face[42:48] = (20, 50), (60, 50)
    points = face + rng.uniform(0, 50, (4, 1, 2))
    images = (np.zeros((4, 4, 3), np.uint8),) * 4
    faces = rivals.Seen(images, (Box(0, 0, 100, 100),) * 4, points)
    off = points + (0.4, 0)  # a hundredth of the distance between the eyes
    assert rivals.scheme_errors(off, off, faces, faces, "68") == (0, ["1.00 (0.00)"] * 3)
    five = rivals.reduced(off, "68", "5")
    lost = five.copy()
    lost[1] = np.nan
    assert rivals.scheme_errors(five, lost, faces, faces, "5") == (1, ["–", "–", "1.00 (0.00)"])


def test_a_level_crop_sets_the_eyes_level_and_holds_the_face(foreign: ModuleType) -> None:
    upright = np.array([[-10.0, 0], [10, 0], [0, 30], [0, -10]])
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    face = upright @ turn + (70, 90)
    inside = apply_affine(invert_affine(foreign.level_crop(face, (0, 1), scale=1.5, size=60)), face)
    # The face is 40 px high, so the crop 60 px wide: a pixel of it is one of the picture.
    np.testing.assert_allclose(inside, upright + (29.5, 19.5), atol=1e-9)


def test_a_box_is_placed_around_the_middle(rivals: ModuleType) -> None:
    assert rivals.Placing(1.5, -0.1)(Box(10, 20, 40, 60)) == pytest.approx((-15, -1, 90, 90))


def test_a_still_face_moves_with_its_landmarks(rivals: ModuleType) -> None:
    image = np.full((80, 80, 3), 20, np.uint8)
    image[40:, 30:] = 200
    points = np.tile([29.5, 39.5], (1, 68, 1))
    faces = rivals.Seen((image,), (Box(10, 20, 60, 50),), points)
    frames = rivals.still_frames(faces, 0)
    again = rivals.still_frames(faces, 0)
    assert len(frames.images) == rivals.FRAMES
    for frame, same, ((x, y), *_) in zip(frames.images, again.images, frames.points, strict=True):
        assert np.array_equal(frame, same)
        row = frame[70, :, 0].astype(float)
        # Where the row crosses the middle of dark and bright, by straight lines between pixels.
        first = int(np.argmax(row > 110))
        edge = first - (row[first] - 110) / (row[first] - row[first - 1])
        assert edge == pytest.approx(x, abs=0.1) and abs(y - 39.5) <= 1.2


def test_ratios_are_of_the_same_round(rivals: ModuleType) -> None:
    base = np.random.default_rng(0).uniform(1, 9, 200)
    ratio = rivals.block_ratio(list(2 * base), list(base))
    assert (ratio.low, ratio.estimate, ratio.high) == pytest.approx((2, 2, 2))


def test_a_picture_is_resized_with_its_box(predict: ModuleType) -> None:
    image = np.zeros((40, 30, 3), np.uint8)
    picture, box = predict.resized(image, Box(9.5, 19.5, 10, 20), 60)
    assert picture.shape == (120, 90, 3)
    assert box == pytest.approx((29.5, 59.5, 30, 60))


def test_tables_name_the_times_and_what_they_are_over(predict: ModuleType) -> None:
    times = {"ours": [1.0, 2.0, 4.0] * 20, "theirs": [3.0, 6.0, 12.0] * 20}
    ms, ratios = predict.tables({"60 px": times})
    assert "| ms a face | 60 px |" in ms and "| theirs | 6.00 |" in ms
    assert "| ours | 1.00 (1.00 to 1.00) |" in ratios
    assert "| theirs | 3.00 (3.00 to 3.00) |" in ratios
