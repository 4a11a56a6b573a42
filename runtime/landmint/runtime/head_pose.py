"""Where a head is, from landmarks whose places on it are known: numpy, so that devices have it too.

Not the angles that networks are trained with; those stand in `landmint.train.faces.pose`.
"""

from typing import Final, NamedTuple

import numpy as np

from landmint.runtime.crop import Floats

_ROUNDS = 50
_SETTLED = 1e-10

_HALF_WIDTH, _TOP, _BOTTOM, _FRONT, _BACK = 70.0, -45.0, 120.0, -20.0, 70.0
_FACE = ((-1, _TOP), (1, _TOP), (1, _BOTTOM), (-1, _BOTTOM))
HEAD_BOX: Final[Floats] = np.array(
    [
        *((side * _HALF_WIDTH, y, z) for z in (_FRONT, _BACK) for side, y in _FACE),
        (0.0, (_TOP + _BOTTOM) / 2, (_FRONT + _BACK) / 2),
    ]
)
"""(9, 3) in mm: corners of a box about an adult's face, and its centre.

The nearer side clockwise from its top left, as people see it, then the further one. The origin is
between the eyes; x to the image's right, y down, z away from the camera.
"""


class Pose(NamedTuple):
    """A rotation and a shift, from the head's axes to the camera's."""

    rotation: Floats
    """(3, 3)."""
    translation: Floats
    """(3,) in the head's unit, mm."""

    def project(self, places: Floats, focal_px: float, centre_px: Floats) -> Floats:
        """Pixels (N, 2) of places (N, 3) on the head.

        Args:
            places: in the head's axes.
            focal_px: of the camera.
            centre_px: (2,) where its axis meets the image.
        """
        seen = places @ self.rotation.T + self.translation
        pixels: Floats = focal_px * seen[:, :2] / seen[:, 2:] + centre_px
        return pixels


def fit_pose(places: Floats, points_px: Floats, focal_px: float, centre_px: Floats) -> Pose:
    """The pose from which places on the head are seen at points, by least squares.

    DeMenthon and Davis, "Model-based object pose in 25 lines of code", IJCV 1995: the pose beneath
    a distant camera, over and over, each time of points freed from the perspective of the last.

    Args:
        places: (N, 3), four or more that lie in no plane.
        points_px: (N, 2).
        focal_px: of the camera.
        centre_px: (2,) where its axis meets the image.
    """
    known = np.column_stack([places, np.ones(len(places))])
    solve = np.linalg.pinv(known)
    rays = (points_px - centre_px) / focal_px
    nearness = np.ones(len(places))
    for _ in range(_ROUNDS):
        (*right, x), (*down, y) = (solve @ (rays * nearness[:, None])).T
        scale = np.sqrt(np.linalg.norm(right) * np.linalg.norm(down))
        rotation = _nearest_rotation(np.array(right), np.array(down))
        fresh = 1 + scale * places @ rotation[2]
        change = float(np.abs(fresh - nearness).max())
        nearness = fresh
        if change < _SETTLED:
            break
    return Pose(rotation, np.array([x, y, 1.0]) / scale)


def _nearest_rotation(right: Floats, down: Floats) -> Floats:
    """The rotation whose first two rows lie nearest to two vectors (3,)."""
    right, down = right / np.linalg.norm(right), down / np.linalg.norm(down)
    left, _, other = np.linalg.svd(np.array([right, down, np.cross(right, down)]))
    rotation: Floats = left @ np.diag([1, 1, np.linalg.det(left @ other)]) @ other
    return rotation
