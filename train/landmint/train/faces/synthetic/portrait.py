"""The painted skin of a synthetic face: every feature in its colours, seen straight on, unlit.

The portrait lies in the plane of `FaceShape`, where each feature is the polygon of its curve, so
a landmark on the curve is a landmark on the paint. Pose and light come later, in the camera.
"""

from collections.abc import Callable

import numpy as np

from landmint.runtime.crop import Floats
from landmint.train.faces.synthetic.looks import Looks
from landmint.train.faces.synthetic.paint import (
    Colour,
    Mask,
    Picture,
    clouds,
    ellipse,
    fill,
    glow,
    mask_of,
    mix,
    shade,
    stroke,
)
from landmint.train.faces.synthetic.shape import LEFT, RIGHT, FaceShape

_LEFT_EDGE, _TOP_EDGE, _WIDTH, _HEIGHT = -1.2, -1.55, 2.4, 3.35  # what a portrait shows, in units
_Curve = Callable[[int, Floats, bool], Floats]
_U = np.linspace(0, 1, 17)


class Portrait:
    """Paints one face; `picture` is the result. Sizes are in units of the shape."""

    def __init__(self, shape: FaceShape, looks: Looks, px_per_unit: float) -> None:
        """Paint everything, from the skin outwards."""
        self._shape, self._looks, self.px_per_unit = shape, looks, px_per_unit
        self._rng = np.random.default_rng(looks.texture_seed)
        self._height, self._width = round(_HEIGHT * px_per_unit), round(_WIDTH * px_per_unit)
        self.picture: Picture = np.empty((self._height, self._width, 3), dtype=np.float32)
        self._paint_skin()
        self._paint_wrinkles()
        self._paint_nose()
        self._paint_beard()
        for side in (LEFT, RIGHT):
            self._paint_eye(side)
            self._paint_brow(side)
        self._paint_mouth()
        if looks.style not in ("bald", "cap"):
            self._paint_hair()

    def place(self, plane: Floats) -> Floats:
        """Points (..., 2) of the plane in pixels of the portrait."""
        pixels: Floats = (plane - (_LEFT_EDGE, _TOP_EDGE)) * self.px_per_unit - 0.5
        return pixels

    def _area(
        self, outline: Floats, colour: Colour, alpha: float = 1.0, soft: float = 0.0,
        clip: Mask | None = None,
    ) -> None:  # fmt: skip
        """Fill an outline (N, 2) of the plane."""
        fill(self.picture, self.place(outline), colour, alpha, soft * self.px_per_unit, clip)

    def _lines(
        self, lines: Floats, colour: Colour, width: float, alpha: float, soft: float = 0.0,
        clip: Mask | None = None,
    ) -> None:  # fmt: skip
        """Stroke one line (K, 2) of the plane, or several (N, K, 2)."""
        placed = self.place(lines).reshape(-1, *lines.shape[-2:])
        stroke(
            self.picture,
            placed,
            colour,
            width * self.px_per_unit,
            alpha,
            soft * self.px_per_unit,
            clip,
        )

    def _spot(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: float) -> None:
        """A soft patch of colour."""
        radii = (0.55 * rx * self.px_per_unit, 0.55 * ry * self.px_per_unit)
        glow(self.picture, self.place(np.array([x, y])), radii, colour, alpha)

    def _inside(self, outline: Floats) -> Mask:
        return mask_of(self.place(outline), self._height, self._width)

    def _across(self, curve: _Curve, lower: bool) -> Floats:
        """Both halves of an edge of the mouth, from the left corner to the right (33, 2)."""
        return np.concatenate([curve(LEFT, _U, lower), curve(RIGHT, _U[-2::-1], lower)])

    def _paint_skin(self) -> None:
        me, looks, rng = self._shape.identity, self._looks, self._rng
        self.picture[:] = looks.skin
        self.picture += clouds(rng, self._height, self._width, 9) * 3.0
        self.picture += clouds(rng, self._height, self._width, 60) * (1.5 + 2 * looks.age)
        ruddy, deep = mix(looks.skin, (205, 90, 80), 0.45), shade(looks.skin, 0.62)
        for side in (LEFT, RIGHT):
            self._spot(side * 0.55, 0.5, 0.3, 0.24, ruddy, 0.4)
            self._spot(side * me.eye_x * 0.95, -0.03, 0.3, 0.15, deep, 0.42)
            self._spot(side * me.eye_x, 0.15, 0.2, 0.07, deep, 0.14 + 0.25 * looks.age)
        self._spot(0.0, self._shape.chin_y - 0.28, 0.2, 0.06, deep, 0.35)
        for _ in range(int(rng.integers(0, 4))):
            mole = np.array([rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 1.1)])
            self._area(ellipse(mole, (0.018, 0.018)), shade(deep, 0.6), 0.8)

    def _paint_wrinkles(self) -> None:
        age, smile = self._looks.age, self._shape.expression.smile
        deep = shade(self._looks.skin, 0.62)
        fold = np.array([[0.2, 0.55], [0.31, 0.7], [0.43, 0.88], [0.47, 1.0]])
        folds = np.stack([fold * (side * (1 + 0.1 * smile), 1) for side in (LEFT, RIGHT)])
        self._lines(folds, deep, 0.035, 0.12 + 0.25 * age + 0.3 * max(smile, 0), 0.02)
        if age > 0.4:
            x = np.linspace(-0.45, 0.45, 9)
            rows = [np.stack([x, y + 0.03 * np.cos(3 * x)], axis=-1) for y in (-0.5, -0.6, -0.7)]
            self._lines(np.stack(rows), deep, 0.02, 0.5 * (age - 0.4), 0.012)

    def _paint_nose(self) -> None:
        shape, skin = self._shape, self._looks.skin
        me, base = shape.identity, shape.nose_base_y
        for side in (LEFT, RIGHT):
            self._spot(side * 0.16, 0.3, 0.1, 0.3, shade(skin, 0.7), 0.22)
            top = np.array([[side * (me.nose_w - 0.035), base - 0.19]])
            wing = np.concatenate([top, shape.nostril(side, _U)])
            self._lines(wing, shade(skin, 0.45), 0.025, 0.55, 0.006)
            middle = np.array([side * 0.47 * me.nose_w, base - 0.035])
            hole = ellipse(middle, (0.058, 0.026), -side * 0.35)
            self._area(hole, shade(skin, 0.28), 0.85, 0.006)
        self._spot(0.0, base + 0.03, 0.22, 0.06, shade(skin, 0.55), 0.4)
        self._spot(0.0, me.nose_y - 0.03, 0.09, 0.1, mix(skin, (225, 130, 110), 0.4), 0.3)

    def _paint_eye(self, side: int) -> None:
        shape, looks = self._shape, self._looks
        upper, lower = shape.lid(side, _U, False), shape.lid(side, _U, True)
        outline = np.concatenate([upper, lower[::-1]])
        inside = self._inside(outline)
        self._area(outline, mix((226, 220, 214), looks.skin, 0.12))
        centre, radius = shape.pupil(side), shape.iris_radius()
        rings = ((1.0, shade(looks.iris, 0.6)), (0.8, looks.iris), (0.42, (10.0, 8.0, 8.0)))
        for size, colour in rings:
            self._area(ellipse(centre, (size * radius, size * radius)), colour, 1.0, 0, inside)
        shadow = np.concatenate([upper - (0, 0.02), upper[::-1] + (0, 0.022)])
        self._area(shadow, (60, 42, 38), 0.5, 0.012, inside)
        glint = centre + np.array([0.3, -0.35]) * radius
        self._area(ellipse(glint, (0.16 * radius, 0.16 * radius)), (255, 255, 255), 0.9, 0, inside)

        line, lash = shade(looks.skin, 0.4), mix(looks.hair, (20, 14, 12), 0.7)
        crease = upper[2:-2] - (0, 0.055 - 0.02 * shape.expression.eye_close[side > 0])
        self._lines(crease, line, 0.022, 0.45, 0.005)
        self._lines(lower, line, 0.016, 0.6)
        self._lines(upper, lash, 0.03, 0.95)

    def _paint_brow(self, side: int) -> None:
        shape, looks = self._shape, self._looks
        upper, lower = shape.brow(side, _U, False), shape.brow(side, _U, True)
        outline = np.concatenate([upper, lower[::-1]])
        self._area(outline, mix(looks.hair, looks.skin, 0.12), 0.72, 0.004)
        at = self._rng.uniform(0.02, 1, 26)
        tips = shape.brow(side, np.clip(at - 0.09, 0, 1), False)
        hairs = np.stack([shape.brow(side, at, True), tips], axis=1)
        self._lines(hairs, shade(looks.hair, 0.8), 0.014, 0.8)

    def _paint_mouth(self) -> None:
        shape, lips = self._shape, self._looks.lips
        top, bottom = self._across(shape.lip, False), self._across(shape.lip, True)
        inner_top, inner_bottom = (self._across(shape.inner_lip, lower) for lower in (False, True))
        self._area(np.concatenate([top, bottom[::-1]]), lips, 0.9)
        self._area(np.concatenate([top, inner_bottom[::-1]]), shade(lips, 0.78), 0.55)
        middle = float(bottom[16, 1]) - 0.5 * shape.identity.lip_low
        self._spot(0.0, middle, 0.16, 0.035, mix(lips, (255, 235, 230), 0.5), 0.45)
        self._paint_teeth(inner_top, inner_bottom)
        self._lines(np.stack([inner_top, inner_bottom]), shade(lips, 0.3), 0.018, 0.65)
        corners = np.stack([shape.lip(side, _U[:3], True) for side in (LEFT, RIGHT)])
        self._lines(corners, shade(lips, 0.3), 0.025, 0.7)

    def _paint_teeth(self, top: Floats, bottom: Floats) -> None:
        """The inside of the mouth between the inner edges of the lips, (33, 2) each."""
        outline = np.concatenate([top, bottom[::-1]])
        self._area(outline, (52, 18, 18))
        gap = float(bottom[16, 1] - top[16, 1])
        if gap < 0.025:
            return
        inside = self._inside(outline)
        tongue = np.array([0.0, bottom[16, 1] + 0.02])
        radii = (0.62 * self._shape.identity.mouth_w, 0.4 * gap)
        self._area(ellipse(tongue, radii), (150, 66, 66), 0.85, 0.01, inside)
        white = mix((222, 214, 200), self._looks.skin, 0.15)
        bite = min(gap * 0.75, 0.095)
        edge = top + np.outer(np.sin(np.linspace(0, np.pi, 33)) ** 0.3, (0, bite))
        self._area(np.concatenate([top - (0, 0.03), edge[::-1]]), white, 0.97, 0.004, inside)
        x, (high, low) = np.linspace(-0.28, 0.28, 9), (top[16, 1] - 0.05, top[16, 1] + bite)
        gaps = np.stack([np.stack([x, np.full(9, y)], axis=-1) for y in (high, low)], axis=1)
        self._lines(gaps, shade(white, 0.7), 0.01, 0.5, 0, inside)

    def _paint_beard(self) -> None:
        shape, looks = self._shape, self._looks
        if looks.moustache:
            lip = self._across(shape.lip, False)
            high = np.maximum(shape.nose_base_y + 0.035, lip[:, 1] - 0.15)
            upper = np.stack([lip[:, 0] * 1.08, high], axis=-1)
            patch = np.concatenate([upper, (lip * (1.12, 1) + (0, 0.02))[::-1]])
            self._area(patch, looks.hair, 0.75 * looks.moustache, 0.02)
        if not looks.beard:
            return
        theta, mouth = np.linspace(0.12 * np.pi, 0.5 * np.pi, 16), shape.mouth_y
        edge = np.stack([shape.half_width(theta), shape.height(theta)], axis=-1) * 1.04
        below = [[0.3, mouth + 0.24], [0.5, mouth + 0.1], [0.66, 0.85], [0.88, 0.5]]
        half = np.concatenate([edge, [[0.0, mouth + 0.27]], below])
        for side in (LEFT, RIGHT):
            self._area(half * (side, 1), looks.hair, 0.85 * looks.beard, 0.05)
        x, y = self._rng.uniform((-0.9, mouth - 0.1), (0.9, shape.chin_y), (160, 2)).T
        kept = (np.abs(x) > 0.42) | (y > mouth + 0.25)
        roots = np.stack([x, y], axis=-1)[kept]
        hairs = np.stack([roots, roots * (1.05, 1) + (0, 0.07)], axis=1)
        self._lines(hairs, shade(looks.hair, 0.7), 0.014, 0.5 * looks.beard)

    def _hairline(self, x: Floats) -> Floats:
        """Y of the lower edge of the hair over the forehead, at x of the plane."""
        looks = self._looks
        across = np.clip(x / self._shape.identity.width, -1, 1)
        lock_x = looks.parting - np.copysign(0.3, looks.parting)
        lock = looks.fringe * np.exp(-(((across - lock_x) / 0.55) ** 2))
        recess = 0.16 * looks.age * np.exp(-(((np.abs(across) - 0.5) / 0.2) ** 2))
        line: Floats = -looks.hairline_y + lock - recess + 1.15 * np.abs(across) ** 7
        return line

    def _paint_hair(self) -> None:
        looks = self._looks
        x = np.linspace(-1.18, 1.18, 41)
        line = np.stack([x, self._hairline(x)], axis=-1)
        area = np.concatenate([line, [[1.19, -1.54], [-1.19, -1.54]]])
        self._area(area + (0, 0.03), shade(looks.skin, 0.5), 0.35, 0.03)
        if looks.style == "scarf":
            self._area(area, looks.cloth, 1.0, 0.012)
            return
        self._area(area, looks.hair, 1.0, 0.012)
        for factor in (0.6, 1.35):
            self._lines(self._strands(line, 45), shade(looks.hair, factor), 0.014, 0.45)

    def _strands(self, line: Floats, count: int) -> Floats:
        """Combed hair (count, 8, 2): from the parting over the head down to the hairline."""
        rng, bend = self._rng, np.linspace(0, 1, 8)[:, None]
        ends = line[rng.integers(2, 39, count)] + rng.normal(0, 0.02, (count, 2))
        start = np.array([self._looks.parting * 0.7, -1.45]) + rng.normal(0, 0.12, (count, 2))
        control = np.stack([ends[:, 0], 0.5 * (start[:, 1] + ends[:, 1]) - 0.2], axis=-1)
        first, middle, last = start[:, None], control[:, None], ends[:, None]
        return (1 - bend) ** 2 * first + 2 * bend * (1 - bend) * middle + bend**2 * last
