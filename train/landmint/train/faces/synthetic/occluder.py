"""Things held before a synthetic face: a hand, a board, a microphone.

An occluder is planned before anything is drawn, so what it hides is known without drawing.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Floats
from landmint.train.faces.synthetic.paint import Colour, Picture, ellipse, fill, glow, shade, stroke
from landmint.train.faces.synthetic.scene import SURROUNDINGS


@dataclass(frozen=True)
class Occluder:
    """One thing before the face; lengths are in pixels of the picture."""

    kind: str
    """hand, board or ball."""
    spot: tuple[float, float]
    """Its middle."""
    angle_rad: float
    """Where it comes from, seen from the face; a board is turned by it."""
    size: tuple[float, float]
    """Half its length and half its width."""
    colour: Colour
    """As seen, light included."""

    def _axes(self) -> tuple[Floats, Floats]:
        c, s = np.cos(self.angle_rad), np.sin(self.angle_rad)
        return np.array([c, s]), np.array([-s, c])

    def _fingers(self) -> Floats:
        """Roots and tips of four fingers that point towards the face, (4, 2, 2)."""
        away, across = self._axes()
        offsets = (np.arange(4) - 1.5)[:, None] * 0.4 * self.size[1] * across
        roots = np.array(self.spot) + offsets - 0.2 * self.size[0] * away
        lengths = np.array([1.3, 1.55, 1.5, 1.2])[:, None] * self.size[0]
        return np.stack([roots, roots - lengths * away + 0.3 * offsets], axis=1)

    def outlines(self) -> list[Floats]:
        """The polygons that it hides."""
        if self.kind == "board":
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * self.size
            return [corners @ np.stack(self._axes()) + self.spot]
        body = ellipse(np.array(self.spot), self.size, self.angle_rad)
        if self.kind == "ball":
            return [body]
        middles, half = self._fingers().mean(axis=1), (0.72 * self.size[0], 0.2 * self.size[1])
        return [body, *(ellipse(middle, half, self.angle_rad) for middle in middles)]

    def hides(self, points: Floats) -> NDArray[np.bool_]:
        """Which of the points (N, 2) lie behind it, (N,)."""
        outlines = [outline.astype(np.float32) for outline in self.outlines()]
        hidden = [
            any(cv2.pointPolygonTest(outline, (x, y), False) >= 0 for outline in outlines)
            for x, y in points.tolist()
        ]
        return np.array(hidden)

    def finer(self, factor: float) -> "Occluder":
        """The same in a picture with `factor` times as many pixels across."""
        x, y = ((value + 0.5) * factor - 0.5 for value in self.spot)
        size = (self.size[0] * factor, self.size[1] * factor)
        return Occluder(self.kind, (x, y), self.angle_rad, size, self.colour)

    def paint(self, canvas: Picture) -> None:
        """Draw it."""
        away, across = self._axes()
        spot, (long, wide) = np.array(self.spot), self.size
        if self.kind == "ball":
            handle = np.stack([spot, spot + 8 * long * np.array([0.1, 1.0])])
            stroke(canvas, handle[None], shade(self.colour, 0.5), 0.7 * long)
        if self.kind == "hand":
            arm = np.stack([spot + 0.2 * long * away, spot + 9 * long * away])
            stroke(canvas, arm[None], shade(self.colour, 0.93), 1.5 * wide)
        body = self.outlines()[0]
        fill(canvas, body, self.colour, 1.0, 0.02 * long)
        glow(canvas, spot - 0.2 * long, (0.5 * long, 0.4 * wide), shade(self.colour, 1.25), 0.5)
        if self.kind == "hand":
            for finger in self._fingers():
                stroke(canvas, finger[None], shade(self.colour, 0.6), 0.5 * wide, 0.8)
                stroke(canvas, finger[None], self.colour, 0.4 * wide)


def sample_occluder(
    rng: np.random.Generator, centre: Floats, face_px: float, skin: Colour
) -> Occluder:
    """Something beside or before the middle of a face that is `face_px` wide."""
    kind = str(rng.choice(["hand", "board", "ball"], p=[0.5, 0.3, 0.2]))
    angle = float(rng.uniform(0.1 * np.pi, 0.9 * np.pi) if kind != "board" else rng.uniform(0, 6.3))
    reach = face_px * rng.uniform(0.3, 0.5)
    away = np.array([np.cos(angle), np.sin(angle)])
    x, y = (centre + away * reach).tolist()
    tone = SURROUNDINGS[int(rng.integers(len(SURROUNDINGS)))]
    colour = (
        shade(skin, rng.uniform(0.7, 0.95))
        if kind == "hand"
        else shade(tone, rng.uniform(0.4, 1.1))
    )
    long, wide = {
        "hand": (0.2, 0.18),
        "board": (float(rng.uniform(0.15, 0.32)), float(rng.uniform(0.12, 0.25))),
        "ball": (0.13, 0.13),
    }[kind]
    return Occluder(kind, (x, y), angle, (long * face_px, wide * face_px), colour)
