"""Losses on landmarks that weigh directions: pure functions of tensors, as in `losses`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from landmint.train.losses import Grid
from landmint.train.targets import Contours, cell_places

_LEAST = 1e-5


class Spread:
    """Mean and covariance of where the mass of maps lies."""

    def __init__(self, maps: Tensor) -> None:
        """Sum up maps (B, L, H, W) of no negative cells, in 32 bits."""
        maps = maps.float()
        self.grid: Grid = (maps.shape[2], maps.shape[3])
        scale = torch.tensor([self.grid[1], self.grid[0]], device=maps.device)
        places = cell_places(self.grid, maps).reshape(-1, 2) / scale
        share = maps.flatten(2) / (maps.sum(dim=(2, 3)) + _LEAST)[..., None]
        self.mean = share @ places
        """(B, L, 2) in [0, 1] of the crop; for an empty map the corner."""
        away = places - self.mean[:, :, None]
        self.xx, self.yy, self.xy = (
            (share * away[..., i] * away[..., j]).sum(dim=2) for i, j in ((0, 0), (1, 1), (0, 1))
        )

    def axes(self) -> tuple[Tensor, Tensor, Tensor]:
        """The two principal variances (B, L), larger first, and the larger one's angle in rad."""
        middle, half = (self.xx + self.yy) / 2, (self.xx - self.yy) / 2
        reach = (half.square() + self.xy.square() + 1e-16).sqrt()
        angle = 0.5 * torch.atan2(self.xy, half + 1e-12)
        return middle + reach, (middle - reach).clamp(min=0), angle


def normals(points: Tensor, contours: Contours) -> Tensor:
    """Unit vectors (B, L, 2) across the contour at each landmark; 0 where there is no direction.

    Across the difference of the unit vectors to both neighbours, which vanishes only at a fold; at
    an open end across the one vector (Huang et al., "ADNet", ICCV 2021, section 3.2, has the sum of
    the two, which is no direction on a straight line).
    """
    along = torch.zeros_like(points)
    for landmarks, closed in contours:
        line = points[:, list(landmarks)]
        step = F.normalize(line.roll(-1, dims=1) - line, dim=2, eps=1e-9)
        before = step.roll(1, dims=1)
        if not closed:
            step = torch.cat([step[:, :-1], step[:, -2:-1]], dim=1)
            before = torch.cat([step[:, :1], before[:, 1:]], dim=1)
        along[:, list(landmarks)] = F.normalize(step + before, dim=2, eps=1e-9)
    across = torch.stack([-along[..., 1], along[..., 0]], dim=2)
    return across.nan_to_num(nan=0.0)


def directional(
    points: Tensor,
    target: Tensor,
    across: Tensor,
    ratio: Tensor | float,
    weight: Tensor,
    bend: float = 0.005,
) -> Tensor:
    """ADNet's anisotropic direction loss: errors across the contour count more than along it.

    D^2 = a n^2 + b t^2 with a = 2 r / (r + 1), b = 2 / (r + 1), smooth L1 of D (equations 2 to 4).

    Args:
        points: (B, L, 2) in [0, 1].
        target: (B, L, 2).
        across: unit normals of `normals`; where there is none, both directions count alike.
        ratio: r, how much more an error across counts: (B, L) or one number.
        weight: (B, L).
        bend: below this share of the crop D counts by its square; published .01 of [-1, 1].
    """
    error = points.float() - target
    total = error.square().sum(dim=2)
    crossing = (error * across).sum(dim=2).square()
    along = total - crossing
    ratio = torch.as_tensor(ratio, device=error.device)
    weighed = 2 * (ratio * crossing + along) / (ratio + 1)
    has_direction = across.square().sum(dim=2) > 0.5
    distance = torch.where(has_direction, weighed, total).clamp(min=1e-12).sqrt()
    loss = torch.where(distance < bend, distance.square() / (2 * bend), distance - bend / 2)
    return (loss * weight).mean()


def star(spread: Spread, target: Tensor, weight: Tensor, restraint: float = 1.0) -> Tensor:
    """STAR: errors along the axes of the map's own spread, each over its standard deviation.

    Zhou et al., "STAR loss: reducing semantic ambiguity in facial landmark detection", CVPR 2023,
    equations 4 to 8. The variances' sum is added, lest the map spread to make errors cheap.

    Args:
        spread: of the map, in units of the crop.
        target: (B, L, 2) in [0, 1].
        weight: (B, L).
        restraint: weight of the variances' sum.
    """
    # In [-1, 1] of the crop, as published: lengths are twice as long.
    large, small, angle = spread.axes()
    error = 2 * (spread.mean - target)
    turned = (
        error[..., 0] * angle.cos() + error[..., 1] * angle.sin(),
        error[..., 1] * angle.cos() - error[..., 0] * angle.sin(),
    )
    loss = torch.zeros_like(large)
    for part, variance in zip(turned, (4 * large, 4 * small), strict=True):
        length = part.abs()
        smooth = torch.where(length < 0.01, length.square() / 0.02, length - 0.005)
        loss = loss + smooth / (variance + _LEAST).sqrt() + restraint * variance
    return (loss * weight).mean()


def spread_nll(mean: Tensor, target: Tensor, cholesky: Tensor) -> Tensor:
    """Negative log likelihood (B, L), in nats, of landmarks under a Laplacian about their mean.

    Kumar et al., "LUVLi face alignment", CVPR 2020. The spread is C C^T with
    C = [[l0, 0], [l1, l2]]: so its determinant is (l0 l2)^2, and no matrix is inverted.

    Args:
        mean: (B, L, 2) in cells.
        target: (B, L, 2) in cells.
        cholesky: (B, L, 3): l0, l1, l2 in cells, the first and last positive.
    """
    l0, l1, l2 = cholesky.float().unbind(dim=2)
    error = target - mean.float()
    first = error[..., 0] / l0
    second = (error[..., 1] - l1 * first) / l2
    away = (3 * (first.square() + second.square()) + 1e-12).sqrt()
    return math.log(2 * math.pi / 3) + (l0 * l2).log() + away
