"""Loosened boxes stay within their bounds, and nothing but the box changes."""

import numpy as np

from landmint.train.faces.boxes import loosen
from landmint.train.faces.face import FaceSet


def test_boxes_move_within_their_bounds(synthetic_faces: FaceSet) -> None:
    loose = loosen(synthetic_faces, (0.8, 1.25), 0.1, seed=0)
    factors, shifts = [], []
    for old, new in zip(synthetic_faces.faces, loose.faces, strict=True):
        assert new.image == old.image and new.points is old.points
        factors.append((new.box.w / old.box.w, new.box.h / old.box.h))
        shifts.append((new.box.x + new.box.w / 2 - old.box.x - old.box.w / 2) / old.box.w)
    assert np.ptp(factors, axis=1).max() < 1e-9  # both sides by the same factor
    assert 0.8 <= np.min(factors) < 0.95 and 1.1 < np.max(factors) <= 1.25
    assert np.abs(shifts).max() <= 0.1 and np.std(shifts) > 0.02


def test_equal_seeds_draw_equal_boxes(synthetic_faces: FaceSet) -> None:
    first, same, other = (loosen(synthetic_faces, (0.8, 1.25), 0.1, seed) for seed in (1, 1, 2))
    assert first.fingerprint == same.fingerprint != other.fingerprint


def test_no_jitter_is_the_same_box(synthetic_faces: FaceSet) -> None:
    same = loosen(synthetic_faces, (1, 1), 0, seed=0)
    for old, new in zip(synthetic_faces.faces, same.faces, strict=True):
        np.testing.assert_allclose(new.box, old.box)
