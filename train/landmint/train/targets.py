"""Targets that are drawn for training alone: pure functions of landmarks.

Points are (B, L, 2), x then y, normalised to [0, 1] over the crop, NaN where a landmark is missing.
Maps are in cells: cell i stands at i + 0.5. Gaussians at landmarks stand in `losses`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from landmint.train.losses import Grid

Contours = Sequence[tuple[tuple[int, ...], bool]]
"""Of a markup: landmarks in the order of the line, and whether it is closed."""


def cell_places(grid: Grid, like: Tensor) -> Tensor:
    """Where the cells of a map stand, in cells: (rows, columns, 2), x then y."""
    down, across = (torch.arange(n, device=like.device) + 0.5 for n in grid)
    y, x = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([x, y], dim=-1)


def offsets_from_cells(points: Tensor, grid: Grid) -> Tensor:
    """From the middle of every cell to every landmark, in cells: (B, L, H, W, 2), x then y.

    Args:
        points: (B, L, 2).
        grid: rows and columns.
    """
    scale = torch.tensor([grid[1], grid[0]], dtype=torch.float32, device=points.device)
    return (points.float() * scale)[:, :, None, None] - cell_places(grid, points)


def boundary_maps(points: Tensor, contours: Contours, grid: Grid, sigma: float = 1.0) -> Tensor:
    """How near each cell is to each contour: (B, E, H, W), 1 on the line, 0 beyond three sigma.

    A Gaussian of the distance to the nearest segment (Wang, Bo and Fuxin, ICCV 2019, section 5.2,
    who take a spline). Segments that end in a missing landmark are not drawn.

    Args:
        points: (B, L, 2).
        contours: lines of landmarks.
        grid: rows and columns.
        sigma: standard deviation in cells.
    """
    scale = torch.tensor([grid[1], grid[0]], dtype=torch.float32, device=points.device)
    places, ends = cell_places(grid, points).reshape(-1, 2), points.float() * scale
    maps = []
    for landmarks, closed in contours:
        start = list(landmarks) if closed else list(landmarks[:-1])
        end = [*landmarks[1:], landmarks[0]] if closed else list(landmarks[1:])
        away = _distance(places, ends[:, start, None], ends[:, end, None])
        nearest = away.nan_to_num(nan=torch.inf).amin(dim=1)
        maps.append(torch.exp(-(nearest**2) / (2 * sigma**2)) * (nearest < 3 * sigma))
    return torch.stack(maps, dim=1).reshape(len(points), len(maps), *grid)


def _distance(places: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """From places (P, 2) to segments (B, S, 1, 2): (B, S, P)."""
    along = end - start
    length = along.square().sum(dim=-1).clamp(min=1e-12)
    share = (((places - start) * along).sum(dim=-1) / length).clamp(0, 1)
    away: Tensor = torch.linalg.vector_norm(places - start - share[..., None] * along, dim=-1)
    return away
