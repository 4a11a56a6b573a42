"""What helps a task in training and is cut off afterwards: boundaries, a mirrored second view."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from landmint.runtime.errors import LandmintError
from landmint.train import losses
from landmint.train.config import LossConfig, LossKind
from landmint.train.models.base import LandmarkModel, tap_shapes
from landmint.train.targets import boundary_maps
from landmint.train.tasks import Batch, DecodeHeatmaps, HeatmapTask, Lesson, Parts, Task

_SIGMA = 1.5  # of a companion's heatmaps, in cells


class BoundaryTask(HeatmapTask):
    """Heatmaps, and beside them a map of all contours, by the same loss.

    Wang, Bo and Fuxin, ICCV 2019, section 5.2. The last map's 1x1 convolution is the task's own; a
    network may draw boundaries on early stacks too.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, kind: LossKind) -> None:
        """Build the convolution that draws the contours from the map that feeds the head."""
        super().__init__(model, config, kind)
        self.contours = model.contract.landmarks.contours
        self.early_boundaries = model.early_boundaries
        self.weight = config.boundary_weight
        channels, *grid = tap_shapes(model)[-1]
        if tuple(grid) != self.grid:
            raise LandmintError(
                f"boundary_weight is not for {model.config.name}",
                reason="the map that feeds its head is not of the heatmaps' size",
                remedy="leave boundary_weight away",
            )
        self.boundaries = nn.Conv2d(channels, 1, 1)

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """heatmaps, boundaries: the mean over the stacks of each."""
        each = boundary_maps(batch["points"], self.contours, self.grid)
        merged = each.amax(dim=1, keepdim=True)
        drawn = (*self.early_boundaries(features), self.boundaries(features[-1]))
        # A map beside the heatmaps, not as many as those: so it counts as one of them.
        share = self.weight / outputs["heatmaps"].shape[1]
        targets = [merged if maps.shape[1] == 1 else each for maps in drawn]
        always = merged.new_ones(1)
        unlike = [self.unlike(*pair, always) for pair in zip(drawn, targets, strict=True)]
        boundaries = share * torch.stack(unlike).mean()
        return {**super().parts(features, outputs, batch), "boundaries": boundaries}


class FocalWingTask(BoundaryTask):
    """Boundaries, and heatmaps by Adaptive Wing, which count more for faces of rare attributes.

    Huang et al., "PropagationNet", CVPR 2020, count attributes in each batch; here they are
    counted once, over all faces, and a face without any has a weight too.
    """

    weights: Tensor

    def __init__(self, model: LandmarkModel, config: LossConfig, flags: Tensor) -> None:
        """Weigh the classes by the flags (N, A) of the training faces."""
        super().__init__(model, config, "adaptive_wing")
        self.register_buffer("weights", losses.attribute_weights(flags))

    def labels(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Points, and each landmark's weight times its face's."""
        points, known = super().labels(batch)
        return points, known * losses.face_weights(batch["attributes"], self.weights)[:, None]


class ConsistencyTask(HeatmapTask):
    """Heatmaps, and that a face and its mirror image are seen alike.

    Bulat, Sanchez and Tzimiropoulos, "Subpixel heatmap regression for facial landmark
    localization", BMVC 2021, section 3.3: one network sees two views of a face, whose heatmaps must
    agree where they show the same place. Here the second view is the mirror image, which lies on
    the same cells; published views differ by any similarity.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, kind: LossKind) -> None:
        """Take the mirror's order of landmarks from the markup."""
        super().__init__(model, config, kind)
        self.weight = config.consistency_weight
        self.mirror = list(model.contract.landmarks.flip)

    def forward(self, model: LandmarkModel, batch: Batch) -> Parts:
        """The loss of both views, and how far they disagree."""
        mirrored = self._mirrored(batch)
        features = model.features(torch.cat([batch["images"], mirrored["images"]]))
        outputs = model.head(features)
        both = {**batch, "points": torch.cat([batch["points"], mirrored["points"]])}
        plain, other = outputs["heatmaps"].chunk(2)
        unlike = losses.heatmap_mse(plain, other[:, self.mirror].flip(3))
        parts = self.parts(features, outputs, both)
        parts["consistency"] = self.weight * self.unit * unlike
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _mirrored(self, batch: Batch) -> Parts:
        points = batch["points"][:, self.mirror]
        turned = torch.stack([1 - points[..., 0], points[..., 1]], dim=2)
        return {"images": batch["images"].flip(3), "points": turned}


class Companion(Task):
    """A task on coordinates, and beside it something else that layers learn in training alone."""

    def __init__(self, task: Task) -> None:
        """Put something beside `task`, which alone answers for what teachers say."""
        super().__init__()
        self.task = task

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The task's own."""
        return self.task.lesson(heatmaps, decode)

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """The task's own."""
        return self.task.lesson_parts(outputs, lesson)

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """The task's own."""
        return self.task.copy_parts(outputs, wanted)


class HeatmapCompanion(Companion):
    """Coordinates, and heatmaps that a layer of the task's own draws from an early map.

    Bazarevsky et al., "BlazePose: on-device real-time body pose tracking", 2020: the branch teaches
    the layers that both read, and is cut off afterwards.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, task: Task) -> None:
        """Draw from the model's first tap, beside the task on its coordinates."""
        super().__init__(task)
        self.weight = config.companion_weight
        channels, *grid = tap_shapes(model)[0]
        self.grid = (grid[0], grid[1])
        self.drawn = nn.Conv2d(channels, model.contract.landmarks.points, 1)
        self.unit = grid[0] * grid[1] / (math.pi * _SIGMA**2)

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """The task's own, and companion."""
        points, known = losses.labelled(batch["points"])
        target = losses.encode_heatmaps(points, self.grid, _SIGMA)
        unlike = losses.heatmap_mse(self.drawn(features[0]), target, known)
        companion = self.weight * self.unit * unlike
        return {**self.task.parts(features, outputs, batch), "companion": companion}


class BoundaryCompanion(Companion):
    """Coordinates, and the contours that the network draws on its way to them, as LAB does.

    Wu et al., "Look at boundary: a boundary-aware face alignment algorithm", CVPR 2018.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, task: Task) -> None:
        """Take the contours from the model's markup.

        Raises:
            LandmintError: the model draws no contours.
        """
        super().__init__(task)
        if type(model).early_boundaries is LandmarkModel.early_boundaries:
            raise LandmintError(
                f"boundary_weight is not for {model.config.name}",
                reason="it draws no contours on its way to coordinates",
                remedy="take lab, or leave boundary_weight away",
            )
        self.early_boundaries = model.early_boundaries
        self.contours = model.contract.landmarks.contours
        self.weight = config.boundary_weight

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """The task's own, and boundaries: the mean over the stacks; with 1 empty maps cost 1."""
        drawn = self.early_boundaries(features)
        height, width = drawn[0].shape[2:]
        target = boundary_maps(batch["points"], self.contours, (height, width))
        unlike = [losses.relative_mse(maps, target) for maps in drawn]
        boundaries = self.weight * torch.stack(unlike).mean()
        return {**self.task.parts(features, outputs, batch), "boundaries": boundaries}
