"""Boundary maps, against OpenCV's distance to a polygon."""

import math

import cv2
import numpy as np
import torch

from landmint.train.targets import boundary_maps, cell_places

GRID = (20, 30)


def test_cells_stand_at_their_middle() -> None:
    places = cell_places((2, 3), torch.zeros(1))
    assert places.shape == (2, 3, 2)
    assert places[1, 2].tolist() == [2.5, 1.5]


def test_a_closed_contour_is_as_far_as_opencv_says() -> None:
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 7))
    points = 0.5 + 0.35 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    contours = ((tuple(range(7)), True),)
    drawn = boundary_maps(torch.from_numpy(points)[None].float(), contours, GRID)[0, 0].numpy()
    cells = (points * [GRID[1], GRID[0]]).astype(np.float32)[:, None]
    for row, column in np.ndindex(GRID):
        away = abs(cv2.pointPolygonTest(cells, (column + 0.5, row + 0.5), True))
        wanted = math.exp(-(away**2) / 2) if away < 3 else 0.0
        assert abs(drawn[row, column] - wanted) < 1e-3


def test_an_open_line_is_not_closed_and_has_round_ends() -> None:
    points = torch.tensor([[[0.25, 0.5], [0.75, 0.5], [0.75, 0.5]]])  # two at one place
    (drawn,) = boundary_maps(points, (((0, 1, 2), False),), (20, 20))[0]
    assert float(drawn[9, 10]) == float(drawn[10, 10]) and abs(float(drawn[9, 10]) - 0.8825) < 1e-3
    assert float(drawn[9, 3]) < float(drawn[9, 4])
    assert float(drawn[9, 0]) == 0


def test_a_missing_landmark_takes_its_two_segments_along() -> None:
    points = torch.tensor([[[0.1, 0.5], [0.5, math.nan], [0.7, 0.5], [0.9, 0.5]]])
    first, second = boundary_maps(points, (((0, 1, 2, 3), False), ((0, 1), False)), (10, 10))[0]
    assert float(first[5, 3]) < 0.05, "a segment that nobody knows"
    assert float(first[5, 8]) > 0.8
    assert not second.any()
