"""Markups are consistent with themselves."""

import pytest

from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import MARKUPS, Markup, get_markup


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


def test_unknown_markup_names_the_choices() -> None:
    with pytest.raises(LandmintError, match=r"unknown markup '67'[\s\S]*choices: 68, 98"):
        get_markup("67")
