"""Where the latent landmarks are: against a search by loops, and what the task does with them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmint.train import losses
from landmint.train.config import LossConfig
from landmint.train.faces.face import FaceSet
from landmint.train.latent import latent_points, weak_landmarks
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import task_for

GRID = (32, 32)
SIGMA = 1.5


def _searched(heatmap: NDArray[np.float32], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """The search of the paper, written out for one landmark: 9 x 9 places of 32 x 32 cells."""
    least, latent = math.inf, point
    for down in range(-4, 5):
        for right in range(-4, 5):
            place = point * 32 + (right, down)
            column, row = np.floor(place).astype(int)
            chi = 0.0
            for y in range(row - 5, row + 6):
                for x in range(column - 5, column + 6):
                    away = (x + 0.5 - place[0]) ** 2 + (y + 0.5 - place[1]) ** 2
                    ideal = math.exp(-away / (2 * SIGMA**2))
                    drawn = heatmap[y, x] if 0 <= x < 32 and 0 <= y < 32 else 0.0
                    chi += (max(drawn, 0.0) - ideal) ** 2 / ideal
            cost = chi / (2 * math.pi * SIGMA**2) + (right**2 + down**2) / (2 * 2.0**2)
            if cost < least:
                least, latent = cost, place / 32
    return latent


def test_the_search_is_that_of_the_loops() -> None:
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform(0.05, 0.95, (2, 3, 2)))
    drawn = points + torch.from_numpy(rng.normal(0, 0.06, points.shape))
    maps = losses.encode_heatmaps(drawn, GRID, SIGMA)
    maps += torch.from_numpy(rng.normal(0, 0.02, maps.shape)).float()
    latent = latent_points(maps, points, SIGMA)
    for face, landmark in np.ndindex(2, 3):
        wanted = _searched(maps[face, landmark].numpy(), points[face, landmark].numpy())
        np.testing.assert_allclose(latent[face, landmark].numpy(), wanted, atol=1e-6)
    assert not torch.allclose(latent, points)


def test_a_peak_within_reach_is_the_truth_and_an_empty_map_leaves_the_label() -> None:
    points = torch.tensor([[[0.5, 0.5], [0.31, 0.77]]])
    two_right = points + torch.tensor([2 / 32, 0.0])
    drawn = losses.encode_heatmaps(two_right, GRID, SIGMA)
    torch.testing.assert_close(latent_points(drawn, points, SIGMA), two_right)
    torch.testing.assert_close(latent_points(0 * drawn, points, SIGMA), points)


def test_a_label_outside_the_crop_and_a_missing_one_stay() -> None:
    points = torch.tensor([[[1.2, 0.5], [math.nan, math.nan]]])
    maps = torch.rand(1, 2, *GRID)
    torch.testing.assert_close(latent_points(maps, points, SIGMA), points, equal_nan=True)


def test_corners_and_ends_are_no_weak_landmarks() -> None:
    """A line that bends at right angles, a closed hexagon, and a landmark on two lines."""
    line = [[0.0, 0.0], [0.1, 0.0], [0.2, 0.0], [0.2, 0.1], [0.2, 0.2]]
    eye = [[0.3, 0.5], [0.4, 0.45], [0.5, 0.45], [0.6, 0.5], [0.5, 0.55], [0.4, 0.55]]
    points = torch.tensor([line + eye])
    contours = ((tuple(range(5)), False), (tuple(range(5, 11)), True))
    weak = [False, True, False, True, False, False, True, True, False, True, True]
    assert weak_landmarks(points, contours)[0].tolist() == weak
    twice = weak_landmarks(points, (*contours, ((3, 6, 7), False)))[0].tolist()
    assert twice == [False, True, False, False, False, False, False, False, False, True, True]
    points[0, 1] = math.nan
    assert not weak_landmarks(points, contours)[0, [0, 1, 2]].any()


def test_only_weak_landmarks_are_taught_elsewhere_than_at_their_label(
    make_model: Callable[..., LandmarkModel],
    make_faces: Callable[..., FaceSet],
    batch: Callable[[int, int], dict[str, Tensor]],
) -> None:
    model = make_model("mobilefan", input_size=64)
    task = task_for(model, LossConfig(kind="latent"), make_faces({}))
    points = torch.zeros_like(batch(1, 64)["points"])
    # The jaw lies on a straight line, every other landmark on one spot.
    points[:] = torch.tensor([0.5, 0.25])
    points[:, :17, 0] = torch.linspace(0.2, 0.8, 17)
    points[:, :17, 1] = 0.5
    one_down = points + torch.tensor([0.0, 1 / 16])
    drawn = losses.encode_heatmaps(one_down, (16, 16), 1.5)
    examples = {"points": points}
    at_jaw = drawn.clone()
    at_jaw[:, [0, *range(16, 68)]] = losses.encode_heatmaps(points, (16, 16), 1.5)[
        :, [0, *range(16, 68)]
    ]
    assert float(task.parts((), {"heatmaps": at_jaw}, examples)["heatmaps"]) == pytest.approx(0)
    elsewhere = float(task.parts((), {"heatmaps": drawn}, examples)["heatmaps"])
    unit = 16 * 16 / (math.pi * 1.5**2)
    unlike = losses.heatmap_mse(drawn, losses.encode_heatmaps(points, (16, 16), 1.5))
    assert elsewhere == pytest.approx(unit * float(unlike) * 53 / 68, rel=1e-3)
