"""Losses of landmarks by direction and spread, against numpy, scipy and sums by hand."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from landmint.train.losses import encode_heatmaps
from landmint.train.point_losses import Spread, directional, normals, spread_nll, star


def test_mean_and_covariance_of_maps_are_numpys() -> None:
    maps = torch.rand(1, 2, 12, 16)
    spread = Spread(maps)
    for i, heatmap in enumerate(maps[0].double().numpy()):
        y, x = scipy.ndimage.center_of_mass(heatmap)
        assert spread.mean[0, i].tolist() == pytest.approx([(x + 0.5) / 16, (y + 0.5) / 12], 1e-4)
        rows, columns = np.mgrid[:12, :16]
        places = np.stack([columns.ravel() / 16, rows.ravel() / 12])
        covariance = np.cov(places, aweights=heatmap.ravel(), ddof=0)
        large, small, angle = (float(part[0, i]) for part in spread.axes())
        values, vectors = np.linalg.eigh(covariance)
        assert [small, large] == pytest.approx(values.tolist(), rel=1e-3)
        along = abs(math.cos(angle) * vectors[0, 1] + math.sin(angle) * vectors[1, 1])
        assert along == pytest.approx(1, abs=1e-4)


def test_an_empty_map_is_finite() -> None:
    maps = torch.zeros(1, 1, 8, 8, requires_grad=True)
    loss = star(Spread(maps), torch.full((1, 1, 2), 0.5), torch.ones(1, 1))
    torch.autograd.backward(loss)
    assert maps.grad is not None and bool(maps.grad.isfinite().all())


def test_normals_of_lines_and_corners() -> None:
    line = torch.tensor([[[0.0, 0.5], [0.3, 0.5], [1.0, 0.5], [1.0, 0.9]]])
    across = normals(line, (((0, 1, 2, 3), False),))[0].abs()
    assert across[0].tolist() == pytest.approx([0, 1], abs=1e-6), "a straight line has a normal"
    assert across[1].tolist() == pytest.approx([0, 1], abs=1e-6)
    assert across[2].tolist() == pytest.approx([math.sqrt(0.5)] * 2, abs=1e-6)
    assert across[3].tolist() == pytest.approx([1, 0], abs=1e-6), "an open end has its segment's"


def test_a_circle_is_crossed_along_its_radius() -> None:
    angle = np.arange(12) * np.pi / 6
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    across = normals(torch.from_numpy(0.5 + 0.3 * ring)[None], ((tuple(range(12)), True),))
    assert np.allclose(np.abs((across[0].numpy() * ring).sum(axis=1)), 1)


def test_an_error_across_counts_more_than_one_along() -> None:
    target = torch.full((1, 2, 2), 0.5)
    across = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])

    def cost(dx: float, dy: float, weight: tuple[float, float]) -> float:
        points = target + torch.tensor([dx, dy])
        return 2 * float(directional(points, target, across, 2.0, torch.tensor([weight])))

    # D^2 = 4/3 n^2 + 2/3 t^2; beyond .005 the loss is D - .0025.
    assert cost(0.1, 0, (1, 0)) == pytest.approx(0.1 * math.sqrt(4 / 3) - 0.0025, rel=1e-5)
    assert cost(0, 0.1, (1, 0)) == pytest.approx(0.1 * math.sqrt(2 / 3) - 0.0025, rel=1e-5)
    assert cost(0.002, 0, (1, 0)) == pytest.approx(4 / 3 * 0.002**2 / 0.01, rel=1e-4)
    assert cost(0.1, 0, (0, 1)) == cost(0, 0.1, (0, 1)) == pytest.approx(0.0975, rel=1e-5)


def test_star_divides_by_the_maps_own_spread() -> None:
    """By numpy's eigenvectors, as the published code has it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] + 0.5
    heatmap = np.exp(-((x - 14) ** 2) / 18 - (y - 15 - 0.5 * (x - 14)) ** 2 / 4)
    target = np.array([14.5, 17]) / 32 + rng.normal(0, 0.01, 2)
    share = heatmap / heatmap.sum()
    places = np.stack([x, y], axis=-1) / 16 - 1
    mean = (share[..., None] * places).sum(axis=(0, 1))
    away = places - mean
    values, vectors = np.linalg.eigh(np.einsum("ij,ijk,ijl", share, away, away))
    error = np.abs(vectors.T @ (mean - (2 * target - 1)))
    smooth = np.where(error < 0.01, error**2 / 0.02, error - 0.005)
    wanted = (smooth / np.sqrt(values + 1e-5)).sum() + values.sum()
    spread = Spread(torch.from_numpy(heatmap)[None, None])
    loss = star(spread, torch.from_numpy(target)[None, None].float(), torch.ones(1, 1))
    assert float(loss) == pytest.approx(wanted, rel=1e-3)
    assert float(star(spread, spread.mean + 1, torch.zeros(1, 1))) == 0, "masked"


def test_the_likelihood_along_an_axis_is_by_hand() -> None:
    mean, target = torch.tensor([[[3.0, 4.0]] * 2]), torch.tensor([[[5.0, 4.0], [3.0, 5.0]]])
    cholesky = torch.tensor([[[2.0, 1.0, 0.5]] * 2])
    # Determinant (2 x 0.5)^2 = 1. Along x: (1, (0 - 1) / 0.5); along y: (0, 1 / 0.5).
    wanted = [math.log(2 * math.pi / 3) + math.sqrt(3 * squares) for squares in (1 + 4, 4)]
    assert spread_nll(mean, target, cholesky)[0].tolist() == pytest.approx(wanted, rel=1e-5)


def test_the_laplacian_integrates_to_one() -> None:
    y, x = torch.meshgrid(*[torch.arange(-40, 40, 0.1)] * 2, indexing="ij")
    target = torch.stack([x, y], dim=-1).reshape(1, -1, 2)
    cholesky = torch.tensor([1.5, -0.7, 0.8]).expand(1, target.shape[1], 3)
    loss = spread_nll(torch.zeros_like(target), target, cholesky)
    assert float((-loss).exp().sum() * 0.01) == pytest.approx(1, abs=0.01)


def test_a_drawn_gaussian_is_where_it_was_drawn() -> None:
    points = torch.rand(2, 5, 2) * 0.4 + 0.3
    mean = Spread(encode_heatmaps(points, (32, 32), 1.5)).mean
    assert torch.allclose(mean, points, atol=1e-3)
