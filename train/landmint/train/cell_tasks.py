"""Tasks of heads that find a cell, and the landmark's place in it or from it."""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landmint.runtime.contract import OFFSETS
from landmint.train import losses
from landmint.train.config import LossConfig, LossKind
from landmint.train.models.base import LandmarkModel, tap_shapes
from landmint.train.models.hih import INNER
from landmint.train.targets import offsets_from_cells
from landmint.train.tasks import Batch, DecodeHeatmaps, HeatmapTask, Lesson, Parts, Task

_INNER_WEIGHT = 0.05  # of HIH's inner maps beside the heatmaps
_SCORES = 4.0  # G-RMI: weight of the disks beside the offsets
_STEEP = 6.0  # the sigmoid's slope over UDP's values: 0 and 1 become scores of .05 and .95
_FLOOR = 1e-6


class OffsetTask(Task):
    """Scores and offsets, the published targets and losses by kind.

    - disk: G-RMI: 1 within the head's sigma of the landmark, by cross-entropy; Huber on offsets.
    - udp: the same by squared errors, of scores before their sigmoid and of offsets in units of
      sigma (Huang et al., "UDP", CVPR 2020).
    - focal: CenterNet: a Gaussian about the landmark's cell by focal loss; L1 at that cell.
    - laplace: PifPaf: 1 on the 4 x 4 cells about the landmark by focal cross-entropy; Laplace's
      likelihood of the offsets, whose spread a layer of the task's own tells (Kreiss, Bertoni and
      Alahi, CVPR 2019).
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, kind: LossKind) -> None:
        """Take grid and sigma from the model's contract."""
        super().__init__()
        self.kind = kind
        self.sigma = model.contract.head.sigma
        points, rows, columns = model.contract.outputs[0].shape
        self.grid = (rows, columns)
        self.spread: nn.Module | None = None
        if kind == "laplace":
            self.spread = nn.Conv2d(tap_shapes(model)[-1][0], points, 1)

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """scores, offsets."""
        spread = self.spread(features[-1]) if self.spread else None
        return self._parts(outputs, *losses.labelled(batch["points"]), spread)

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The decoded points."""
        return decode(heatmaps)

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """Scores and offsets of the teacher's decoded points, by confidence."""
        return self._parts(outputs, lesson["points"], lesson["confidence"])

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """Squared differences of scores; of offsets where scores are wanted."""
        unlike = losses.heatmap_mse(outputs["scores"], wanted["scores"])
        near = wanted["scores"].float()
        total = near.sum() + _FLOOR
        apart = [(near * (outputs[n] - wanted[n]).float().square()).sum() for n in OFFSETS]
        cells = wanted["scores"][0, 0].numel()
        return {"scores": cells * unlike, "offsets": torch.stack(apart).sum() / total}

    def _parts(
        self, outputs: Parts, points: Tensor, weight: Tensor, spread: Tensor | None = None
    ) -> Parts:
        away = offsets_from_cells(points, self.grid)
        error = torch.stack([outputs[name].float() for name in OFFSETS], dim=-1) - away
        scores = outputs["scores"].float().clamp(_FLOOR, 1 - _FLOOR)
        inside, unlike = _SCORE_LOSSES[self.kind](scores, away, self.sigma)
        if self.kind == "udp":
            apart = (error / self.sigma).square().sum(dim=-1)
        elif self.kind == "disk":
            apart = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none").sum(dim=-1)
        elif spread is not None:  # PifPaf, whose logarithm of the spread is kept within reason
            spread = spread.float().clamp(-5, 5)
            apart = (error.square().sum(dim=-1) + 1e-9).sqrt() * torch.exp(-spread) + spread
        else:
            apart = error.abs().sum(dim=-1)
        cells = inside.sum(dim=(2, 3)).clamp(min=1)
        offsets = (apart * inside).sum(dim=(2, 3)) / cells
        return {
            "scores": (unlike.sum(dim=(2, 3)) * weight).mean(),
            "offsets": (offsets * weight).mean(),
        }


ScoreLoss = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""From scores (B, L, H, W), offsets of their cells (B, L, H, W, 2) and sigma: where offsets are
taught, and what each cell costs."""


def _disk(scores: Tensor, away: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    inside = (away.square().sum(dim=-1) <= sigma**2).float()
    entropy = F.binary_cross_entropy(scores, inside, reduction="none")
    return inside, _SCORES * entropy / scores[0, 0].numel() ** 0.5


def _udp(scores: Tensor, away: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Squared errors of values that have no bounds, as published: the head's sigmoid is undone.

    Behind the sigmoid, scores that have fallen to nearly 0 would hardly be drawn up again.
    """
    values = scores.logit() / _STEEP + 0.5
    inside = (away.square().sum(dim=-1) <= sigma**2).float()
    return inside, (values - inside).square() / (math.pi * sigma**2)


def _focal(scores: Tensor, away: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Alpha 2, beta 4: cells near the landmark's own are forgiven."""
    own = (away.abs() <= 0.5).all(dim=-1).float()
    # About the middle of the landmark's cell, so that the cell's own target is 1.
    middle = (away + 0.5).floor()
    near = torch.exp(-middle.square().sum(dim=-1) / (2 * sigma**2))
    right = -own * (1 - scores).square() * scores.log()
    wrong = -(1 - own) * (1 - near) ** 4 * scores.square() * (1 - scores).log()
    return own, right + wrong


def _patch(scores: Tensor, away: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    inside = (away.abs() <= 2).all(dim=-1).float()
    sure = torch.where(inside > 0, scores, 1 - scores)
    return inside, -(1 - sure) * sure.log()


_SCORE_LOSSES: Mapping[LossKind, ScoreLoss] = {
    "disk": _disk,
    "udp": _udp,
    "focal": _focal,
    "laplace": _patch,
}


class NestedTask(HeatmapTask):
    """HIH's heatmaps against Gaussians, and inner cells by cross-entropy with a soft target.

    Published is a divergence of softmaxes of values in [0, 1], which are nearly flat; the bin is
    rounded there, so that fractions above 7.5 / 8 fall off the map. Here it is not rounded.
    """

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """heatmaps, the mean over the stacks; inner."""
        inner = self._inner(outputs["inner"], *losses.labelled(batch["points"]))
        return {**super().parts(features, outputs, batch), "inner": inner}

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The heatmaps, and the decoded points for the inner cells."""
        return {**super().lesson(heatmaps, decode), **decode(heatmaps)}

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """Heatmap to heatmap, or to Gaussians at the teacher's points; inner cells of those."""
        inner = self._inner(outputs["inner"], lesson["points"], lesson["confidence"])
        return {**super().lesson_parts(outputs, lesson), "inner": inner}

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """Squared differences of heatmaps; divergence of the distributions over inner cells."""
        ours, theirs = (maps["inner"].float().flatten(2) for maps in (outputs, wanted))
        inner = _INNER_WEIGHT * losses.bin_divergence(ours, theirs, 1.0)
        return {**super().copy_parts(outputs, wanted), "inner": inner}

    def _inner(self, logits: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        scale = torch.tensor([self.grid[1], self.grid[0]], device=points.device)
        fraction = (points * scale) % 1
        target = losses.encode_heatmaps(fraction, (INNER, INNER), 1.0).flatten(2)
        target = target / target.sum(dim=2, keepdim=True)
        entropy = -(target * F.log_softmax(logits.float().flatten(2), dim=2)).sum(dim=2)
        return _INNER_WEIGHT * (entropy * weight).mean()
