"""What is around a synthetic face: background, body, hair, ears, headgear, glasses.

Everything that belongs to the head is a 3D outline projected by the same view as the face. Not
the face itself: that is the portrait.
"""

import cv2
import numpy as np

from landmint.runtime.crop import Floats
from landmint.train.faces.synthetic.camera import HeadView, Light, Pose
from landmint.train.faces.synthetic.looks import Looks
from landmint.train.faces.synthetic.paint import (
    Colour,
    Picture,
    clouds,
    ellipse,
    fill,
    glow,
    mix,
    shade,
    stroke,
)
from landmint.train.faces.synthetic.shape import LEFT, RIGHT, FaceShape

SURROUNDINGS: tuple[Colour, ...] = (
    (190, 196, 200), (120, 136, 150), (92, 110, 78), (164, 140, 112), (52, 58, 70), (214, 206, 188),
    (70, 96, 128), (138, 84, 70), (34, 34, 38), (150, 160, 140),
)  # fmt: skip


def paint_background(canvas: Picture, rng: np.random.Generator) -> None:
    """A wall, a landscape or a room out of focus: gradient, shapes, texture."""
    height, width = canvas.shape[:2]
    quarter = np.empty((height // 4, width // 4, 3), dtype=np.float32)
    first, second = (SURROUNDINGS[int(i)] for i in rng.integers(len(SURROUNDINGS), size=2))
    slope = np.linspace(0, 1, quarter.shape[0], dtype=np.float32)[:, None, None]
    quarter[:] = np.array(first, np.float32) * (1 - slope) + np.array(second, np.float32) * slope
    for _ in range(int(rng.integers(0, 9))):
        colour = shade(SURROUNDINGS[int(rng.integers(len(SURROUNDINGS)))], rng.uniform(0.5, 1.3))
        middle = rng.uniform(0, quarter.shape[0], 2)
        radii = rng.uniform(0.04, 0.35, 2) * quarter.shape[0]
        outline = ellipse(middle, (radii[0], radii[1]), rng.uniform(0, np.pi))
        if rng.random() < 0.6:
            outline = outline[[4, 12, 20, 28]]
        fill(quarter, outline, colour, rng.uniform(0.4, 1.0))
    cv2.GaussianBlur(quarter, (0, 0), float(rng.choice([0.4, 1.0, 2.5])), dst=quarter)
    canvas[:] = cv2.resize(quarter, (width, height), interpolation=cv2.INTER_LINEAR)
    canvas += clouds(rng, height, width, 40) * rng.uniform(0, 8)


def _ball(centre: Floats, radii: Floats) -> Floats:
    """Points (N, 3) on an ellipsoid."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, 13), np.linspace(0, 2 * np.pi, 24))
    unit = np.stack(
        [np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], axis=-1
    )
    points: Floats = unit.reshape(-1, 3) * radii + centre
    return points


def _hull(points: Floats) -> Floats:
    """The convex outline (M, 2) of points in the picture."""
    outline: Floats = cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
    return outline


class Scene:
    """Paints what belongs to one head, behind the face and before it."""

    def __init__(
        self, canvas: Picture, shape: FaceShape, looks: Looks, view: HeadView, light: Light
    ) -> None:
        """Keep what every stroke needs."""
        self._canvas, self._shape, self._looks, self._view = canvas, shape, looks, view
        self._rng = np.random.default_rng(looks.texture_seed)
        side = float(np.clip(light.direction[0], -1, 1))
        self._level = light.ambient + (1 - light.ambient) * (1 - 0.25 * abs(side))
        self._body = HeadView(
            Pose(0.25 * view.pose.yaw_rad, 0.0, 0.25 * view.pose.roll_rad),
            view.scale_px,
            view.origin,
        )

    def _lit(self, colour: Colour, factor: float = 1.0) -> Colour:
        return shade(colour, self._level * factor)

    def paint_behind(self) -> None:
        """Hair, body, neck and ears, from far to near."""
        if self._looks.style not in ("bald", "cap"):
            self._paint_hair()
        else:
            fill(self._canvas, self._skull(0.0, -9.0), self._lit(self._looks.skin, 0.8))
        self._paint_body()
        if self._looks.style not in ("scarf", "long"):
            self._paint_ears()

    def paint_before(self) -> None:
        """Locks, headgear and glasses."""
        if self._looks.style == "long":
            self._paint_locks()
        if self._looks.style == "cap":
            self._paint_cap()
        if self._looks.glasses != "none":
            self._paint_glasses()

    def _skull_points(self, extra: float) -> Floats:
        me = self._shape.identity
        top = me.crown_y - 0.36
        radii = np.array([0.97 * me.width, top, 0.98]) + extra
        return _ball(np.array([0.0, -0.36, -0.3]), radii)

    def _skull(self, extra: float, above_y: float) -> Floats:
        """The outline of the head enlarged by `extra` units, of what lies over `above_y`."""
        points = self._skull_points(extra)
        kept = points if above_y < -5 else points[points[:, 1] < above_y]
        return _hull(self._view.project(kept))

    def _paint_hair(self) -> None:
        looks, rng = self._looks, self._rng
        colour = self._lit(looks.cloth if looks.style == "scarf" else looks.hair)
        volume = looks.volume * (1.6 if looks.style == "curly" else 1.0)
        points = self._skull_points(volume)
        if looks.style in ("short", "tied"):
            points = points[points[:, 1] < 0.35]
        outline = self._view.project(points)
        if looks.style in ("long", "scarf"):
            length = float(rng.uniform(1.0, 2.2))
            tips = (
                (1, 0.3),
                (1.02, 0.8),
                (0.98, length),
                (0.86, length + 0.13),
                (0.4, length + 0.2),
            )
            wide = 1.02 + volume
            ends = [(side * wide * w, y, -0.25) for side in (LEFT, RIGHT) for w, y in tips]
            outline = np.concatenate([outline, self._view.project(np.array(ends))])
        hull = _hull(outline)
        fill(self._canvas, hull, colour, 1.0, 0.015 * self._view.scale_px)
        if looks.style == "curly":
            self._paint_curls(hull, colour)
        elif looks.style != "scarf":
            self._paint_strands(hull, colour)
        if looks.style == "tied" and rng.random() < 0.6:
            knot = self._view.project(np.array([0.0, -1.5 - volume, -0.4]))
            fill(
                self._canvas,
                ellipse(knot, (0.36 * self._view.scale_px, 0.3 * self._view.scale_px)),
                colour,
            )

    def _paint_curls(self, hull: Floats, colour: Colour) -> None:
        """Tufts along the outline, and rings of hair all over it."""
        rng, unit = self._rng, self._view.scale_px
        middle = hull.mean(axis=0)
        for spot in hull[rng.integers(len(hull), size=30)] + rng.normal(0, 0.05 * unit, (30, 2)):
            radius = float(rng.uniform(0.1, 0.2)) * unit
            tuft = ellipse(spot, (radius, radius)) + rng.normal(0, 0.02 * unit, (32, 2))
            fill(self._canvas, tuft, colour)
        rim = hull[rng.integers(len(hull), size=140)]
        spots = middle + (rim - middle) * rng.uniform(0.5, 1.0, (140, 1))
        ring = ellipse(np.zeros(2), (0.06 * unit, 0.045 * unit))[:22]
        rings = spots[:, None] + ring * rng.choice([-1, 1], (140, 1, 2))
        width = 0.03 * unit
        stroke(self._canvas, rings[:70], shade(colour, 0.55), width, 0.6)
        stroke(self._canvas, rings[70:], shade(colour, 1.35), width, 0.35)

    def _paint_strands(self, hull: Floats, colour: Colour) -> None:
        """Hair from the crown to the outline."""
        rng, bend = self._rng, np.linspace(0, 1, 8)[:, None]
        crown = self._view.project(
            np.array([0.15 * self._looks.parting, -self._shape.identity.crown_y, -0.1])
        )
        ends = hull[rng.integers(len(hull), size=50)]
        ends = ends + (crown - ends) * rng.uniform(0, 0.25, (50, 1))
        start = crown + rng.normal(0, 0.1 * self._view.scale_px, (50, 2))
        control = np.stack([ends[:, 0], 0.6 * start[:, 1] + 0.4 * ends[:, 1]], axis=-1)
        a, b, c = start[:, None], ends[:, None], control[:, None]
        curves = (1 - bend) ** 2 * a + 2 * bend * (1 - bend) * c + bend**2 * b
        width = 0.018 * self._view.scale_px
        stroke(self._canvas, curves[:25], shade(colour, 0.65), width, 0.5)
        stroke(self._canvas, curves[25:], shade(colour, 1.3), width, 0.4)

    def _paint_body(self) -> None:
        looks, unit = self._looks, self._view.scale_px
        chin = self._shape.identity.chin_y
        top = self._view.project(np.array([[-0.55, chin - 0.75, -0.4], [0.55, chin - 0.75, -0.4]]))
        base = self._body.project(np.array([[0.6, chin + 1.0, -0.4], [-0.6, chin + 1.0, -0.4]]))
        neck = np.concatenate([top, base])
        skin = self._lit(looks.skin, 0.82)
        slope = [(0.56, 0.36), (0.95, 0.58), (1.7, 0.8), (2.15, 1.2), (2.4, 4.0)]
        right = [(x, chin + y, -0.4) for x, y in slope]
        left = [(-x, y, z) for x, y, z in reversed(right)]
        collar = [(-0.35, chin + 0.66, -0.2), (0.0, chin + 0.8, -0.1), (0.35, chin + 0.66, -0.2)]
        shoulders = self._body.project(np.array(right + left + collar))
        fill(self._canvas, neck, skin)
        shadow = self._view.project(self._shape.jaw_line(33, self._view.pose.yaw_rad))
        throat = self._body.project(np.array([0.0, chin + 0.3, -0.2]))
        glow(self._canvas, throat, (0.28 * unit, 0.6 * unit), shade(skin, 1.12), 0.6)
        fill(self._canvas, shadow + (0, 0.14 * unit), shade(skin, 0.55), 0.55, 0.06 * unit)
        cloth = self._lit(looks.cloth, 0.95)
        fill(self._canvas, shoulders, cloth)
        fold = self._body.project(np.array([collar]))
        stroke(self._canvas, fold, shade(cloth, 0.6), 0.05 * unit, 0.7, 0.02 * unit)

    def _paint_ears(self) -> None:
        skin = self._lit(self._looks.skin)
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        back = 0.5 - 0.5 * np.cos(turn)  # 0 at the cheek, 1 at the rim, which stands off
        for side in (LEFT, RIGHT):
            x = side * (0.95 + 0.17 * back) * self._shape.identity.width
            y = 0.16 + 0.3 * np.sin(turn) - 0.06 * back
            ring = np.stack([x, y, -0.05 - 0.25 * back], axis=-1)
            outline = self._view.project(ring)
            fill(self._canvas, outline, shade(skin, 0.88))
            inner = outline.mean(axis=0) + 0.58 * (outline - outline.mean(axis=0))
            fill(self._canvas, inner, shade(skin, 0.55), 0.6, 0.025 * self._view.scale_px)

    def _paint_locks(self) -> None:
        """Long hair that falls before the edges of the face."""
        rng, colour = self._rng, self._lit(self._looks.hair, 0.95)
        width = self._shape.identity.width
        for side in (LEFT, RIGHT):
            reach = float(rng.choice([0.0, 0.06, rng.uniform(0.1, 0.24)]))
            end_y = float(rng.uniform(0.7, self._shape.identity.chin_y + 0.1))
            if not reach or side * self._view.pose.yaw_rad > 0.3:  # on the far side it hangs behind
                continue
            y = np.linspace(-1.0, end_y, 14)
            theta = np.arcsin(np.clip(y / 1.6, -1, 1))
            edge = np.cos(theta) ** 0.5 * width
            inner = edge - reach * np.sin(np.linspace(0.3, 2.9, 14))
            inside = self._shape.lift(np.stack([side * inner, y], axis=-1)) + (0, 0, 0.06)
            outside = np.stack([side * (edge + 0.14), y, np.full(14, -0.15)], axis=-1)
            outline = self._view.project(np.concatenate([inside, outside[::-1]]))
            fill(self._canvas, outline, colour, 0.97, 0.01 * self._view.scale_px)
            share = np.linspace(0.05, 0.95, 12)[:, None, None]
            lines = self._view.project(inside * (1 - share) + outside * share)
            stroke(self._canvas, lines[::2], shade(colour, 0.6), 0.02 * self._view.scale_px, 0.6)
            stroke(self._canvas, lines[1::2], shade(colour, 1.3), 0.02 * self._view.scale_px, 0.4)

    def _paint_cap(self) -> None:
        looks, unit = self._looks, self._view.scale_px
        edge_y = -float(self._rng.uniform(0.5, 0.72))
        points = self._skull_points(0.1)
        dome = points[points[:, 1] < edge_y - 0.1]
        turn = np.linspace(0, 2 * np.pi, 40)
        rim = np.stack(
            [1.02 * np.cos(turn), np.full(40, edge_y), -0.15 + 1.0 * np.sin(turn)], axis=-1
        )
        outline = _hull(self._view.project(np.concatenate([dome, rim])))
        cloth = self._lit(shade(looks.cloth, 1.1))
        fill(self._canvas, outline, cloth)
        front = rim[:20]
        band = self._view.project(np.stack([front, front - (0, 0.13, 0)]))
        stroke(self._canvas, band, shade(cloth, 0.65), 0.04 * unit, 0.7, 0.01 * unit)
        glow(
            self._canvas,
            outline.mean(axis=0) - (0, 0.1 * unit),
            (0.4 * unit, 0.3 * unit),
            shade(cloth, 1.3),
            0.4,
        )

    def _paint_glasses(self) -> None:
        looks, me, unit = self._looks, self._shape.identity, self._view.scale_px
        turn = np.linspace(0, 2 * np.pi, 28)
        frame = (30, 26, 26) if looks.glasses != "thin" else mix(looks.cloth, (120, 110, 90), 0.6)
        width = {"thin": 0.03, "thick": 0.07, "dark": 0.05}[looks.glasses] * unit
        z = 0.86
        for side in (LEFT, RIGHT):
            x = side * me.eye_x * 1.02 + 0.3 * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.75
            y = 0.03 + 0.2 * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.75
            depth = z - 0.22 * np.clip(side * x - 0.3, 0, None)
            rim = self._view.project(np.stack([x, y, depth], axis=-1))
            tint = (22, 22, 26) if looks.glasses == "dark" else (225, 235, 240)
            fill(self._canvas, rim, tint, 0.9 if looks.glasses == "dark" else 0.08)
            stroke(self._canvas, rim[None], frame, width, 0.95)
            temple = np.array(
                [[side * (me.eye_x + 0.3), -0.02, z - 0.12], [side * 1.02, 0.0, -0.05]]
            )
            near = side * self._view.pose.yaw_rad < 0.25
            if near:
                stroke(self._canvas, self._view.project(temple)[None], frame, width, 0.95)
        bridge = np.array([[-0.14, 0.0, z + 0.03], [0.0, -0.04, z + 0.09], [0.14, 0.0, z + 0.03]])
        stroke(self._canvas, self._view.project(bridge)[None], frame, width, 0.95)
