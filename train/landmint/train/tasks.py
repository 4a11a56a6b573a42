"""What a network is trained for: outputs in, named parts of a loss out.

A task owns what exists only in training, such as PFLD's pose net. It neither steps an optimiser
nor knows epochs. The parts add up to "loss", so a log of them adds up too.
"""

import math
from collections.abc import Callable, Mapping
from importlib import import_module

import torch
from torch import Tensor, nn

from landmint.runtime.errors import LandmintError
from landmint.train import losses
from landmint.train.config import Curriculum, LossConfig, LossKind
from landmint.train.faces.face import ATTRIBUTES, FaceSet
from landmint.train.models.base import LandmarkModel, tap_shapes
from landmint.train.pose_net import PoseNet

Batch = Mapping[str, Tensor]
"""images (B, 3, S, S), points (B, L, 2) in [0, 1], NaN where a landmark is missing, euler_rad
(B, 3), NaN where it cannot be told, attributes (B, A), and pseudo (B,), 1 where a network said the
points."""
Parts = dict[str, Tensor]

_KINDS: Mapping[str, tuple[LossKind, ...]] = {
    "heatmap": (
        *("mse", "adaptive_wing", "focal_wing", "latent"),
        *("directional", "star", "spread_nll"),
    ),
    "pip": ("pip",),
    "coordinates": ("pfld", "wing", "l2", "cascade"),
    "simcc": ("simcc",),
    "offset": ("disk", "udp", "focal", "laplace"),
    "nested": ("nested",),
}
_COORDINATES: Mapping[LossKind, str] = {
    "wing": "tasks:WingTask",
    "l2": "point_tasks:L2Task",
    "cascade": "point_tasks:CascadeTask",
}
_POOLED: Mapping[Curriculum, int] = {"cls2": 2, "cls3": 4}


Lesson = Mapping[str, Tensor]
"""What teachers say of a batch, by name: only what the student's loss reads, and as it reads it.

Maps: heatmaps or scores (B, L, rows, columns) on the student's own grid, points as below where they
are read too; of features see `Imitation.lesson`. Points, the same for every student: points
(B, L, 2) in [0, 1] and confidence (B, L) in [0, 1]; 0 silences a landmark of maps too."""
DecodeHeatmaps = Callable[[Tensor], Parts]
"""From a teacher's heatmaps (B, L, H, W) to points and confidence."""


class Task(nn.Module):
    """The loss of one kind of head."""

    def forward(self, model: LandmarkModel, batch: Batch) -> Parts:
        """Run the network on a batch: the loss under "loss", and the parts that add up to it."""
        features = model.features(batch["images"])
        outputs = model.head(features)
        parts = self.parts(features, outputs, batch)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """Weighted parts of the loss on the true landmarks."""
        raise NotImplementedError

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """What `lesson_parts` reads of a teacher's heatmaps (B, L, H, W); it also reads points."""
        raise NotImplementedError

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """Weighted parts of the loss on what the teacher says, in the same units."""
        raise NotImplementedError

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """Weighted parts of the loss on the raw outputs of a network with the same head.

        In the same units as `parts`; 0 where the outputs are equal.
        """
        raise NotImplementedError


class HeatmapTask(Task):
    """Heatmaps against Gaussians at the landmarks."""

    def __init__(self, model: LandmarkModel, config: LossConfig, kind: LossKind) -> None:
        """Take sigma and the maps' size from the model's contract."""
        super().__init__()
        self.kind = kind
        self.early_heatmaps = model.early_heatmaps
        self.sigma = model.contract.head.sigma
        _, rows, columns = model.contract.outputs[0].shape
        self.grid = (rows, columns)
        # A Gaussian's squares sum to pi sigma^2. In this unit an empty map costs 1, whatever the
        # size of the maps, and is no number that half precision loses.
        self.unit = rows * columns / (math.pi * self.sigma**2)

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """One part, heatmaps: the mean over the last ones and those that come before."""
        points, weight = self.labels(batch)
        target = losses.encode_heatmaps(points, self.grid, self.sigma)
        drawn = (*self.early_heatmaps(features), outputs["heatmaps"])
        return {"heatmaps": torch.stack([self.unlike(m, target, weight) for m in drawn]).mean()}

    def labels(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Points (B, L, 2) without NaN, and how far each landmark (B, L) counts."""
        return losses.labelled(batch["points"])

    def unlike(self, maps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """How far maps (B, M, H, W) are from a target, by the loss that was chosen."""
        if self.kind == "adaptive_wing":
            return losses.adaptive_wing(maps, target, weight=weight)
        return self.unit * losses.heatmap_mse(maps, target, weight)

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The heatmaps, resized where they differ in size from the student's."""
        return {"heatmaps": resize(heatmaps, self.grid)}

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """Heatmap to heatmap; without them to Gaussians at the teacher's points, by confidence."""
        drawn = (
            lesson["heatmaps"]
            if "heatmaps" in lesson
            else losses.encode_heatmaps(lesson["points"], self.grid, self.sigma)
        )
        unlike = losses.heatmap_mse(outputs["heatmaps"], drawn, lesson.get("confidence"))
        return {"heatmaps": self.unit * unlike}

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """Squared differences of all cells, whatever the loss on the truth is."""
        return {"heatmaps": self.unit * losses.heatmap_mse(outputs["heatmaps"], wanted["heatmaps"])}


class PipTask(Task):
    """PIPNet's score map, offsets and neighbours."""

    neighbours: Tensor

    def __init__(self, model: LandmarkModel, config: LossConfig) -> None:
        """Take the neighbours from the model's contract."""
        super().__init__()
        self.cls_weight = config.cls_weight
        _, rows, columns = model.contract.outputs[0].shape
        self.grid = (rows, columns)
        table = torch.tensor(model.contract.head.neighbours)
        self.register_buffer("neighbours", table, persistent=False)

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """cls, offsets, neighbours."""
        return self._weighted(losses.pip_loss(outputs, self._targets(batch["points"])))

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The heatmaps' mass as scores, and the decoded points."""
        return {"scores": losses.heatmap_mass(heatmaps, self.grid), **decode(heatmaps)}

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """Scores, and offsets to the teacher's points; by confidence.

        Without the teacher's scores, each landmark's cell is to have 1, as with true landmarks.
        """
        confidence = lesson["confidence"]
        # As a neighbour, too, a silent landmark teaches nothing.
        heard = torch.where(confidence[..., None] > 0, lesson["points"], math.nan)
        parts = losses.pip_loss(outputs, self._targets(heard), lesson.get("scores"), confidence)
        return self._weighted(parts)

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """Scores of all cells; offsets and neighbours where a decoder would read them."""
        scores = wanted["cls"]
        targets = losses.pip_reading(wanted, scores.flatten(2).argmax(dim=2))
        return self._weighted(losses.pip_loss(outputs, targets, scores))

    def _targets(self, points: Tensor) -> losses.PipTargets:
        return losses.pip_targets(points, self.neighbours, self.grid)

    def _weighted(self, parts: Parts) -> Parts:
        return {**parts, "cls": self.cls_weight * parts["cls"]}


class SimccTask(Task):
    """SimCC's vectors of bins against Gaussians at the landmarks, by divergence."""

    def __init__(self, model: LandmarkModel) -> None:
        """Take bins, sigma and tau from the model's contract."""
        super().__init__()
        self.head = model.contract.head
        self.bins = [(output.name, output.shape[1]) for output in model.contract.outputs]

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """simcc_x, simcc_y."""
        points, known = losses.labelled(batch["points"])
        return self.copy_parts(outputs, self._drawn(points), known)

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The decoded points."""
        return decode(heatmaps)

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """Gaussians at the teacher's decoded points, by confidence."""
        return self.copy_parts(outputs, self._drawn(lesson["points"]), lesson["confidence"])

    def copy_parts(
        self, outputs: Parts, wanted: Mapping[str, Tensor], weight: Tensor | None = None
    ) -> Parts:
        """The divergence from the wanted distributions; of each landmark by its weight (B, L)."""
        return {
            name: losses.bin_divergence(outputs[name], wanted[name], self.head.tau, weight)
            for name, _ in self.bins
        }

    def _drawn(self, points: Tensor) -> Parts:
        return {
            name: losses.encode_bins(points[..., axis], count, self.head.sigma)
            for axis, (name, count) in enumerate(self.bins)
        }


class WingTask(Task):
    """Coordinates by the Wing loss, in crop pixels."""

    def __init__(self, model: LandmarkModel, config: LossConfig) -> None:
        """Take the crop's size from the model's contract."""
        super().__init__()
        self.size_px = model.contract.input_size
        self.config = config

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """One part, points."""
        return {"points": self._wing(outputs, *losses.labelled(batch["points"]))}

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The decoded points."""
        return decode(heatmaps)

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """The teacher's decoded points, by confidence."""
        return {"points": self._wing(outputs, lesson["points"], lesson["confidence"])}

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """One part, points."""
        return {"points": self._wing(outputs, points_of(wanted), None)}

    def _wing(self, outputs: Parts, points: Tensor, weight: Tensor | None) -> Tensor:
        return losses.wing(
            points_of(outputs) * self.size_px,
            points * self.size_px,
            weight,
            self.config.wing_width_px,
            self.config.wing_curvature_px,
        )


class PfldTask(Task):
    """Squared distances, more for faces of rare attributes and of a pose that is hard to guess.

    Guo et al., "PFLD", equation 2, with three changes: a face without any attribute has a weight,
    a face of well guessed pose keeps `pose_floor`, and the pose net also learns from its own
    error. The gradient of the pose's weight reaches the pose net and the trunk.
    """

    weights: Tensor

    def __init__(self, model: LandmarkModel, config: LossConfig, flags: Tensor) -> None:
        """Build the pose net.

        Args:
            model: a coordinates model whose first tap the pose net reads.
            config: weights.
            flags: (N, A) attributes of the training faces.
        """
        super().__init__()
        self.config = config
        self.pose_net = PoseNet(tap_shapes(model)[0][0])
        self.register_buffer("weights", losses.attribute_weights(flags))

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """points, pose."""
        pose = losses.pose_error(self.pose_net(features[0]), batch["euler_rad"])
        distance = losses.squared_distance(points_of(outputs), *losses.labelled(batch["points"]))
        weight = losses.face_weights(batch["attributes"], self.weights)
        return {
            "points": (weight * (self.config.pose_floor + pose) * distance).mean(),
            "pose": self.config.pose_weight * pose.mean(),
        }

    def lesson(self, heatmaps: Tensor, decode: DecodeHeatmaps) -> Lesson:
        """The decoded points."""
        return decode(heatmaps)

    def lesson_parts(self, outputs: Parts, lesson: Lesson) -> Parts:
        """Squared distances from the teacher's decoded points, by confidence."""
        points, confidence = lesson["points"], lesson["confidence"]
        distance = losses.squared_distance(points_of(outputs), points, confidence)
        return {"points": distance.mean()}

    def copy_parts(self, outputs: Parts, wanted: Mapping[str, Tensor]) -> Parts:
        """Squared distances; the pose net is no output."""
        return {"points": losses.squared_distance(points_of(outputs), points_of(wanted)).mean()}


def task_for(
    model: LandmarkModel, config: LossConfig, faces: FaceSet, curriculum: Curriculum = "std"
) -> Task:
    """The task of a network.

    Args:
        model: its head decides which losses fit.
        config: the loss and its weights.
        faces: the training faces, whose attributes pfld weighs.
        curriculum: pip: what pseudo-labelled faces teach.

    Raises:
        LandmintError: the loss or the curriculum does not fit the head.
    """
    head = model.contract.head.kind
    kind = config.kind or _KINDS[head][0]
    if kind not in _KINDS[head]:
        raise LandmintError(
            f"loss '{kind}' does not fit {model.config.name}",
            reason=f"its head is '{head}'",
            choices=_KINDS[head],
        )
    if curriculum != "std" and kind != "pip":
        raise no_curriculum(model)
    if kind == "pip":
        if curriculum == "std":
            return PipTask(model, config)
        return _named("curriculum:CurriculumTask")(model, config, _POOLED[curriculum])
    if kind == "simcc":
        return SimccTask(model)
    if kind in _COORDINATES:
        task = _named(_COORDINATES[kind])(model, config)
        if config.companion_weight:
            task = _named("companions:HeatmapCompanion")(model, config, task)
        if config.boundary_weight:
            task = _named("companions:BoundaryCompanion")(model, config, task)
        return task
    if kind == "pfld":
        return PfldTask(model, config, _flags(faces))
    if kind == "focal_wing":
        return _named("companions:FocalWingTask")(model, config, _flags(faces))
    if head == "offset":
        return _named("cell_tasks:OffsetTask")(model, config, kind)
    if head == "nested":
        return _named("cell_tasks:NestedTask")(model, config, kind)
    return _heatmap_task(config, kind)(model, config, kind)


def _heatmap_task(config: LossConfig, kind: LossKind) -> Callable[..., Task]:
    """The task of a heatmap head: what exists in training alone is loaded where it is asked for."""
    if kind in ("directional", "star"):
        return _named("point_tasks:AttentionTask")
    if kind == "latent":
        return _named("latent:LatentTask")
    if kind == "spread_nll":
        return _named("point_tasks:SpreadTask")
    if config.boundary_weight:
        return _named("companions:BoundaryTask")
    return _named("companions:ConsistencyTask") if config.consistency_weight else HeatmapTask


def _named(task: str) -> Callable[..., Task]:
    """A task of another module of this room."""
    module, _, name = task.partition(":")
    made: Callable[..., Task] = getattr(import_module(f"landmint.train.{module}"), name)
    return made


def no_curriculum(model: LandmarkModel) -> LandmintError:
    """The error for a network that cannot learn from unlabelled faces by the curriculum."""
    return LandmintError(
        f"self-training is for PIPNet, not for {model.config.name}",
        reason="its first rounds teach a coarser score map; this head is "
        f"'{model.contract.head.kind}'",
        remedy="take pipnet as the student, or label the faces with `landmint label` and train "
        "on the result",
    )


def resize(maps: Tensor, grid: losses.Grid) -> Tensor:
    """Maps (B, C, H, W) at another size: averaged over areas to shrink, bilinear to grow."""
    if maps.shape[2] >= grid[0] and maps.shape[3] >= grid[1]:
        return nn.functional.adaptive_avg_pool2d(maps, grid)
    return nn.functional.interpolate(maps, grid, mode="bilinear", align_corners=False)


def points_of(outputs: Mapping[str, Tensor]) -> Tensor:
    """Landmarks (B, L, 2) of a coordinates head's outputs."""
    coordinates = outputs["coordinates"]
    return coordinates.reshape(len(coordinates), -1, 2)


def _flags(faces: FaceSet) -> Tensor:
    rows = [[face.attributes.get(name, 0) for name in ATTRIBUTES] for face in faces.faces]
    return torch.tensor(rows, dtype=torch.float32)
