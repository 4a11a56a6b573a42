"""Trembling: what moves from frame to frame beside the labels, over neighbouring frames only."""

import numpy as np
import pytest

from landmint.runtime.accuracy import Truth
from landmint.runtime.errors import LandmintError
from landmint.runtime.jitter import jitter, neighbouring_frames, temporal_jitter


def frames(names: tuple[str, ...], persons: tuple[str, ...] | None = None) -> Truth:
    """Labelled faces, all with 100 px between the outer eye corners."""
    points = np.random.default_rng(0).uniform(20, 180, (len(names), 68, 2))
    points[:, 36], points[:, 45] = (60, 80), (160, 80)
    boxes = np.tile([20.0, 20.0, 150.0, 150.0], (len(names), 1))
    return Truth("68", names, persons or ("anna",) * len(names), points, boxes)


def test_only_what_changes_from_frame_to_frame_is_jitter() -> None:
    truth = frames(tuple(map(str, range(6)))).points
    sizes = np.full(6, 100.0)
    assert temporal_jitter(truth + 5, truth, sizes) == pytest.approx(0)
    shaken = truth + np.array([3.0, 4.0]) * (np.arange(6) % 2)[:, None, None]
    assert temporal_jitter(shaken, truth, sizes) == pytest.approx(0.05)
    with pytest.raises(LandmintError, match="two frames or more"):
        temporal_jitter(truth[:1], truth[:1], sizes[:1])


@pytest.mark.parametrize(
    ("names", "persons", "pairs"),
    [
        (("a/7", "a/8", "a/9"), "xxx", {(0, 1), (1, 2)}),
        (("a/9", "a/8", "a/7"), "xxx", {(1, 0), (2, 1)}),  # the order of the list is no time
        (("a/09", "a/10"), "xx", {(0, 1)}),
        (("Anna_10", "Anna_11", "Anna_11_b", "Anna_13"), "xxxx", {(0, 1)}),
        (("clip1/7", "clip2/8"), "xx", set()),
        (("7", "8"), "xy", set()),
        (("7#1", "7#2", "8#2"), "xxx", {(1, 2)}),  # the second face of the image alone
        (("anna", "berta"), "xx", set()),
    ],
)
def test_neighbours_differ_in_their_last_number_by_one(
    names: tuple[str, ...], persons: str, pairs: set[tuple[int, int]]
) -> None:
    earlier, later = neighbouring_frames(names, tuple(persons))
    assert set(zip(earlier.tolist(), later.tolist(), strict=True)) == pairs


def test_the_jitter_of_one_clip_is_that_of_the_video() -> None:
    truth = frames(tuple(f"clip/{i:03}" for i in range(8)))
    predicted = truth.points + np.random.default_rng(1).normal(0, 2, truth.points.shape)
    interval = jitter(predicted, truth)
    expected = temporal_jitter(predicted, truth.points, np.full(8, 100.0))
    assert interval is not None and interval.estimate == pytest.approx(expected)
    assert interval.is_unbounded, "one person tells nothing of others"


def test_the_interval_is_over_persons() -> None:
    names = tuple(f"{person}/{i}" for person in "abcd" for i in range(3))
    truth = frames(names, tuple(name[0] for name in names))
    predicted = truth.points.copy()
    predicted[1::3] += np.array([3.0, 4.0])
    interval = jitter(predicted, truth)
    assert interval is not None
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.05,) * 3)


def test_without_neighbours_there_is_no_jitter() -> None:
    truth = frames(("a/1", "b/2", "c/5"))
    assert jitter(truth.points, truth) is None


def test_a_landmark_that_is_not_finite_trembles_without_end() -> None:
    truth = frames(("a/1", "a/2", "b/1", "b/2", "c/1", "c/2"), tuple("aabbcc"))
    predicted = truth.points.copy()
    predicted[1, 0, 0] = np.nan
    interval = jitter(predicted, truth)
    assert interval is not None and interval.estimate == np.inf


def test_a_landmark_that_a_frame_lacks_is_not_counted() -> None:
    truth = frames(tuple(map(str, range(3))))
    predicted = truth.points + np.array([3.0, 4.0]) * np.array([0, 1, 0])[:, None, None]
    predicted[1, 7] += 1000
    truth.points[0, 7] = truth.points[2, 7] = np.nan
    moved = jitter(predicted, truth)
    assert moved is not None and moved.estimate == pytest.approx(0.05)
    truth.points[1, [0, 1]] = np.nan
    predicted[1, 2] = np.nan
    failed = jitter(predicted, truth)
    assert failed is not None and np.isinf(failed.estimate)
