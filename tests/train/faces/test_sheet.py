"""The contact sheet."""

from dataclasses import replace

import numpy as np
import pytest

from landmint.runtime.markup import get_markup
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


def test_exchanged_sides_are_seen(synthetic_faces: FaceSet) -> None:
    """Blue lies to the left of orange in every tile but that of the exchanged face."""
    markup = get_markup(synthetic_faces.markup)
    faces = list(synthetic_faces.faces[:4])
    faces[2] = replace(faces[2], points=faces[2].points[list(markup.flip)])
    bare = contact_sheet(faces, 4, landmarks=False, markup=markup).astype(int)
    added = contact_sheet(faces, 4, markup=markup) - bare
    reddish = added[..., 0] - added[..., 2]
    left_of = []
    for tile in np.split(reddish, 4, axis=1):
        blue, orange = (np.nonzero(sign * tile > 60)[1].mean() for sign in (-1, 1))
        left_of.append(bool(blue < orange))
    assert left_of == [True, True, False, True]


def test_tiles_carry_names(synthetic_faces: FaceSet) -> None:
    faces = synthetic_faces.faces[:2]
    markup = get_markup(synthetic_faces.markup)
    renamed = [replace(face, name=f"{face.name} another") for face in faces]
    sheets = [contact_sheet(some, 2, landmarks=False, markup=markup) for some in (faces, renamed)]
    changed = (sheets[0] != sheets[1]).any(axis=(1, 2))
    assert changed[-16:].any() and not changed[:-20].any()
