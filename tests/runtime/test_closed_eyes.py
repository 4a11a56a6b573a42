"""Closed eyes are told by the labels; their error is that of the eye landmarks alone."""

import math

import numpy as np
import pytest

from landmint.runtime.accuracy import Truth
from landmint.runtime.closed_eyes import CLOSED_BELOW, closed_eye_error, eye_aspect
from landmint.runtime.markup import get_markup

MARKUP = get_markup("68")


def faces(openings: tuple[float, ...], persons: str) -> Truth:
    """Faces with eyes 40 px wide and so many px high, 160 px from outer corner to outer corner."""
    points = np.random.default_rng(0).uniform(100, 180, (len(openings), 68, 2))
    for place, opening in enumerate(openings):
        x = np.array([0, 13, 27, 40, 27, 13])
        y = np.array([0, -1, -1, 0, 1, 1]) * opening / 2
        points[place, 36:42] = np.stack([x, y], axis=1)
        points[place, 42:48] = np.stack([160 - x, y], axis=1)[[3, 2, 1, 0, 5, 4]]
    names = tuple(f"f{place}" for place in range(len(openings)))
    boxes = np.tile([0.0, 0, 180, 180], (len(openings), 1))
    return Truth("68", names, tuple(persons), points, boxes)


def test_the_aspect_is_that_of_the_paper() -> None:
    """Equation 1 of Soukupova and Cech: (|p2 p6| + |p3 p5|) / (2 |p1 p4|), on random eyes."""
    points = np.random.default_rng(1).uniform(0, 100, (5, 68, 2))
    aspects = eye_aspect(points, MARKUP)
    for face, aspect in zip(points, aspects, strict=True):
        both = []
        for first in (36, 42):
            p1, p2, p3, p4, p5, p6 = face[first : first + 6]
            both.append((math.dist(p2, p6) + math.dist(p3, p5)) / (2 * math.dist(p1, p4)))
        assert aspect == pytest.approx(sum(both) / 2)


@pytest.mark.parametrize("markup", ["68", "98", "29", "106"])
def test_every_markup_with_lids_tells_a_shut_eye(markup: str) -> None:
    scheme = get_markup(markup)
    points = np.zeros((1, scheme.points, 2))
    points[0, :, 0] = np.arange(scheme.points)  # all on one line, yet lids apart along it
    for ring, _ in scheme.contours:
        half = len(ring) // 2
        if set(ring) <= set(scheme.regions["eyes"]):
            along = [*range(half + 1), *range(half - 1, 0, -1)]
            points[0, list(ring), 0] = along
    assert eye_aspect(points, scheme) == pytest.approx([0.0])


def test_a_markup_without_lids_has_no_closed_eyes() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (2, 19, 2))
    assert np.all(np.isinf(eye_aspect(points, get_markup("19"))))
    truth = Truth("19", ("a", "b"), ("a", "b"), points, np.tile([0.0, 0, 50, 50], (2, 1)))
    assert closed_eye_error(points, truth) is None


def test_the_error_is_of_the_eyes_of_closed_faces_alone() -> None:
    truth = faces((2.0, 4.0, 6.0, 14.0), "abcd")
    predicted = truth.points + np.array([0.0, 8.0])
    predicted[:, :36] += 50  # no eye landmarks
    predicted[3] += 500  # its eyes are open
    interval = closed_eye_error(predicted, truth)
    assert interval is not None
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.05,) * 3)


def test_faces_with_open_eyes_tell_nothing() -> None:
    assert closed_eye_error(faces((12.0,), "a").points, faces((12.0,), "a")) is None
    assert 2 / 40 < CLOSED_BELOW < 12 / 40
