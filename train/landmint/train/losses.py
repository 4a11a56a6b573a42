"""Losses, and the targets that they compare with: pure functions of tensors.

No networks, no settings of a run; `tasks.py` chooses and weights. Points are (B, L, 2), x then y,
normalised to [0, 1] over the crop, unless a name says pixels. `weight` (B, L) is how far each
landmark counts; it scales and does not normalise, so that a doubtful landmark teaches less. A
landmark that nobody placed is NaN, and counts nothing.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]
"""Rows and columns of a map."""

_MASS_FLOOR = 0.1
_RAREST = 0.01  # no class of faces counts as rarer, lest a single face rule its batch


def labelled(points: Tensor) -> tuple[Tensor, Tensor]:
    """Points (B, L, 2) without NaN, and the weight (B, L) of each: 0 where it is missing, else 1.

    In the place of a missing landmark stands the middle of the crop.
    """
    known = points.isfinite().all(dim=2)
    return torch.where(known[..., None], points, 0.5), known.float()


def encode_bins(coordinate: Tensor, count: int, sigma: float) -> Tensor:
    """Gaussians (B, L, count) of peak 1 along one axis, whose centres are not rounded to bins.

    Args:
        coordinate: (B, L) in [0, 1]; bin i stands at (i + 0.5) / count.
        count: of bins, or of the cells along a side of a heatmap.
        sigma: standard deviation in bins.
    """
    bins = torch.arange(count, device=coordinate.device, dtype=torch.float32) + 0.5
    distance = bins - coordinate[..., None].float() * count
    return torch.exp(-(distance**2) / (2 * sigma**2))


def encode_heatmaps(points: Tensor, grid: Grid, sigma: float) -> Tensor:
    """Gaussians (B, L, H, W) of peak 1 whose centres are not rounded to cells.

    Cell i stands at i + 0.5 in units of cells; rounding the centre would bias what a network
    learns by up to half a cell (Zhang et al., "DARK", CVPR 2020, section 3.2).

    Args:
        points: (B, L, 2) in [0, 1]; outside the crop only the tail remains.
        grid: rows and columns of the maps.
        sigma: standard deviation in cells.
    """
    rows, columns = grid
    # A Gaussian is the product of one along x and one along y.
    across = encode_bins(points[..., 0], columns, sigma)
    down = encode_bins(points[..., 1], rows, sigma)
    return down[..., :, None] * across[..., None, :]


def heatmap_mse(heatmaps: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared difference of maps (B, L, H, W)."""
    if weight is None:
        return F.mse_loss(_wide(heatmaps), _wide(target))
    return _weighted_mean((_wide(heatmaps) - target).square().mean(dim=(2, 3)), weight)


def adaptive_wing(
    heatmaps: Tensor,
    target: Tensor,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
    foreground: float = 10.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Mean Adaptive Wing loss of maps (B, L, H, W), foreground cells weighted.

    Wang, Bo and Fuxin, ICCV 2019, equations 3-7. The linear branch takes theta / epsilon, with
    which value and slope are continuous at theta; the paper's text is easily misread there.
    """
    y = _wide(target)
    delta = (y - _wide(heatmaps)).abs()
    power = alpha - y
    ratio = theta / epsilon
    slope = omega / (1 + ratio**power) * power * ratio ** (power - 1) / epsilon
    shift = theta * slope - omega * torch.log1p(ratio**power)
    curved = omega * torch.log1p((delta / epsilon) ** power)
    loss = torch.where(delta < theta, curved, slope * delta - shift)
    near_peak = F.max_pool2d(y, kernel_size=3, stride=1, padding=1) >= 0.2
    return _weighted_mean((loss * (1 + foreground * near_peak)).mean(dim=(2, 3)), weight)


def wing(
    points_px: Tensor,
    target_px: Tensor,
    weight: Tensor | None = None,
    width_px: float = 10.0,
    curvature_px: float = 2.0,
) -> Tensor:
    """Mean Wing loss of points (B, L, 2) in crop pixels.

    Feng et al., CVPR 2018, equation 5. In units of the crop's side every error would lie far
    inside the logarithm's linear start, and the loss would be a plain L1: so pixels.
    """
    delta = (_wide(points_px) - _wide(target_px)).abs()
    shift = width_px - width_px * math.log1p(width_px / curvature_px)
    curved = width_px * torch.log1p(delta / curvature_px)
    loss = torch.where(delta < width_px, curved, delta - shift).mean(dim=-1)
    return _weighted_mean(loss, weight)


class PipTargets(NamedTuple):
    """Where PIPNet reads its offsets, and what should stand there."""

    cell: Tensor
    """(B, L) index of each landmark's cell in the flattened map, row by row."""
    offsets: Tensor
    """(B, L, 2) from that cell's top left, in cells; in [0, 1) for a point in the crop, NaN for a
    missing one."""
    neighbours: Tensor
    """(B, L, K, 2) of each neighbour from the same corner, in cells; unbounded, NaN likewise."""


def pip_targets(points: Tensor, neighbours: Tensor, grid: Grid) -> PipTargets:
    """Cells and offsets of landmarks.

    Args:
        points: (B, L, 2) in [0, 1]; a point outside counts to the nearest cell, a missing one to
            the middle.
        neighbours: (L, K) indices.
        grid: rows and columns.
    """
    rows, columns = grid
    scale = torch.tensor([columns, rows], dtype=torch.float32)
    scale = scale.to(points.device, non_blocking=True)
    places = points.float() * scale
    shown = labelled(points)[0].float() * scale
    corner = shown.floor().clamp(min=torch.zeros_like(scale), max=scale - 1)
    cell = (corner[..., 1] * columns + corner[..., 0]).long()
    return PipTargets(cell, places - corner, places[:, neighbours] - corner[:, :, None])


def pip_reading(outputs: Mapping[str, Tensor], cell: Tensor) -> PipTargets:
    """What PIPNet's outputs x, y, nb_x and nb_y hold at cells (B, L)."""

    def at_cell(name: str) -> Tensor:
        """Values (B, L, K) of K maps a landmark."""
        batch, _, rows, columns = outputs[name].shape
        maps = _wide(outputs[name]).reshape(batch, cell.shape[1], -1, rows * columns)
        index = cell[..., None, None].expand(-1, -1, maps.shape[2], 1)
        return maps.gather(3, index)[..., 0]

    offsets = torch.cat([at_cell("x"), at_cell("y")], dim=2)
    return PipTargets(cell, offsets, torch.stack([at_cell("nb_x"), at_cell("nb_y")], dim=3))


def pip_loss(
    outputs: Mapping[str, Tensor],
    targets: PipTargets,
    scores: Tensor | None = None,
    weight: Tensor | None = None,
) -> dict[str, Tensor]:
    """PIPNet's three parts, unweighted among themselves (Jin et al., IJCV 2021, equation 1).

    Args:
        outputs: cls, x, y (B, L, g, g) and nb_x, nb_y (B, L K, g, g).
        targets: of `pip_targets`, or read from another network's outputs.
        scores: (B, L, g, g) wanted of cls; one-hot at the landmark's cell if absent.
        weight: (B, L).

    Returns:
        cls, the mean squared error over all cells; offsets and neighbours, the sum over x and y
        of the mean absolute error at the landmark's cell.
    """
    wide = _wide(outputs["cls"])
    if scores is None:
        scores = _one_hot(targets.cell, wide[0, 0].numel()).view(wide.shape)
    returned = pip_reading(outputs, targets.cell)
    own = _apart(returned.offsets, targets.offsets).sum(dim=2)
    others = _apart(returned.neighbours, targets.neighbours).mean(dim=2).sum(dim=2)
    known = labelled(targets.offsets)[1]
    weight = known if weight is None else weight * known
    return {
        "cls": _weighted_mean((wide - scores).square().mean(dim=(2, 3)), weight),
        "offsets": _weighted_mean(own, weight),
        "neighbours": _weighted_mean(others, weight),
    }


def _apart(values: Tensor, wanted: Tensor) -> Tensor:
    """Absolute differences; 0, with a gradient of 0, where nobody knows what is wanted."""
    return (values - torch.where(wanted.isnan(), values.detach(), wanted)).abs()


def _one_hot(index: Tensor, count: int) -> Tensor:
    """One-hot vectors (..., count) float32; torch's own looks at the values, and waits for them."""
    return (index.unsqueeze(-1) == torch.arange(count, device=index.device)).float()


def curriculum_loss(
    outputs: Mapping[str, Tensor],
    coarse: Tensor,
    points: Tensor,
    neighbours: Tensor,
    pseudo: Tensor,
) -> dict[str, Tensor]:
    """PIPNet's three parts, where pseudo-labelled faces teach a coarse score map alone.

    Each part is a mean over what counts for it: cls over the cells of both maps, offsets and
    neighbours over the labelled faces. A batch without any has none of the latter.

    Args:
        outputs: cls, x, y (B, L, g, g) and nb_x, nb_y (B, L K, g, g).
        coarse: (B, L, h, h) scores on the coarser map.
        points: (B, L, 2) in [0, 1].
        neighbours: (L, K) indices.
        pseudo: (B,) 1 for a pseudo-labelled face, else 0.
    """
    batch, landmarks, rows, columns = coarse.shape
    cell = pip_targets(points, neighbours, (rows, columns)).cell
    target = _one_hot(cell, rows * columns).view(coarse.shape)
    surprise = ((_wide(coarse) - target).square().sum(dim=(1, 2, 3)) * pseudo).sum()
    labelled = 1 - pseudo
    weight = labelled[:, None].expand(batch, landmarks)
    height, width = outputs["cls"].shape[2:]
    targets = pip_targets(points, neighbours, (height, width))
    fine = pip_loss(outputs, targets, weight=weight)
    fine_cells, coarse_cells = outputs["cls"][0].numel(), coarse[0].numel()
    cells = fine_cells * labelled.sum() + coarse_cells * pseudo.sum()
    share = batch / labelled.sum().clamp(min=1)
    return {
        "cls": (batch * fine_cells * fine["cls"] + surprise) / cells,
        "offsets": share * fine["offsets"],
        "neighbours": share * fine["neighbours"],
    }


def bin_divergence(
    vectors: Tensor, wanted: Tensor, tau: float, weight: Tensor | None = None
) -> Tensor:
    """Mean Kullback-Leibler divergence, in nats, of distributions over bins.

    Both vectors (B, L, n) become distributions by softmax(tau v), the wanted ones as well: that
    smooths the label, and a Gaussian of peak 1 gives every bin at least e^-tau of the peak's
    probability. RTMPose trains SimCC so, with tau 10 (Jiang et al., arXiv 2303.07399).

    Args:
        vectors: what a network returned.
        wanted: of `encode_bins`, or another network's vectors.
        tau: inverse temperature.
        weight: (B, L).
    """
    returned = F.log_softmax(tau * _wide(vectors), dim=2)
    target = F.log_softmax(tau * _wide(wanted), dim=2)
    return _weighted_mean((target.exp() * (target - returned)).sum(dim=2), weight)


def heatmap_mass(heatmaps: Tensor, grid: Grid) -> Tensor:
    """Where a heatmap's mass lies on a coarser grid: (B, L, rows, columns), summing to 1 a map.

    Only what rises above a tenth of the peak counts: the faint background of thousands of cells
    would else outweigh the peak.
    """
    maps = _wide(heatmaps)
    peak = maps.amax(dim=(2, 3), keepdim=True)
    mass = F.adaptive_avg_pool2d((maps - _MASS_FLOOR * peak).clamp(min=0), grid)
    return mass / mass.sum(dim=(2, 3), keepdim=True).clamp(min=1e-12)


def pose_error(euler_rad: Tensor, true_rad: Tensor) -> Tensor:
    """Sum over the three angles of 1 - cos of the error, for angles (B, 3) in radians: (B,).

    0 for a face whose angles are NaN: too many of its landmarks are missing to tell them.
    """
    return (1 - torch.cos(_apart(_wide(euler_rad), true_rad))).sum(dim=1)


def attribute_weights(flags: Tensor) -> Tensor:
    """Inverse frequency of each class of faces, from the flags (N, A) of the training faces.

    Returns:
        (A + 1,) weights; the last is for a face without any flag, which the paper's formula
        would give no loss at all. Over the training faces the mean of `face_weights` is 1.
    """
    classes = _classes(flags)
    frequency = classes.mean(dim=0).clamp(min=_RAREST)
    return (1 / frequency) / (classes @ (1 / frequency)).mean()


def face_weights(flags: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weights (A + 1,) of the classes that each face (B, A) belongs to: (B,), > 0."""
    return (_classes(flags) * weights).sum(dim=1)


def _classes(flags: Tensor) -> Tensor:
    """Flags (N, A) as 0 or 1, and a last column that marks faces without any."""
    raised = (flags > 0).float()
    return torch.cat([raised, 1 - raised.amax(dim=1, keepdim=True)], dim=1)


def squared_distance(points: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Sum over landmarks of the squared distance, points (B, L, 2): (B,)."""
    distance = (_wide(points) - target).square().sum(dim=2)
    return (distance if weight is None else distance * weight).sum(dim=1)


def relative_mse(maps: Tensor, target: Tensor) -> Tensor:
    """Squared difference of maps over the target's mean square: 1 is what all zeros would cost."""
    target = _wide(target)
    return F.mse_loss(_wide(maps), target) / target.square().mean().clamp(min=1e-12)


def patch_affinity(maps: Tensor, patches: int) -> Tensor:
    """Cosine between each two local patches of maps (B, C, H, W): (B, P, P).

    Zhao et al., "MobileFAN", 2020, section 3.4. Student and teacher may differ in channels.

    Args:
        maps: features.
        patches: patches along a side; fewer, where the side does not divide by as many.
    """
    height, width = maps.shape[2:]
    kernel = (height // math.gcd(height, patches), width // math.gcd(width, patches))
    vectors = F.unfold(_wide(maps), kernel, stride=kernel)
    # Half precision would round the cosines to a few hundred levels.
    with torch.autocast(maps.device.type, enabled=False):
        vectors = F.normalize(vectors, dim=1)
        return vectors.transpose(1, 2) @ vectors


def _wide(values: Tensor) -> Tensor:
    """At least 32 bits: a loss in half precision would round away small differences."""
    return values if values.dtype == torch.float64 else values.float()


def _weighted_mean(loss: Tensor, weight: Tensor | None) -> Tensor:
    return loss.mean() if weight is None else (loss * weight).mean()
