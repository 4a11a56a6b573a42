"""Markups are consistent with themselves, and with real faces."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import MARKUPS, Markup, get_markup

RealFaces = Callable[[str | Path], Path]
SAMPLE_OF = {"68": "300w", "98": "wflw", "29": "cofw", "19": "aflw", "106": "lapa"}


@pytest.mark.parametrize("markup", MARKUPS.values(), ids=MARKUPS)
def test_flip_is_an_involution_that_keeps_regions_apart(markup: Markup) -> None:
    assert [markup.flip[i] for i in markup.flip] == list(range(markup.points))
    for indices in markup.regions.values():
        assert {markup.flip[i] for i in indices} == set(indices)


@pytest.mark.parametrize("markup", MARKUPS.values(), ids=MARKUPS)
def test_flip_swaps_eyes_and_keeps_contours(markup: Markup) -> None:
    left, right = markup.eye_corners
    assert markup.flip[left] == right
    assert {markup.flip[i] for i in markup.pupils[0]} == set(markup.pupils[1])
    contours = {frozenset(indices) for indices, _ in markup.contours}
    assert {frozenset(markup.flip[i] for i in indices) for indices in contours} == contours


@pytest.mark.parametrize("markup", MARKUPS.values(), ids=MARKUPS)
def test_regions_hold_every_landmark_once(markup: Markup) -> None:
    members = [i for indices in markup.regions.values() for i in indices]
    assert sorted(members) == list(range(markup.points))


@pytest.mark.parametrize("markup", MARKUPS.values(), ids=MARKUPS)
def test_pose_points_are_fourteen_and_symmetric(markup: Markup) -> None:
    assert len(set(markup.pose_points)) == 14
    assert {markup.flip[i] for i in markup.pose_points} == set(markup.pose_points)


def test_flip_map_of_68_and_98_as_published() -> None:
    flip_68, flip_98 = get_markup("68").flip, get_markup("98").flip
    assert [flip_68[i] for i in (0, 17, 21, 31, 36, 39, 48, 55, 60, 65, 30, 8)] == [
        *(16, 26, 22, 35, 45, 42, 54, 59, 64, 67, 30, 8)
    ]
    assert [flip_98[i] for i in (0, 33, 37, 38, 41, 55, 60, 65, 76, 83, 88, 93, 96, 51, 16)] == [
        *(32, 46, 42, 50, 47, 59, 72, 75, 82, 87, 92, 95, 97, 51, 16)
    ]


def test_flip_map_of_29_19_and_106_as_published() -> None:
    flip_29, flip_19, flip_106 = (get_markup(name).flip for name in ("29", "19", "106"))
    assert [flip_29[i] for i in (0, 2, 4, 5, 8, 10, 12, 13, 16, 18, 20, 22, 24, 28)] == [
        *(1, 3, 6, 7, 9, 11, 14, 15, 17, 19, 20, 23, 24, 28)
    ]
    assert [flip_19[i] for i in (0, 1, 2, 6, 7, 8, 12, 13, 15, 16, 18)] == [
        *(5, 4, 3, 11, 10, 9, 14, 13, 17, 16, 18)
    ]
    assert [flip_106[i] for i in (0, 16, 33, 37, 38, 41, 54, 55, 59, 60, 66, 70, 71, 73, 74)] == [
        *(32, 16, 46, 42, 50, 47, 54, 65, 61, 60, 79, 75, 82, 80, 83)
    ]
    assert [flip_106[i] for i in (84, 87, 91, 93, 96, 98, 101, 102, 104)] == [
        *(90, 87, 95, 93, 100, 98, 103, 102, 105)
    ]


def test_every_markup_has_a_sample() -> None:
    assert set(SAMPLE_OF) == set(MARKUPS)


def samples_of(markup: Markup, samples: Path) -> Iterator[NDArray[np.float64]]:
    """Landmarks (L, 2) of each real face that is annotated by a markup."""
    folder = SAMPLE_OF[markup.name]
    about = json.loads((samples / folder / f"test_{folder}.json").read_text())
    for annotation in about["annotations"]:
        yield np.array(annotation["keypoints"]).reshape(markup.points, 3)[:, :2]


def off_symmetry(points: NDArray[np.float64], flip: NDArray[np.int_]) -> NDArray[np.float64]:
    """How far each landmark is from a symmetric shape in perspective, over the face's width.

    A symmetric solid and its mirror image are two views of one shape, so their coordinates have
    rank 3 beneath an affine camera (Tomasi and Kanade, 1992), whatever the head's pose.
    """
    centred = points - points.mean(axis=0)
    views = np.concatenate([centred, centred[flip] * (-1, 1)], axis=1)
    left, sizes, right = np.linalg.svd(views, full_matrices=False)
    rest = views - (left[:, :3] * sizes[:3]) @ right[:3]
    return np.asarray(np.linalg.norm(rest, axis=1) / np.ptp(points[:, 0]))


@pytest.mark.parametrize("name", SAMPLE_OF)
def test_real_faces_are_symmetric_under_the_flip_map(name: str, real_faces: RealFaces) -> None:
    markup = get_markup(name)
    for points in samples_of(markup, real_faces("samples")):
        own = off_symmetry(points, np.array(markup.flip))
        assert own.mean() < 0.02 and own.max() < 0.06
        wrong = off_symmetry(points, np.roll(markup.flip, 1))
        assert wrong.max() > 0.1, "the check tells a wrong map from the right one"


@pytest.mark.parametrize("name", SAMPLE_OF)
def test_parts_lie_where_a_face_has_them(name: str, real_faces: RealFaces) -> None:
    markup = get_markup(name)
    for points in samples_of(markup, real_faces("samples")):
        left, right = (points[list(eye)].mean(axis=0) for eye in markup.pupils)
        across = right - left
        down = np.array([-across[1], across[0]])

        heights = (points - left) @ down / (down @ down)
        parts = [markup.regions[part] for part in ("brows", "eyes", "nose", "mouth")]
        means = [heights[list(indices)].mean() for indices in parts]
        assert means == sorted(means)
        assert heights[markup.pose_points[-1]] > means[-1], "the chin is lowest"
        corners = (points[list(markup.eye_corners)] - left) @ across / (across @ across)
        assert corners[0] < 0 and corners[1] > 1, "the pupils lie between the outer corners"


def test_unknown_markup_names_the_choices() -> None:
    with pytest.raises(
        LandmintError, match=r"unknown markup '67'[\s\S]*choices: 68, 98, 29, 19, 106"
    ):
        get_markup("67")
