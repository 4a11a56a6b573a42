"""The detector's boxes are those that models are trained on; overlays show what they should."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline.detect import find_faces
from landmint.pipeline.draw import draw_landmarks, enlarge, enlargement, write_image
from landmint.runtime.crop import Box, box_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.faces.face import read_image
from landmint.train.faces.pts300w import read_pts

RealFaces = Callable[[str | Path], Path]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    height = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one.w * one.h + other.w * other.h - shared)


def test_real_faces_are_found_where_their_landmarks_are(real_faces: RealFaces) -> None:
    overlaps = []
    for path in sorted(real_faces("ytf68/val").glob("*.pts"))[::15]:
        found = find_faces(read_image(path.with_suffix(".jpg")))
        truth = box_of(read_pts(path, 68))
        overlaps.append(_overlap(found[0], truth) if found else 0.0)
    assert np.mean(np.array(overlaps) > 0.5) >= 0.9
    assert np.median(overlaps) > 0.72


def test_several_faces_the_largest_first(real_faces: RealFaces) -> None:
    face = read_image(sorted(real_faces("ytf68/val").glob("*.jpg"))[0])
    small = face[::2, ::2]
    canvas = np.zeros((len(face), face.shape[1] + small.shape[1], 3), dtype=np.uint8)
    canvas[:, : face.shape[1]] = face
    canvas[: len(small), face.shape[1] :] = small
    found = find_faces(canvas)
    assert len(found) == 2
    assert found[0].w > 1.5 * found[1].w


def test_nothing_is_found_in_nothing() -> None:
    assert find_faces(np.full((120, 160, 3), 90, dtype=np.uint8)) == []


def test_landmarks_are_drawn_where_they_are() -> None:
    markup = get_markup("68")
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    points = np.tile([[30.0, 60.0]], (68, 1))
    points[0] = (70.0, 20.0)
    drawn = draw_landmarks(image, points, markup)
    assert drawn[60, 30].min() > 200 and drawn[20, 70].min() > 200
    assert drawn[90, 90].max() == 0
    assert image.max() == 0, "the photograph stays as it is"


@pytest.mark.parametrize(
    ("side", "faces", "factor"),
    [
        (100, [], 1),
        (100, [20.0], 4),
        (300, [100.0, 400.0], 3),
        (300, [240.0], 1),
        (1500, [50.0], 1),
    ],
)
def test_small_faces_are_shown_larger(side: int, faces: list[float], factor: int) -> None:
    image = np.zeros((side, side // 2, 3), dtype=np.uint8)
    image[10, 10] = 255
    assert enlargement(image, [Box(0, 0, width, width) for width in faces]) == factor
    grown = enlarge(image, factor)
    assert grown.shape == (side * factor, side // 2 * factor, 3)
    peak = np.argwhere(grown[..., 0] > 200).mean(axis=0)
    assert np.allclose(peak, (10 + 0.5) * factor - 0.5, atol=0.01)


def test_points_far_outside_do_no_harm() -> None:
    points = np.full((98, 2), 1e9)
    drawn = draw_landmarks(
        np.zeros((20, 20, 3), dtype=np.uint8), points, get_markup("98"), Box(1, 1, 10, 10)
    )
    assert drawn.shape == (20, 20, 3)


def test_pictures_are_written_as_they_are(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (7, 9, 3), dtype=np.uint8)
    write_image(tmp_path / "new" / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "new" / "a.png"), image)


def test_an_unknown_picture_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="cannot write"):
        write_image(tmp_path / "a.xyz", np.zeros((4, 4, 3), dtype=np.uint8))
