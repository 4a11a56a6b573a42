"""What a markup knows of faces that nobody labelled, beside SciPy's Procrustes analysis."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import procrustes

from landmint.runtime.markup import get_markup
from landmint.train.faces.pose import POSE_MODEL
from landmint.train.faces.posture import exchanged_pairs, expected_shape, posture

MARKUPS = ("19", "29", "68", "98", "106")


def _heads(markup: str, count: int = 30) -> NDArray[np.float64]:
    """Turned heads (N, L, 2), of which only the pose points stand where they belong."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (count, get_markup(markup).points, 2))
    for shape, yaw in zip(points, rng.uniform(-0.9, 0.9, count), strict=True):
        turn = np.array([[np.cos(yaw), 0], [0, 1], [np.sin(yaw), 0]])
        roll = rng.uniform(-0.4, 0.4)
        lean = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        posed = POSE_MODEL @ turn @ lean + rng.normal(0, 2, (14, 2))
        shape[list(get_markup(markup).pose_points)] = posed * rng.uniform(0.3, 3) + 200
    return points


@pytest.mark.parametrize("name", MARKUPS)
def test_heads_are_heads_however_they_are_turned(name: str) -> None:
    markup = get_markup(name)
    points = _heads(name)
    held = posture(points, markup)
    assert not held.is_mirrored.any() and not held.is_no_face.any()
    assert np.abs(held.roll_deg).max() < 40
    renamed = posture(points[:, list(markup.flip)], markup)
    flipped = posture(points * (-1, 1), markup)
    for exchanged in (renamed, flipped):
        assert exchanged.is_mirrored.all() and not exchanged.is_no_face.any()
    assert not posture(points[:, list(markup.flip)] * (-1, 1), markup).is_mirrored.any()
    below = posture(points * (1, -1), markup)
    assert below.is_mirrored.all() and np.abs(below.roll_deg).min() > 140


def test_the_fit_is_that_of_procrustes() -> None:
    markup = get_markup("68")
    points = np.concatenate([_heads("68"), np.random.default_rng(1).uniform(0, 9, (30, 68, 2))])
    held = posture(points, markup)
    posed = points[:, list(markup.pose_points)]
    others = [procrustes(POSE_MODEL[:, :2], shape)[2] for shape in posed]
    assert np.minimum(held.plain, held.mirrored) == pytest.approx(others)
    assert held.is_no_face[30:].mean() > 0.9


def test_missing_landmarks_tell_nothing() -> None:
    points = _heads("68", 1)
    points[0, 36] = np.nan
    held = posture(points, get_markup("68"))
    assert np.isnan(held.plain).all() and not held.is_mirrored.any() and not held.is_no_face.any()


@pytest.mark.parametrize("name", ["68", "98"])
def test_an_expected_face_is_symmetric_and_in_the_markups_order(name: str) -> None:
    markup = get_markup(name)
    face = expected_shape(markup)
    assert face is not None
    assert face[list(markup.flip)] == pytest.approx(face * (-1, 1))
    held = posture(face[None], markup)
    assert held.plain[0] < 0.05 and abs(held.roll_deg[0]) < 1


@pytest.mark.parametrize("name", MARKUPS)
def test_pairs_are_exchanged_where_their_names_are(name: str) -> None:
    markup = get_markup(name)
    points: Any = _heads(name)
    expected = expected_shape(markup)
    if expected is not None:
        points = points[:5] * 0 + expected * 100
    assert not any(exchanged_pairs(points, markup))
    wrong = list(range(markup.points))
    posed = markup.pose_points
    for i, j in ((1, 2), (5, 6), (8, 9)):
        wrong[posed[i]], wrong[posed[j]] = posed[j], posed[i]
    named = {tuple(sorted(pair)) for pair in exchanged_pairs(points[:, wrong], markup)[0]}
    assert named == {tuple(sorted((posed[i], posed[j]))) for i, j in ((1, 2), (5, 6), (8, 9))}
