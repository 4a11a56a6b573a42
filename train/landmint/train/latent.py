"""Semantic alignment: heatmaps are taught at latent true landmarks, which labels only come near.

Liu et al., "Semantic alignment: finding semantically consistent ground-truth for facial landmark
detection", CVPR 2019, section 3. Where on a contour a landmark stands is not well defined: of the
places near the label, that one is taught which the network's own heatmap speaks for.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from landmint.train import losses
from landmint.train.config import LossConfig, LossKind
from landmint.train.models.base import LandmarkModel
from landmint.train.targets import Contours
from landmint.train.tasks import Batch, HeatmapTask, Parts

_REACH = 1 / 8  # how far a landmark moves at most, along either axis, as a share of the map's side
_PRIOR = _REACH / 2  # standard deviation of the labels about the truth, as a share of it
_STRAIGHT = 0.5  # cosine of the turn of a contour, below which a landmark is a corner


class LatentTask(HeatmapTask):
    """Heatmaps against Gaussians at the latent landmarks, which every step looks for anew.

    A network that has learnt nothing draws nothing, and the labels are its latent landmarks.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, kind: LossKind) -> None:
        """Take the contours from the markup."""
        super().__init__(model, config, kind)
        self.contours = model.contract.landmarks.contours

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """One part, heatmaps."""
        points, maps = batch["points"], outputs["heatmaps"].detach()
        nearer = latent_points(maps, points, self.sigma)
        weak = weak_landmarks(points, self.contours)
        latent = torch.where(weak[..., None], nearer, points)
        return super().parts(features, outputs, {**batch, "points": latent})


def weak_landmarks(points: Tensor, contours: Contours) -> Tensor:
    """Which landmarks (B, L) stand within a contour that goes on straight.

    Corners, ends of lines, and landmarks of no line or of several have a place of their own;
    beside a missing landmark nobody knows.

    Args:
        points: (B, L, 2), NaN where missing.
        contours: lines of landmarks.
    """
    straight = torch.zeros(points.shape[:2], dtype=torch.bool, device=points.device)
    lines = torch.zeros(points.shape[1], device=points.device)
    for landmarks, closed in contours:
        line = points[:, list(landmarks)]
        step = F.normalize(line.roll(-1, dims=1) - line, dim=2, eps=1e-9)
        onward = (step * step.roll(1, dims=1)).sum(dim=2) > _STRAIGHT
        if not closed:
            onward[:, [0, -1]] = False
        straight[:, list(landmarks)] = onward
        lines[list(landmarks)] += 1
    return straight & (lines == 1)


def latent_points(maps: Tensor, points: Tensor, sigma: float) -> Tensor:
    """The likeliest truth (B, L, 2) about each label, a whole number of cells from it.

    Largest of log prior, a Gaussian about the label, and log likelihood, Pearson's chi-square of
    the map about a place against an ideal Gaussian there, in units of what an empty map has
    (equations 3 to 5, whose deviations are not known here). A label outside the crop stays.

    Args:
        maps: (B, L, H, W) heatmaps of peak 1.
        points: (B, L, 2) labels in [0, 1].
        sigma: of the ideal Gaussian, in cells.
    """
    rows, columns = maps.shape[2:]
    reach, around = round(_REACH * columns), math.ceil(3 * sigma)
    scale = torch.tensor([columns, rows], dtype=torch.float32, device=points.device)
    places = losses.labelled(points)[0].float() * scale
    cell = places.floor()
    cells = torch.arange(-around, around + 1, device=points.device) + 0.5
    across, down = torch.exp(
        -((cells[:, None, None, None] - (places - cell)) ** 2) / (2 * sigma**2)
    ).permute(3, 1, 2, 0)
    ideal = (down[..., :, None] * across[..., None, :])[:, :, None, None]
    width = 2 * around + 1
    patches = _windows(maps.float().clamp(min=0), cell.long(), reach + around)
    patches = patches.unfold(2, width, 1).unfold(3, width, 1)
    unlike = ((patches - ideal).square() / ideal).sum(dim=(4, 5)) / (2 * math.pi * sigma**2)
    steps = torch.arange(-reach, reach + 1, device=points.device)
    prior = (steps[:, None] ** 2 + steps**2) / (2 * (_PRIOR * columns) ** 2)
    best = (unlike + prior).flatten(2).argmin(dim=2)
    moved = torch.stack([best % len(steps), best // len(steps)], dim=2) - reach
    inside = ((cell >= 0) & (cell < scale)).all(dim=2, keepdim=True)
    return points + torch.where(inside, moved / scale, 0.0)


def _windows(maps: Tensor, cell: Tensor, reach: int) -> Tensor:
    """Cells (B, L, n, n) of maps about cells (B, L, 2), x then y; 0 beyond the map."""
    rows, columns = maps.shape[2:]
    padded = F.pad(maps, [reach] * 4)
    span = torch.arange(2 * reach + 1, device=maps.device)
    x = cell[..., 0].clamp(0, columns - 1)[..., None] + span
    y = cell[..., 1].clamp(0, rows - 1)[..., None] + span
    index = y[..., :, None] * padded.shape[3] + x[..., None, :]
    return padded.flatten(2).gather(2, index.flatten(2)).view_as(index)
