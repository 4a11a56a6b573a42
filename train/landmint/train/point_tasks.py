"""Tasks that judge landmarks, of coordinates or of a heatmap's mass, by other than Wing or PFLD."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from landmint.runtime.errors import LandmintError
from landmint.train import losses
from landmint.train.config import LossConfig, LossKind
from landmint.train.models.adnet import ADNet
from landmint.train.models.base import LandmarkModel
from landmint.train.models.luvli import LUVLi
from landmint.train.models.spiga import SPIGA
from landmint.train.point_losses import Spread, directional, normals, spread_nll, star
from landmint.train.targets import boundary_maps
from landmint.train.tasks import Batch, DecodeHeatmaps, HeatmapTask, Lesson, Parts, Task, points_of

_MAPS = 10.0  # weight of edges and points, each, beside the landmarks
_POINT_SIGMA = 1.5  # of the point maps, in cells at 256 px
_LIKELIHOOD = 0.1  # weight of LUVLi's likelihood beside the heatmaps
_RATIO = 2.0  # how much more an error across a contour counts, as configured by the authors


class L2Task(Task):
    """Coordinates by their squared distance, as DeepPose has it: the sum over the landmarks."""

    def __init__(self, model: LandmarkModel, config: LossConfig) -> None:
        """Nothing depends on either."""
        super().__init__()

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """One part, points."""
        return self._apart(outputs, *losses.labelled(batch["points"]))

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The decoded points."""
        return decode(heatmaps)

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """The teacher's decoded points, by confidence."""
        return self._apart(outputs, lesson["points"], lesson["confidence"])

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """One part, points."""
        return self._apart(outputs, points_of(wanted), None)

    def _apart(self, outputs: Parts, points: Tensor, weight: Tensor | None) -> Parts:
        return {"points": losses.squared_distance(points_of(outputs), points, weight).mean()}


class CascadeTask(L2Task):
    """SPIGA's landmarks after each step, edges and points of each stack, and pose, all at once.

    The published network learns maps and pose first, and then the steps alone. Its pose has labels
    of its own; here the projected landmarks teach what the angles leave open.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig) -> None:
        """Take the crop's size from the model's contract.

        Raises:
            LandmintError: the model has no steps.
        """
        super().__init__(model, config)
        if not isinstance(model, SPIGA):
            raise LandmintError(
                f"loss 'cascade' does not fit {model.config.name}",
                reason="it needs a network that moves a projected face in steps",
                remedy="take spiga, or another loss",
                choices=("pfld", "wing", "l2"),
            )
        self._model = (model,)  # in a tuple, lest its weights become the task's as well
        self.pose_weight = config.pose_weight
        self.size_px = model.contract.input_size

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """points, steps, maps, pose."""
        *drawings, pose, projected, first, second, _ = features
        target, known = losses.labelled(batch["points"])
        early = [places.squeeze(3).transpose(1, 2) for places in (projected, first, second)]
        angles = losses.pose_error(pose[:, :3].flatten(1), batch["euler_rad"])
        parts = {
            **self._apart(outputs, target, known),
            "steps": torch.stack([self._smooth(step, target, known) for step in early]).sum(),
            "pose": self.pose_weight * angles.mean(),
        }
        if drawings:
            (model,) = self._model
            drawn = _edges_and_points(model, drawings, batch["points"])
            parts["maps"] = torch.stack(list(drawn.values())).sum()
        return parts

    def _apart(self, outputs: Parts, points: Tensor, weight: Tensor | None) -> Parts:
        return {"points": self._smooth(points_of(outputs), points, weight)}

    def _smooth(self, points: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """Mean smooth L1, in crop pixels."""
        points, target = points.float() * self.size_px, target * self.size_px
        loss = F.smooth_l1_loss(points, target, reduction="none").mean(dim=2)
        return (loss if weight is None else loss * weight).mean()


class AttentionTask(HeatmapTask):
    """ADNet's landmarks, edges and points on every stack, later stacks more.

    Huang et al., ICCV 2021, equation 7; of kind star, landmarks by STAR's loss. What a teacher says
    is learned by the heatmaps, as in `HeatmapTask`.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, kind: LossKind) -> None:
        """Take contours and maps from the model.

        Raises:
            LandmintError: the model draws no edges and points.
        """
        super().__init__(model, config, kind)
        if not isinstance(model, ADNet):
            raise _does_not_fit(model, kind, "that draws edges and points", "adnet")
        self._model = (model,)  # in a tuple, lest its weights become the task's as well
        self.contours = model.contract.landmarks.contours

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """landmarks, edges, points."""
        (model,) = self._model
        points, known = losses.labelled(batch["points"])
        across = normals(batch["points"], self.contours)
        drawings = model.drawings(features)
        landmarks = [
            share * self._landmarks(Spread(model.attended(maps)), points, across, known)
            for share, maps in _halved(drawings)
        ]
        drawn = _edges_and_points(model, drawings, batch["points"])
        return {"landmarks": torch.stack(landmarks).sum(), **drawn}

    def _landmarks(self, spread: Spread, target: Tensor, across: Tensor, known: Tensor) -> Tensor:
        if self.kind == "star":
            return star(spread, target, known)
        return directional(spread.mean, target, across, _RATIO, known)


class SpreadTask(HeatmapTask):
    """LUVLi's heatmaps, and how likely landmarks are under the spreads about their centroids.

    Kumar et al., CVPR 2020, train heatmaps first and by the likelihood alone later; here
    both teach at once. Left out is how likely a landmark is to be seen: of a hidden landmark
    these faces have no labels.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, kind: LossKind) -> None:
        """Heatmaps are taught by squared differences.

        Raises:
            LandmintError: the model states no spread.
        """
        super().__init__(model, config, kind)
        if not isinstance(model, LUVLi):
            raise _does_not_fit(model, kind, "that states a spread", "luvli")
        self._model = (model,)  # in a tuple, lest its weights become the task's as well

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """heatmaps, spread: the mean over the U-Nets of each."""
        points, known = losses.labelled(batch["points"])
        cells = torch.tensor([self.grid[1], self.grid[0]], device=points.device)
        drawn = (*self.early_heatmaps(features), outputs["heatmaps"])
        each = [
            (spread_nll(Spread(torch.relu(maps)).mean * cells, points * cells, spread) * known)
            for maps, spread in zip(drawn, self._model[0].spreads(features), strict=True)
        ]
        spread = _LIKELIHOOD * torch.stack(each).mean()
        return {**super().parts(features, outputs, batch), "spread": spread}

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """Squared differences of heatmaps and of confidence."""
        unlike = (outputs["confidence"] - wanted["confidence"]).float().square().mean()
        return {**super().copy_parts(outputs, wanted), "spread": unlike}


def _does_not_fit(model: LandmarkModel, kind: LossKind, needed: str, network: str) -> LandmintError:
    return LandmintError(
        f"loss '{kind}' does not fit {model.config.name}",
        reason=f"it needs a network {needed}",
        remedy=f"take {network}, or another loss",
        choices=("mse", "adaptive_wing"),
    )


def _edges_and_points(model: ADNet, drawings: Sequence[Tensor], labels: Tensor) -> Parts:
    """How far the edges and points that each stack drew are from those at labels (B, L, 2)."""
    points, known = losses.labelled(labels)
    grid = (drawings[0].shape[2], drawings[0].shape[3])
    edges = boundary_maps(labels, model.contract.landmarks.contours, grid)
    peaks = losses.encode_heatmaps(points, grid, _POINT_SIGMA * grid[1] / 64)
    parts: dict[str, list[Tensor]] = {"edges": [], "points": []}
    for share, maps in _halved(drawings):
        _, drawn_edges, drawn_points = model.split(maps)
        edge_loss = losses.adaptive_wing(drawn_edges, edges)
        point_loss = losses.adaptive_wing(drawn_points, peaks, weight=known)
        parts["edges"].append(share * _MAPS * edge_loss)
        parts["points"].append(share * _MAPS * point_loss)
    return {name: torch.stack(each).sum() for name, each in parts.items()}


def _halved(drawings: Sequence[Tensor]) -> list[tuple[float, Tensor]]:
    """The weight of each stack's drawing: 1 for the last, half as much for each before it."""
    last = len(drawings) - 1
    return [(0.5 ** (last - i), maps) for i, maps in enumerate(drawings)]
