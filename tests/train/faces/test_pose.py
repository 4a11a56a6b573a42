"""Head pose: rotations that are known by construction come back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from landmint.runtime.markup import get_markup
from landmint.train.faces.pose import POSE_MODEL, euler_angles

Floats = NDArray[np.float64]


def rotation(pitch: float, yaw: float, roll: float) -> Floats:
    """Rz(roll) Ry(yaw) Rx(pitch)."""
    (cp, cy, cr), (sp, sy, sr) = np.cos([pitch, yaw, roll]), np.sin([pitch, yaw, roll])
    x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    turned: Floats = z @ y @ x
    return turned


def seen(angles: Floats, markup: str = "68") -> Floats:
    """Normalised landmarks of the model head, turned; those that pose ignores are zero."""
    turned = POSE_MODEL @ rotation(*angles).T + [0, -40, 900]
    points = np.zeros((get_markup(markup).points, 2))
    points[list(get_markup(markup).pose_points)] = 4 * turned[:, :2] / turned[:, 2:] + 0.5
    return points


@pytest.mark.parametrize("markup", ["68", "98"])
def test_known_rotations_come_back(markup: str) -> None:
    rng = np.random.default_rng(0)
    for angles in rng.uniform([-0.5, -1.3, -0.7], [0.5, 1.3, 0.7], (50, 3)):
        assert euler_angles(seen(angles, markup), get_markup(markup)) == pytest.approx(
            angles, abs=1e-3
        )


def test_rounded_landmarks_move_the_angles_little() -> None:
    rng = np.random.default_rng(1)
    errors = []
    for angles in rng.uniform(-0.6, 0.6, (100, 3)):
        noisy = seen(angles) + rng.normal(0, 0.004, (68, 2))
        errors.append(np.abs(euler_angles(noisy, get_markup("68")) - angles))
    assert np.mean(errors) < np.radians(1.5)


def test_the_mirrored_face_looks_the_other_way() -> None:
    markup, angles = get_markup("68"), np.array([0.2, 0.4, -0.1])
    points = seen(angles)[list(markup.flip)]
    points[:, 0] = 1 - points[:, 0]
    assert euler_angles(points, markup) == pytest.approx(angles * [1, -1, -1], abs=1e-3)


def test_signs_are_those_of_the_docstring() -> None:
    brows, eyes, wings, chin = slice(0, 4), slice(4, 8), slice(8, 10), 13
    clockwise = POSE_MODEL @ rotation(0, 0, 0.3).T
    assert clockwise[brows][3, 1] > clockwise[brows][0, 1]
    to_the_left = POSE_MODEL @ rotation(0, 0.3, 0).T
    assert to_the_left[wings, 0].mean() < to_the_left[eyes, 0].mean()
    chin_away = POSE_MODEL @ rotation(0.3, 0, 0).T
    assert chin_away[chin, 2] > POSE_MODEL[chin, 2]


def test_points_on_a_line_are_no_head() -> None:
    line = np.linspace(0, 1, 68)[:, None].repeat(2, axis=1)
    assert np.all(np.isfinite(euler_angles(line, get_markup("68"))))
    assert np.all(np.isfinite(euler_angles(np.full((68, 2), 0.5), get_markup("68"))))
    assert np.isnan(euler_angles(np.full((68, 2), np.nan), get_markup("68"))).all()


def test_the_model_has_fourteen_distinct_symmetric_points() -> None:
    assert POSE_MODEL.shape == (14, 3)
    assert len(np.unique(POSE_MODEL, axis=0)) == 14
    mirrored = POSE_MODEL * [-1, 1, 1]
    flip = get_markup("68").flip
    pose = get_markup("68").pose_points
    partner = [pose.index(flip[i]) for i in pose]
    assert np.array_equal(mirrored[partner], POSE_MODEL)


def test_a_few_missing_landmarks_do_not_matter_and_many_do() -> None:
    angles, markup = np.array([0.2, -0.5, 0.1]), get_markup("68")
    points = seen(angles)
    points[list(markup.pose_points[:4])] = np.nan
    assert euler_angles(points, markup) == pytest.approx(angles, abs=1e-3)
    points[list(markup.pose_points[4:9])] = np.nan
    assert np.isnan(euler_angles(points, markup)).all()
