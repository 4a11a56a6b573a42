"""Smooths the landmarks of a video: the one-euro filter.

Casiez, Roussel and Vogel, "1 euro filter", CHI 2012, equations 1-5: a low-pass filter whose cutoff
rises with the speed, so that a still face is steady and a moving one is not late. The middle of the
face is filtered apart from its landmarks: being their mean it trembles less, so it may follow
sooner, and landmarks that are told from it are not late when the whole face moves.
"""

from dataclasses import dataclass

import numpy as np

from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError


@dataclass(frozen=True)
class SmoothConfig:
    """How strongly to smooth. Lengths are in crop sides, so they suit near and far faces alike."""

    still_cutoff_hz: float = 1.0
    """Cutoff for landmarks at rest; lower is steadier and later."""
    speed_gain: float = 10.0
    """How many Hz the cutoff rises with each crop side per second."""
    centre_speed_gain: float = 60.0
    """The same for the middle of the face."""
    speed_cutoff_hz: float = 1.0
    """Cutoff for the speed itself."""

    def __post_init__(self) -> None:
        """Refuse impossible settings.

        Raises:
            LandmintError: a cutoff is not positive, or the gain is negative.
        """
        gains = self.speed_gain, self.centre_speed_gain
        if not (self.still_cutoff_hz > 0 and self.speed_cutoff_hz > 0 and min(gains) >= 0):
            raise LandmintError(f"{self} is no filter", remedy="cutoffs > 0, gains >= 0")


class FaceFilter:
    """Filters the landmarks of one face: its middle, and where the landmarks lie from there."""

    def __init__(self, config: SmoothConfig) -> None:
        """Start before the first frame."""
        self._centre = OneEuro(config, config.centre_speed_gain)
        self._shape = OneEuro(config, config.speed_gain)
        self._points: Floats | None = None

    def __call__(self, points: Floats, time_s: float, crop_side_px: float) -> Floats:
        """The smoothed landmarks of the next frame.

        Args:
            points: (L, 2) in image pixels; where one is not finite the last one stands.
            time_s: of the frame; later than the frame before.
            crop_side_px: side of the model's crop in image pixels.

        Raises:
            LandmintError: time does not go forward.
        """
        if self._points is not None:
            points = np.where(np.isfinite(points), points, self._points)
        centre = points.mean(axis=0, keepdims=True)
        shape = self._shape(points - centre, time_s, crop_side_px)
        self._points = self._centre(centre, time_s, crop_side_px) + shape
        return self._points.copy()


class OneEuro:
    """The filter as published, of points that each have a cutoff by their own speed."""

    def __init__(self, config: SmoothConfig, speed_gain: float) -> None:
        """Start before the first frame; `speed_gain` counts instead of the configuration's."""
        self._config, self._gain = config, speed_gain
        self._time_s = 0.0
        self._points: Floats | None = None
        self._speed: Floats | float = 0.0

    def __call__(self, points: Floats, time_s: float, unit: float) -> Floats:
        """The filtered points (N, 2) of the next frame; speeds are in `unit` a second.

        Raises:
            LandmintError: time does not go forward.
        """
        if self._points is None:
            self._points, self._time_s = points, time_s
            return points
        step_s = time_s - self._time_s
        if not step_s > 0:
            raise LandmintError(f"a frame at {time_s} s after one at {self._time_s} s")
        config = self._config
        raw_speed = (points - self._points) / (step_s * unit)
        speed = self._speed + _share(config.speed_cutoff_hz, step_s) * (raw_speed - self._speed)
        pace = np.linalg.norm(speed, axis=1, keepdims=True)
        share = _share(config.still_cutoff_hz + self._gain * pace, step_s)
        self._points = self._points + share * (points - self._points)
        self._speed, self._time_s = speed, time_s
        return self._points


def _share(cutoff_hz: Floats | float, step_s: float) -> Floats | float:
    """How much of the new value an exponential filter of this cutoff takes in."""
    rise = 2 * np.pi * cutoff_hz * step_s
    return rise / (rise + 1)
