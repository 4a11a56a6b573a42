"""A student taught by frozen networks, beside the true landmarks.

Student and teachers see the same augmented crop. A teacher is never trained here, nor kept in the
student's checkpoints. Loss = (1 - alpha) truth + alpha teacher (Zhang, Zhu and Ye, "Fast human pose
estimation", CVPR 2019, equation 5). What the teacher's part holds depends on what teachers say.

Maps, of teachers that draw heatmaps, by the student's head:

- heatmaps: the teacher's heatmaps, on every stack; its features (FA) and their affinities (PS), as
  in MobileFAN;
- PIP: the teacher's decoded points, by confidence, its heatmap mass as scores, its features;
- SimCC: Gaussians at the teacher's decoded points, by confidence, its features;
- coordinates: the teacher's decoded points, by confidence.

Points, of teachers with any head: the decoded points, by confidence, at which heatmaps, scores
and bins are drawn as they are at true landmarks. Several teachers say their mean.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from landmint.runtime.errors import LandmintError
from landmint.train import losses
from landmint.train.config import DistillConfig
from landmint.train.launch import own_precision
from landmint.train.lessons import LessonBook
from landmint.train.models.base import LandmarkModel, tap_shapes
from landmint.train.tasks import Batch, Lesson, Parts, Task, resize
from landmint.train.torch_decode import decoder_for

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
_LEAST_WEIGHT = 1e-6  # where no teacher is sure at all, their plain mean is left


class DistillTask(Task):
    """A student's own task, mixed with what the teachers say.

    Its parameters are those of the student's task and of the adapters: the loop optimises and
    saves them with the student. The teachers are no submodules, so they are neither.
    """

    def __init__(
        self,
        task: Task,
        student: LandmarkModel,
        teachers: Sequence[LandmarkModel],
        config: DistillConfig,
        books: Sequence[LessonBook] = (),
    ) -> None:
        """Bring student and teachers together.

        Args:
            task: the student's task on the true landmarks.
            student: the network that will be trained.
            teachers: trained networks; copied, so the caller's stay as they are.
            config: weights.
            books: keep what the teachers say: one of maps, or one of points for each teacher;
                absent, they are asked at every step.

        Raises:
            LandmintError: teachers and student do not fit each other.
        """
        super().__init__()
        check_teachers(student, teachers, config)
        maps = says_maps(teachers, config)
        self.task = task
        self.early_heatmaps = student.early_heatmaps
        self.config = config
        self.teachers = tuple(Teacher(teacher, student, config) for teacher in teachers)
        imitates = maps and len(teachers) == 1  # features of several networks have no mean
        without = {"feature_weight": 0.0, "patch_weight": 0.0}
        features = config if imitates else config.model_copy(update=without)
        self.imitation = Imitation(student, teachers[0], features)
        says = [self._maps] if maps else [teacher.points for teacher in self.teachers]
        self.sources: list[tuple[Callable[[Tensor], Lesson], LessonBook | None]] = list(
            zip(says, books, strict=True) if books else ((source, None) for source in says)
        )

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """The task's own parts times 1 - alpha; the teacher's, named "teacher_...", times alpha."""
        alpha = self.config.alpha
        truth = self.task.parts(features, outputs, batch)
        lesson = _silenced(self._lesson(batch), batch["points"])
        # Every stack learns from the teacher, as it does from the truth.
        stacks = *({"heatmaps": maps} for maps in self.early_heatmaps(features)), outputs
        taught = _mean_parts([self.task.lesson_parts(drawn, lesson) for drawn in stacks])
        taught |= self.imitation(features, lesson)
        return {name: (1 - alpha) * part for name, part in truth.items()} | {
            f"teacher_{name}": alpha * part for name, part in taught.items()
        }

    def _lesson(self, batch: Batch) -> Lesson:
        lessons = [_heard(batch, source, book) for source, book in self.sources]
        return lessons[0] if len(lessons) == 1 else mean_points(lessons)

    def _maps(self, images: Tensor) -> Lesson:
        """What the student's losses read of the teachers' maps, and nothing else."""
        answers = [teacher.explain(images) for teacher in self.teachers]
        heatmaps = torch.stack([outputs["heatmaps"] for _, outputs in answers]).mean(dim=0)
        return {
            **self.task.lesson(heatmaps, self.teachers[0].decode),
            **self.imitation.lesson(answers[0][0]),
        }


class Teacher:
    """A frozen network that explains crops which were normalised for its student.

    Not a module on purpose: a module's children are trained, saved and switched to train mode.
    """

    def __init__(
        self, teacher: LandmarkModel, student: LandmarkModel, config: DistillConfig
    ) -> None:
        """Copy and freeze the teacher."""
        self.model = copy.deepcopy(teacher).eval().requires_grad_(False)
        self.contract = teacher.contract
        self.decoder = decoder_for(teacher.contract.head)
        self.precision = config.precision
        old, new = student.contract, teacher.contract
        self._reversed = old.color != new.color
        per_channel = [
            (std / new_std, (mean - new_mean) / new_std)
            for mean, std, new_mean, new_std in zip(
                old.mean, old.std, new.mean, new.std, strict=True
            )
        ]
        # Of red, green and blue; as the teacher takes them.
        self._affine = torch.tensor(per_channel[:: -1 if new.color == "BGR" else 1])
        self._device: torch.device | None = None

    @torch.no_grad()
    def explain(self, images: Tensor) -> tuple[Tensor, Parts]:
        """What the teacher makes of crops (B, 3, S, S), normalised by the student's contract.

        Returns:
            the map (B, C, H, W) that feeds its head, and the outputs of its head.
        """
        self._move(images.device)
        device = images.device.type
        dtype = _AUTOCAST.get(own_precision(device) if self.precision == "auto" else self.precision)
        crops = self._as_own(images.float())
        with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
            features = self.model.features(crops)
        with torch.autocast(device, enabled=False):
            wide = tuple(tap.float() for tap in features)
            return wide[-1], self.model.head(wide)

    @torch.no_grad()
    def decode(self, *outputs: Tensor) -> Parts:
        """The landmarks of its head's outputs: points (B, L, 2), confidence (B, L) in [0, 1]."""
        device = outputs[0].device
        self._move(device)
        with torch.autocast(device.type, enabled=False):
            points, confidence = self.decoder(*outputs)
        return {"points": points, "confidence": confidence.clamp(0, 1)}

    def points(self, images: Tensor) -> Lesson:
        """The landmarks that it sees in crops (B, 3, S, S), normalised by the student's contract.

        Returns:
            points (B, L, 2) in [0, 1] and confidence (B, L) in [0, 1].
        """
        _, outputs = self.explain(images)
        return self.decode(*outputs.values())

    def _move(self, device: torch.device) -> None:
        """Send everything to a device, once: a GPU would wait for it at every step."""
        if device != self._device:
            self.model.to(device)
            self.decoder.to(device)
            self._affine, self._device = self._affine.to(device), device

    def _as_own(self, images: Tensor) -> Tensor:
        """The same crops in the teacher's normalisation, colour order and size."""
        scale, shift = self._affine.T[..., None, None]
        size = self.contract.input_size
        if images.shape[2] != size:
            images = nn.functional.interpolate(
                images, (size, size), mode="bilinear", align_corners=False, antialias=True
            )
        own: Tensor = (images.flip(1) if self._reversed else images) * scale + shift
        return own


class Imitation(nn.Module):
    """Feature losses: the student's taps against the map that feeds the teacher's head.

    FA: a 1x1 convolution carries each tap to the teacher's channels, compared by squared
    difference. PS: affinities between places, which need no adapter. The teacher's map is pooled
    to the size of each tap.
    """

    def __init__(
        self, student: LandmarkModel, teacher: LandmarkModel, config: DistillConfig
    ) -> None:
        """Build an adapter for each tap that the student's class names in IMITATES."""
        super().__init__()
        self.config = config
        self.taps = student.IMITATES
        heatmaps = student.contract.head.kind == "heatmap"
        self.compares_places = config.patch_weight > 0 and heatmaps and bool(self.taps)
        self.adapters = nn.ModuleList()
        shapes = [tap_shapes(student)[i] for i in self.taps]
        self.grids = [(rows, columns) for _, rows, columns in shapes]
        if config.feature_weight > 0:
            target = tap_shapes(teacher)[-1][0]
            self.adapters.extend(nn.Conv2d(shape[0], target, 1) for shape in shapes)

    def lesson(self, features: Tensor) -> Lesson:
        """What is compared with the taps, from the teacher's map (B, C, H, W).

        Returns:
            features, the map, no finer than the finest tap; where only PS reads it, its affinities
            at each tap's size in its place: places_0, places_1, ... (B, P, P). Without taps or
            weight, neither.
        """
        if self.adapters:
            finest = max(self.grids)
            return {
                "features": resize(features, finest) if features.shape[2:] > finest else features
            }
        return self._affinities(features) if self.compares_places else {}

    def forward(self, features: tuple[Tensor, ...], lesson: Lesson) -> Parts:
        """FA as "features", PS as "patches", means over taps; without taps or weight, neither."""
        taps = [features[i] for i in self.taps]
        parts = {}
        if self.adapters:
            unlike = [
                losses.relative_mse(adapter(tap), resize(lesson["features"], grid))
                for adapter, tap, grid in zip(self.adapters, taps, self.grids, strict=True)
            ]
            parts["features"] = self.config.feature_weight * torch.stack(unlike).mean()
        if self.compares_places:
            wanted = self._affinities(lesson["features"]) if self.adapters else lesson
            unlike = [
                nn.functional.mse_loss(self._places(tap), wanted[f"places_{i}"])
                for i, tap in enumerate(taps)
            ]
            parts["patches"] = self.config.patch_weight * torch.stack(unlike).mean()
        return parts

    def _affinities(self, features: Tensor) -> Lesson:
        sizes = (resize(features, grid) for grid in self.grids)
        return {f"places_{i}": self._places(maps) for i, maps in enumerate(sizes)}

    def _places(self, maps: Tensor) -> Tensor:
        return losses.patch_affinity(maps, self.config.patches)


def says_maps(teachers: Sequence[LandmarkModel], config: DistillConfig) -> bool:
    """Whether teachers say maps; else they say points.

    They do where all draw heatmaps of one size with peaks of one width, whose mean means something.
    """
    heads = {(t.contract.head.kind, t.contract.head.sigma, t.contract.outputs) for t in teachers}
    kinds = {kind for kind, _, _ in heads}
    return config.lesson == "maps" and kinds == {"heatmap"} and len(heads) == 1


def mean_points(lessons: Sequence[Lesson]) -> Lesson:
    """Mean of what several teachers say, landmark by landmark.

    Args:
        lessons: points (B, L, 2) and confidence (B, L) of each teacher.

    Returns:
        points, the mean weighted by confidence, and confidence, the plain mean.
    """
    points = torch.stack([lesson["points"] for lesson in lessons])
    confidence = torch.stack([lesson["confidence"] for lesson in lessons])
    weight = (confidence + _LEAST_WEIGHT)[..., None]
    return {
        "points": (weight * points).sum(dim=0) / weight.sum(dim=0),
        "confidence": confidence.mean(dim=0),
    }


def _silenced(lesson: Lesson, points: Tensor) -> Lesson:
    """A lesson that says nothing of landmarks which are missing in the labels (B, L, 2)."""
    _, known = losses.labelled(points)
    return {**lesson, "confidence": known * lesson.get("confidence", known)}


def _mean_parts(parts: Sequence[Parts]) -> Parts:
    """The mean of each part, by name."""
    return {name: torch.stack([each[name] for each in parts]).mean() for name in parts[0]}


def _heard(batch: Batch, source: Callable[[Tensor], Lesson], book: LessonBook | None) -> Lesson:
    """What a source says of a batch: from its book, where it has one."""
    images = batch["images"]
    if book is None:
        return source(images)
    return book.look_up(batch["row"], images.device, lambda places: source(images[places]))


def check_teachers(
    student: LandmarkModel, teachers: Sequence[LandmarkModel], config: DistillConfig
) -> None:
    """Refuse teachers that know another markup, see another crop or draw other peaks.

    Raises:
        LandmintError: a teacher and the student do not fit each other.
    """
    maps = says_maps(teachers, config)
    for teacher in teachers:
        _check_pair(student, teacher)
        if maps and student.contract.head.kind == "heatmap":
            _check_sigma(student, teacher)


def _check_pair(student: LandmarkModel, teacher: LandmarkModel) -> None:
    ours, theirs = student.contract, teacher.contract
    if ours.markup != theirs.markup:
        raise LandmintError(
            f"the teacher knows markup {theirs.markup}, the student {ours.markup}",
            remedy="train both on the same markup",
        )
    if ours.crop != theirs.crop:
        raise LandmintError(
            f"the teacher was trained on {theirs.crop}, the student is on {ours.crop}",
            reason="both must see the same crop",
            remedy="set the same crop_scale, crop_square and crop_shift for both",
        )


def _check_sigma(student: LandmarkModel, teacher: LandmarkModel) -> None:
    """Peaks of another width than the truth's would ask for two heatmaps at once."""
    ours, theirs = student.contract, teacher.contract
    wanted = theirs.head.sigma * ours.outputs[0].shape[1] / theirs.outputs[0].shape[1]
    if abs(ours.head.sigma / wanted - 1) > 0.01:
        raise LandmintError(
            f"the student's heatmap_sigma is {ours.head.sigma:g} cells",
            reason=f"the teacher's peaks are {wanted:g} of the student's cells wide",
            remedy=f"set the student's heatmap_sigma to {wanted:g}",
        )
