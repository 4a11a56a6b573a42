"""Smooths the landmarks of a video: the one-euro filter.

Casiez, Roussel and Vogel, "1 euro filter", CHI 2012, equations 1-5: a low-pass filter whose cutoff
rises with the speed, so that a still face is steady and a moving one is not late.
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
    speed_cutoff_hz: float = 1.0
    """Cutoff for the speed itself."""

    def __post_init__(self) -> None:
        """Refuse impossible settings.

        Raises:
            LandmintError: a cutoff is not positive, or the gain is negative.
        """
        if not (self.still_cutoff_hz > 0 and self.speed_cutoff_hz > 0 and self.speed_gain >= 0):
            raise LandmintError(f"{self} is no filter", remedy="cutoffs > 0, speed_gain >= 0")


class OneEuro:
    """Filters the landmarks of one face; each landmark's cutoff depends on its own speed."""

    def __init__(self, config: SmoothConfig) -> None:
        """Start before the first frame."""
        self._config = config
        self._time_s = 0.0
        self._points: Floats | None = None
        self._speed: Floats | float = 0.0

    def __call__(self, points: Floats, time_s: float, crop_side_px: float) -> Floats:
        """The smoothed landmarks of the next frame.

        Args:
            points: (L, 2) in image pixels; where one is not finite the last one stands.
            time_s: of the frame; later than the frame before.
            crop_side_px: side of the model's crop in image pixels.

        Raises:
            LandmintError: time does not go forward.
        """
        if self._points is None:
            self._points, self._time_s = points.copy(), time_s
            return points
        step_s = time_s - self._time_s
        if not step_s > 0:
            raise LandmintError(f"a frame at {time_s} s after one at {self._time_s} s")
        now = np.where(np.isfinite(points), points, self._points)
        config = self._config
        raw_speed = (now - self._points) / (step_s * crop_side_px)
        speed = self._speed + _share(config.speed_cutoff_hz, step_s) * (raw_speed - self._speed)
        pace = np.linalg.norm(speed, axis=1, keepdims=True)
        share = _share(config.still_cutoff_hz + config.speed_gain * pace, step_s)
        self._points = self._points + share * (now - self._points)
        self._speed, self._time_s = speed, time_s
        return self._points.copy()


def _share(cutoff_hz: Floats | float, step_s: float) -> Floats | float:
    """How much of the new value an exponential filter of this cutoff takes in."""
    rise = 2 * np.pi * cutoff_hz * step_s
    return rise / (rise + 1)
