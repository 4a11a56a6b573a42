"""The pose of a head against OpenCV's solvePnP, and the box about it."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from landmint.runtime.head_pose import HEAD_BOX, Pose, fit_pose

FOCAL, CENTRE = 500.0, np.array([64.0, 60.0])
CAMERA = np.array([[FOCAL, 0, CENTRE[0]], [0, FOCAL, CENTRE[1]], [0, 0, 1]])


def _poses(count: int) -> list[Pose]:
    rng = np.random.default_rng(0)
    turns = rng.uniform([-0.5, -1.0, -0.6], [0.5, 1.0, 0.6], (count, 3))
    return [
        Pose(cv2.Rodrigues(turn)[0], np.array([*rng.uniform(-80, 80, 2), rng.uniform(700, 1500)]))
        for turn in turns
    ]


@pytest.mark.parametrize("pose", _poses(20))
def test_points_lie_where_opencv_puts_them_and_give_the_pose_back(pose: Pose) -> None:
    seen, _ = cv2.projectPoints(
        HEAD_BOX, cv2.Rodrigues(pose.rotation)[0], pose.translation, CAMERA, None
    )
    points = pose.project(HEAD_BOX, FOCAL, CENTRE)
    np.testing.assert_allclose(points, seen[:, 0], atol=1e-6)
    fitted = fit_pose(HEAD_BOX, points, FOCAL, CENTRE)
    np.testing.assert_allclose(fitted.rotation, pose.rotation, atol=1e-5)
    np.testing.assert_allclose(fitted.translation, pose.translation, rtol=1e-4, atol=1e-2)


def _misses(pose: Pose, points: NDArray[np.float64]) -> float:
    apart = pose.project(HEAD_BOX, FOCAL, CENTRE) - points
    return float(np.sqrt(np.mean(apart**2)))


def test_noisy_points_are_met_about_as_well_as_by_solvepnp() -> None:
    rng = np.random.default_rng(1)
    for pose in _poses(20):
        points = pose.project(HEAD_BOX, FOCAL, CENTRE) + rng.normal(0, 1.0, (9, 2))
        _, turn, shift = cv2.solvePnP(HEAD_BOX, points, CAMERA, None)
        best = Pose(cv2.Rodrigues(turn)[0].astype(np.float64), shift[:, 0].astype(np.float64))
        fitted = fit_pose(HEAD_BOX, points, FOCAL, CENTRE)
        assert _misses(fitted, points) < 1.2 * _misses(best, points)
        assert np.linalg.det(fitted.rotation) == pytest.approx(1)
        away = cv2.Rodrigues(fitted.rotation @ best.rotation.T)[0]
        assert np.linalg.norm(away) < np.radians(5)


def test_the_centre_is_that_of_the_corners_and_the_box_is_its_own_mirror() -> None:
    np.testing.assert_allclose(HEAD_BOX[8], HEAD_BOX[:8].mean(axis=0))
    flip = [1, 0, 3, 2, 5, 4, 7, 6, 8]
    np.testing.assert_allclose(HEAD_BOX[flip], HEAD_BOX * (-1, 1, 1))
