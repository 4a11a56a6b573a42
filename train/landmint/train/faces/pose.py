"""Head pose of a labelled face: Euler angles from 14 landmarks by perspective-n-point.

The angles teach PFLD's auxiliary net and stratify calibration sets. Not a pose estimator for
deployment: it needs true landmarks, and knows neither the camera nor the person.
"""

from typing import Final

import cv2
import numpy as np

from landmint.runtime.crop import Floats
from landmint.runtime.markup import Markup

_HALF_FACE_MM: Final = {
    "brow_outer": (55.0, -22.0, 26.0),
    "brow_inner": (13.0, -24.0, 3.0),
    "eye_outer": (45.0, 0.0, 24.0),
    "eye_inner": (17.0, 2.0, 14.0),
    "nose_wing": (17.0, 42.0, 0.0),
    "mouth_corner": (26.0, 68.0, 8.0),
}


def _model_points() -> Floats:
    """The 14 points of an average adult head, in the order of `Markup.pose_points`.

    Millimetres; x to the image's right, y down, z away from the camera, so that a face that looks
    into the camera is not rotated. Round figures of an adult's head, symmetric; the outer eye
    corners are 90 mm apart, and no two points coincide.
    """

    def left(name: str) -> tuple[float, float, float]:
        x, y, z = _HALF_FACE_MM[name]
        return -x, y, z

    right = _HALF_FACE_MM
    return np.array(
        [
            left("brow_outer"),
            left("brow_inner"),
            right["brow_inner"],
            right["brow_outer"],
            left("eye_outer"),
            left("eye_inner"),
            right["eye_inner"],
            right["eye_outer"],
            left("nose_wing"),
            right["nose_wing"],
            left("mouth_corner"),
            right["mouth_corner"],
            (0.0, 79.0, 1.0),  # lower lip
            (0.0, 114.0, 8.0),  # chin
        ]
    )


POSE_MODEL: Final = _model_points()
"""(14, 3) in mm, in the order of `Markup.pose_points`."""

# A face of 0.2 m, a metre away, fills 0.8 of a crop whose focal length is four crops.
_FOCAL: Final = 4.0
_FEWEST_SEEN: Final = 8
_CAMERA: Final = np.array([[_FOCAL, 0.0, 0.5], [0.0, _FOCAL, 0.5], [0.0, 0.0, 1.0]])


def euler_angles(points: Floats, markup: Markup) -> Floats:
    """Pitch, yaw and roll (3,) in radians of a face.

    The rotation is R = Rz(roll) Ry(yaw) Rx(pitch) in the camera's axes: roll is positive where the
    head leans clockwise in the image, yaw where it turns to the image's left, pitch where the chin
    moves away from the camera. Guo et al., "PFLD", 2019, section 3.2 takes such angles.

    Args:
        points: (L, 2) landmarks in the crop, divided by its side, so in [0, 1]; NaN where missing.
        markup: names the 14 landmarks.

    Returns:
        the angles; zeros where the landmarks fit no head, such as points on a line; NaN where so
        many are missing that the others do not tell.
    """
    seen = points[list(markup.pose_points)]
    placed = np.isfinite(seen).all(axis=1)
    if np.count_nonzero(placed) < _FEWEST_SEEN:
        return np.full(3, np.nan)
    try:
        method = cv2.SOLVEPNP_SQPNP
        model, seen = np.ascontiguousarray(POSE_MODEL[placed]), np.ascontiguousarray(seen[placed])
        solved, rotation, _ = cv2.solvePnP(model, seen, _CAMERA, None, flags=method)
    except cv2.error:
        return np.zeros(3)
    if not solved or not np.all(np.isfinite(rotation)):
        return np.zeros(3)
    return _angles_of(np.asarray(cv2.Rodrigues(rotation)[0], dtype=np.float64))


def _angles_of(rotation: Floats) -> Floats:
    """Pitch, yaw and roll of a rotation matrix (3, 3)."""
    flat = np.hypot(rotation[0, 0], rotation[1, 0])
    return np.array(
        [
            np.arctan2(rotation[2, 1], rotation[2, 2]),
            np.arctan2(-rotation[2, 0], flat),
            np.arctan2(rotation[1, 0], rotation[0, 0]),
        ]
    )
