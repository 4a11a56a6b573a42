"""The contact sheet."""

import numpy as np
import pytest

from landmint.train.faces.face import FaceSet
from landmint.train.faces.sheet import contact_sheet


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2)])
def test_rows_and_columns(synthetic_faces: FaceSet, count: int, rows: int) -> None:
    sheet = contact_sheet(synthetic_faces.faces[:count], columns=4, tile_px=50)
    assert sheet.shape == (50 * rows, 200, 3)
    blank = sheet[-50:, 50 * ((count - 1) % 4 + 1) :]
    assert blank.size == 0 or not blank.any()


def test_landmarks_are_drawn(synthetic_faces: FaceSet) -> None:
    bare = contact_sheet(synthetic_faces.faces[:4], 2, landmarks=False)
    marked = contact_sheet(synthetic_faces.faces[:4], 2)
    changed = (bare != marked).any(axis=-1).mean()
    assert 0.005 < changed < 0.1
    assert np.array_equal(contact_sheet(synthetic_faces.faces[:4], 2), marked)
