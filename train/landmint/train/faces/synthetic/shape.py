"""The 3D face behind the synthetic pictures: identity, expression, curves, surface, landmarks.

The face is a relief: a plane (x right, y down) in which every feature is a curve, and a depth
(z towards the viewer) over it. Unit: half the width of the face; the origin is the middle of the
line through the eye corners. Not a picture: nothing here knows pixels, colours or markups.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from landmint.runtime.crop import Floats

LEFT, RIGHT = -1, 1
"""Sides as seen in the picture."""


@dataclass(frozen=True)
class Identity:
    """Shape coefficients of one person; the defaults are the mean face."""

    width: float = 1.0
    """Half width of the face at the eyes."""
    chin_y: float = 1.53
    """Height of the chin under the eye line."""
    crown_y: float = 1.42
    """Height of the crown over the eye line."""
    jaw: float = 0.79
    """Exponent of the jaw curve: small is square, 1 is an ellipse."""
    eye_x: float = 0.43
    """Distance of the eye's middle from the middle of the face."""
    eye_w: float = 0.172
    """Half width of an eye."""
    eye_up: float = 0.088
    """Height of the upper lid over the corners."""
    eye_low: float = 0.043
    """Depth of the lower lid under the corners."""
    eye_tilt: float = 0.06
    """Slope of the eye; positive raises the outer corner."""
    brow_y: float = 0.265
    """Height of the inner end of the brow over the eye line."""
    brow_arch: float = 0.076
    """Height of the brow's arch."""
    brow_h: float = 0.068
    """Thickness of the brow."""
    brow_tilt: float = 0.0
    """Lift of the brow's outer end."""
    nose_y: float = 0.5
    """Distance of the tip of the nose under the eye line."""
    nose_w: float = 0.17
    """Half width at the wings."""
    nose_z: float = 0.27
    """How far the tip stands out."""
    mouth_y: float = 0.3
    """Place of the mouth between the base of the nose (0) and the chin (1)."""
    mouth_w: float = 0.338
    """Half width of the mouth."""
    lip_up: float = 0.105
    """Thickness of the upper lip."""
    lip_low: float = 0.115
    """Thickness of the lower lip."""
    cheek: float = 0.05
    """How far the cheekbones stand out."""


_SPREAD = Identity(
    width=0.035, chin_y=0.05, crown_y=0.04, jaw=0.07, eye_x=0.014, eye_w=0.011, eye_up=0.014,
    eye_low=0.008, eye_tilt=0.08, brow_y=0.03, brow_arch=0.025, brow_h=0.016, brow_tilt=0.03,
    nose_y=0.03, nose_w=0.022, nose_z=0.035, mouth_y=0.025, mouth_w=0.03, lip_up=0.02,
    lip_low=0.022, cheek=0.025,
)  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """What the face does; pairs are (left, right) as seen in the picture."""

    mouth_open: float = 0.0
    """0 shut to 1 wide open."""
    smile: float = 0.0
    """-0.5 sad to 1 broad smile."""
    brow_raise: tuple[float, float] = (0.0, 0.0)
    """-0.6 frown to 1 raised."""
    eye_close: tuple[float, float] = (0.0, 0.0)
    """-0.3 wide open to 1 shut."""
    gaze: tuple[float, float] = (0.0, 0.0)
    """Shift of the irises right and down, -1 to 1."""
    skew: float = 0.0
    """Unequal mouth: how much higher the right corner is."""


def sample_identity(rng: np.random.Generator) -> Identity:
    """A person: each coefficient normal about the mean, at most two deviations away."""
    mean = Identity()
    draws = np.clip(rng.standard_normal(len(fields(Identity))), -2, 2)
    return replace(
        mean,
        **{
            field.name: float(getattr(mean, field.name) + getattr(_SPREAD, field.name) * draw)
            for field, draw in zip(fields(Identity), draws, strict=True)
        },
    )


def sample_expression(rng: np.random.Generator) -> Expression:
    """An expression: mostly calm or friendly, sometimes talking, surprised or with shut eyes."""
    smile = float(rng.choice([rng.uniform(-0.3, 0.15), rng.uniform(0, 0.5), rng.uniform(0.5, 1)]))
    mouth = float(rng.uniform(0.0, 0.06) if rng.random() < 0.55 else rng.beta(1.2, 2.2))
    raised = float(np.clip(rng.normal(0.12 + 0.35 * mouth, 0.32), -0.6, 1))
    shut = float(
        rng.choice([rng.uniform(-0.25, 0.25), rng.uniform(0.25, 0.7), 1.0], p=[0.8, 0.1, 0.1])
    )
    wink = rng.random() < 0.03
    return Expression(
        mouth_open=mouth,
        smile=smile,
        brow_raise=(raised, raised + float(rng.normal(0, 0.08))),
        eye_close=(shut, float(rng.uniform(0, 0.2)) if wink else shut),
        gaze=(float(rng.uniform(-1, 1)), float(rng.uniform(-0.5, 0.6))),
        skew=float(rng.normal(0, 0.008)),
    )


@dataclass(frozen=True)
class FaceShape:
    """One person with one expression."""

    identity: Identity
    expression: Expression

    # --- the plane: curves -------------------------------------------------------------------

    @cached_property
    def chin_y(self) -> float:
        """Height of the chin, dropped by an open mouth."""
        return self.identity.chin_y + 0.17 * self.expression.mouth_open

    @cached_property
    def nose_base_y(self) -> float:
        """Height of the base of the nose."""
        return self.identity.nose_y + 0.13

    @cached_property
    def mouth_y(self) -> float:
        """Height of the line between the closed lips."""
        base = self.nose_base_y
        return base + self.identity.mouth_y * (self.identity.chin_y - base)

    def half_width(self, theta: Floats) -> Floats:
        """Half width of the face at the angle theta: -pi/2 crown, 0 eye line, pi/2 chin."""
        cheeks = 0.025 * max(self.expression.smile, 0.0) * np.sin(2 * np.clip(theta, 0, None))
        power = np.where(theta > 0, self.identity.jaw, 0.72)
        return self.identity.width * np.clip(np.cos(theta), 0, 1) ** power + cheeks

    def height(self, theta: Floats) -> Floats:
        """Y at the angle theta."""
        return np.sin(theta) * np.where(theta > 0, self.chin_y, self.identity.crown_y)

    def brow(self, side: int, u: Floats, lower: bool) -> Floats:
        """Upper or lower edge of a brow; u from 0 at the outer end to 1 at the inner."""
        me = self.identity
        raised = self.expression.brow_raise[side > 0]
        x = 0.79 - 0.55 * u + 0.05 * min(raised, 0.0) * u
        arch = (me.brow_arch + 0.03 * raised) * np.sin(np.pi * u**0.8)
        y = -(me.brow_y + 0.09 * raised) + (0.045 - me.brow_tilt) * (1 - u) ** 1.5 - arch
        if lower:
            y = y + me.brow_h * np.clip(u * 3, 0, 1) ** 0.7 * (1 - 0.3 * u**4)
        return np.stack([side * x * (me.eye_x / 0.43), y], axis=-1)

    def lid(self, side: int, u: Floats, lower: bool) -> Floats:
        """Edge of an eyelid; u from 0 at the outer corner to 1 at the inner."""
        me, shut = self.identity, self.expression.eye_close[side > 0]
        x = me.eye_x + me.eye_w * (1 - 2 * u)
        corners = me.eye_tilt * me.eye_w * (2 * u - 1)
        squeeze = 1 - 0.35 * max(self.expression.smile, 0.0)
        bottom = me.eye_low * squeeze * np.sin(np.pi * u) ** 0.9
        if lower:
            return np.stack([side * x, corners + bottom], axis=-1)
        top = -me.eye_up * np.sin(np.pi * u**1.1) ** 0.75
        y = corners + top + (bottom - top) * shut
        return np.stack([side * x, y], axis=-1)

    def pupil(self, side: int) -> Floats:
        """Middle of the iris (2,): between the lids, shifted by the gaze."""
        me, (right, down) = self.identity, self.expression.gaze
        middle = (self.lid(side, np.array(0.5), False) + self.lid(side, np.array(0.5), True)) / 2
        opening = 1 - np.clip(self.expression.eye_close[side > 0], 0, 1)
        pupil: Floats = middle + opening * np.array(
            [0.06 * right * me.eye_w / 0.172, 0.02 * down - 0.008]
        )
        return pupil

    def iris_radius(self) -> float:
        """Radius of an iris."""
        return 0.45 * self.identity.eye_w

    def bridge(self, u: Floats) -> Floats:
        """Ridge of the nose; u from 0 between the eyes to 1 at the tip."""
        return np.stack([np.zeros_like(u), 0.01 + u * (self.identity.nose_y - 0.01)], axis=-1)

    def nostril(self, side: int, u: Floats) -> Floats:
        """Base of the nose; u from 0 at the wing to 1 in the middle."""
        wide = self.identity.nose_w * (1 + 0.12 * max(self.expression.smile, 0.0))
        y = self.nose_base_y - 0.045 * (1 - u)
        return np.stack([side * wide * (1 - u), y], axis=-1)

    def _lip_line(self, side: int, u: Floats, reach: float) -> Floats:
        """The line between closed lips; u from 0 at the corner to 1 in the middle."""
        me, smile = self.identity, self.expression.smile
        narrow = 1 - 0.16 * self.expression.mouth_open
        x = reach * (me.mouth_w + 0.085 * smile) * narrow * (1 - u)
        corner = 0.012 - 0.11 * smile - side * self.expression.skew
        corner += 0.1 * self.expression.mouth_open
        return np.stack([side * x, self.mouth_y + corner * (1 - u) ** 1.6], axis=-1)

    def _gape(self, u: Floats) -> tuple[Floats, Floats]:
        """How far the upper and the lower inner lip stand off the line between closed lips."""
        grin = max(self.expression.smile - 0.45, 0.0) * 0.09
        arc = np.sin(np.pi / 2 * u) ** 0.7
        return arc * (0.35 * grin + 0.03 * self.expression.mouth_open), arc * (
            0.65 * grin + 0.3 * self.expression.mouth_open
        )

    def lip(self, side: int, u: Floats, lower: bool) -> Floats:
        """Outer edge of a lip; u from 0 at the corner to 1 in the middle."""
        me = self.identity
        thin = 1 - 0.25 * max(self.expression.smile, 0.0)
        above, below = self._gape(u)
        line = self._lip_line(side, u, 1.0)
        if lower:
            line[..., 1] += below + me.lip_low * thin * np.sin(np.pi / 2 * u) ** 0.85
        else:
            bow = 1 - 0.3 * np.exp(-(((1 - u) / 0.22) ** 2))
            line[..., 1] -= above + me.lip_up * thin * bow * np.sin(np.pi / 2 * u) ** 0.75
        return line

    def inner_lip(self, side: int, u: Floats, lower: bool) -> Floats:
        """Inner edge of a lip; u from 0 at the corner to 1 in the middle."""
        above, below = self._gape(u)
        line = self._lip_line(side, u, 0.92)
        line[..., 1] += below if lower else -above
        return line

    # --- the relief --------------------------------------------------------------------------

    def depth(self, x: Floats, y: Floats) -> Floats:
        """Z of the surface over points of the plane."""
        theta = np.arcsin(np.clip(y / np.where(y > 0, self.chin_y, self.identity.crown_y), -1, 1))
        across = np.clip(x / np.maximum(self.half_width(theta), 1e-6), -1, 1)
        return self._skull(theta, np.arccos(across)) + self._features(x, y)

    def _skull(self, theta: Floats, angle: Floats) -> Floats:
        """The head without its features; angle 0 at the right edge, pi/2 in front."""
        sine, cosine = np.sin(theta), np.clip(np.cos(theta), 0, 1)
        edge = -0.05 + np.where(theta > 0, 0.7 * np.abs(sine) ** 3, 0.15 * sine**2)
        front = np.where(theta > 0, 0.64 + 0.22 * cosine**0.6, 0.1 + 0.76 * cosine**0.75)
        return edge + (front - edge) * np.sin(angle) ** 0.85

    def _features(self, x: Floats, y: Floats) -> Floats:
        """What stands out of the skull, or lies in."""
        me, side = self.identity, np.abs(x)
        bumps = (
            (-0.07, me.eye_x - 0.05, 0.0, 0.2, 0.13),
            (0.045, me.eye_x, 0.0, 0.13, 0.075),
            (0.05, 0.4, -me.brow_y - 0.03, 0.34, 0.1),
            (me.cheek, 0.58, 0.42, 0.24, 0.22),
            (0.03 + 0.05 * max(self.expression.smile, 0), 0.45, 0.58, 0.16, 0.14),
            (0.07, 0.0, self.mouth_y + 0.01, 0.3, 0.16),
            (0.075, 0.0, self.chin_y - 0.14, 0.2, 0.13),
            (-0.03, 0.0, self.chin_y - 0.3, 0.2, 0.06),
            (0.07, 0.66 * me.nose_w, self.nose_base_y - 0.09, 0.07, 0.075),
        )
        total = self._nose(x, y)
        for height, cx, cy, sx, sy in bumps:
            across = np.exp(-(((side - cx) / sx) ** 2))  # apart from y, which is cheap on a grid
            total += across * (height * np.exp(-(((y - cy) / sy) ** 2)))
        return total

    def _nose(self, x: Floats, y: Floats) -> Floats:
        me = self.identity
        along = y / me.nose_y
        above = np.where(along > 0, 0.16 + 0.84 * np.clip(along, 0, 1) ** 1.6, 0)
        brow = 0.16 * np.exp(-((y / 0.12) ** 2))
        below = np.exp(-(((y - me.nose_y) / 0.115) ** 2))
        height = np.where(along < 0, brow, np.where(along < 1, above, below))
        wide = (0.08 + 0.05 * np.clip(along, 0, 1)) * me.nose_w / 0.17
        return me.nose_z * height * np.exp(-((x / wide) ** 2))

    def surface(self, rows: int, columns: int) -> Floats:
        """A grid of points (rows, columns, 3) from crown to chin and from left to right.

        It is dense about the nose, which is steep, and sparse towards the outline.
        """
        down, across = (np.linspace(-1, 1, count) for count in (rows, columns))
        theta = np.pi / 2 * (0.6 * down + 0.4 * down**3)[:, None]
        angle = np.pi / 2 * (1 - 0.6 * across - 0.4 * across**3)[None, :]
        return self._points_at(theta, angle)

    def lift(self, plane: Floats) -> Floats:
        """Points (..., 2) of the plane on the surface, (..., 3)."""
        return np.concatenate([plane, self.depth(plane[..., 0], plane[..., 1])[..., None]], axis=-1)

    def jaw_line(self, count: int, yaw_rad: float) -> Floats:
        """The outline from ear over chin to ear as a viewer sees it, (count, 3).

        On the side turned away the outline is no fixed curve of the head: it is where each level
        of the cheek reaches furthest out, as annotators place it. On the near side it is the edge.
        """
        place = np.linspace(-1, 1, count)[:, None]
        theta = (1 - np.abs(place)) * np.pi / 2
        inwards = np.linspace(0, 0.39 * np.pi, 96)[None, :]  # stops short of the nose
        angle = np.where(place < 0, np.pi - inwards, inwards)
        levels = self._points_at(theta, angle)
        outwards = np.cos(yaw_rad) * levels[..., 0] + np.sin(yaw_rad) * levels[..., 2]
        furthest = (np.where(place < 0, -1, 1) * outwards).argmax(axis=1)
        line: Floats = levels[np.arange(count), furthest]
        return line

    def _points_at(self, theta: Floats, angle: Floats) -> Floats:
        """Points of the surface at angles that broadcast to (rows, columns): (rows, columns, 3)."""
        x = self.half_width(theta) * np.cos(angle)
        y = self.height(theta)
        z = self._skull(theta, angle) + self._features(x, y)
        return np.stack([x, np.broadcast_to(y, x.shape), z], axis=-1)
