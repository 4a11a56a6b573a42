"""The one-euro filter: steady at rest, not late in motion, equal at any scale."""

import numpy as np
import pytest

from landmint.runtime.errors import LandmintError
from landmint.runtime.smooth import FaceFilter, OneEuro, SmoothConfig

FPS, SIDE = 30.0, 100.0


def smooth(points: np.ndarray, config: SmoothConfig, side: float = SIDE) -> np.ndarray:
    face = FaceFilter(config)
    return np.array([face(frame, i / FPS, side) for i, frame in enumerate(points)])


def trembling(frames: int = 120) -> np.ndarray:
    return 50 + np.random.default_rng(0).normal(0, 1, (frames, 5, 2))


def test_a_still_face_trembles_less() -> None:
    raw = trembling()
    steady = smooth(raw, SmoothConfig())
    moved = [np.abs(np.diff(one[30:], axis=0)).mean() for one in (raw, steady)]
    assert moved[1] < moved[0] / 3


def test_a_moving_face_is_hardly_late() -> None:
    path = np.linspace(0, 400, 60)[:, None, None] + np.zeros((60, 5, 2))
    quick, slow = (smooth(path, SmoothConfig(centre_speed_gain=gain)) for gain in (60.0, 0.0))
    late = [np.abs(path - one)[-1].mean() for one in (quick, slow)]
    assert late[0] < 0.05 * SIDE < late[1]


def test_a_face_that_moves_as_a_whole_is_as_steady_as_a_still_one() -> None:
    """Landmarks that tremble on their own, while all of them move together."""
    path = 100 * np.sin(np.arange(120) / 10)[:, None, None]
    raw = np.random.default_rng(0).normal(0, 1, (120, 68, 2))
    still, moving = smooth(raw, SmoothConfig()), smooth(raw + path, SmoothConfig()) - path
    shaken = [
        np.abs(np.diff(shape - shape.mean(axis=1, keepdims=True), axis=0))
        for shape in (still, moving)
    ]
    assert shaken[1].mean() == pytest.approx(shaken[0].mean(), rel=0.01)
    assert np.abs(moving.mean(axis=1)).max() < 0.05 * SIDE


def test_scale_of_the_image_does_not_matter() -> None:
    raw = trembling(20)
    np.testing.assert_allclose(
        smooth(4 * raw, SmoothConfig(), 4 * SIDE), 4 * smooth(raw, SmoothConfig())
    )


def test_first_order_filter_as_published() -> None:
    """With no gain and no change of speed it is the exponential filter of its cutoff."""
    face = OneEuro(SmoothConfig(still_cutoff_hz=2.0), speed_gain=0.0)
    face(np.zeros((1, 2)), 0.0, SIDE)
    rise = 2 * np.pi * 2.0 * 0.1
    np.testing.assert_allclose(face(np.ones((1, 2)), 0.1, SIDE), rise / (rise + 1))


def test_a_lost_landmark_stays_where_it_was() -> None:
    face = FaceFilter(SmoothConfig())
    face(np.full((2, 2), 7.0), 0.0, SIDE)
    np.testing.assert_allclose(face(np.array([[np.nan, 7], [7, 7]]), 0.1, SIDE), 7.0)


def test_refuses_time_that_stands_and_filters_that_are_none() -> None:
    face = FaceFilter(SmoothConfig())
    face(np.zeros((1, 2)), 1.0, SIDE)
    with pytest.raises(LandmintError, match=r"a frame at 1\.0 s after one at 1\.0 s"):
        face(np.zeros((1, 2)), 1.0, SIDE)
    with pytest.raises(LandmintError, match="cutoffs > 0"):
        SmoothConfig(still_cutoff_hz=0)
