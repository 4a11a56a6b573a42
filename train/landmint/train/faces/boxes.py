"""Face boxes as a detector would draw them: near the landmarks' box, not on it.

Not augmentation: one box a face, for evaluating how far a network leans on exact ones.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from landmint.runtime.crop import Box
from landmint.train.faces.face import FaceSet, face_set

BOXES: Mapping[str, tuple[tuple[float, float], float]] = {
    "exact": ((1.0, 1.0), 0.0),
    "scale .9 to 1.1, shift 5 %": ((0.9, 1.1), 0.05),
    "scale .8 to 1.25, shift 10 %": ((0.8, 1.25), 0.1),
}
"""The boxes that networks are compared in, by what a reader is told: factor on the sides, shift of
the middle; see `loosen`."""


def loosen(faces: FaceSet, scale: tuple[float, float], shift: float, seed: int) -> FaceSet:
    """The same faces in other boxes.

    Args:
        faces: in exact boxes.
        scale: least and most factor on both sides.
        shift: the middle moves by up to this share of each side, either way.
        seed: equal seeds draw equal boxes.
    """
    rng = np.random.default_rng(seed)
    moved = []
    for face in faces.faces:
        box, factor = face.box, rng.uniform(*scale)
        x, y = rng.uniform(-shift, shift, 2) * (box.w, box.h)
        width, height = factor * box.w, factor * box.h
        left, top = box.x + (box.w - width) / 2 + x, box.y + (box.h - height) / 2 + y
        moved.append(replace(face, box=Box(left, top, width, height)))
    return face_set(faces.markup, moved, f"{faces.source}, boxes loosened")
