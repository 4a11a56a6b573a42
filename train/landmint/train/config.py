"""What a recipe says about a network's training, distillation and self-training.

Not the training: this file imports no torch, so that a recipe is checked in a moment.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from landmint.train.budget import Budget
from landmint.train.faces.augment import AugmentConfig
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import FacesConfig
from landmint.train.fit_config import FitConfig
from landmint.train.models.config import ModelConfig

Curriculum = Literal["std", "cls2", "cls3"]
LossKind = Literal[
    "mse",
    "adaptive_wing",
    "latent",
    "directional",
    "star",
    "spread_nll",
    "focal_wing",
    "pip",
    "pfld",
    "wing",
    "l2",
    "cascade",
    "simcc",
    "disk",
    "udp",
    "focal",
    "laplace",
    "nested",
]


class LossConfig(BaseModel):
    """The loss on the true landmarks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: LossKind | None = None
    """Which loss: mse, adaptive_wing, focal_wing or latent (semantic alignment) for heatmaps,
    directional or star for ADNet, spread_nll for LUVLi, pip for PIPNet, pfld, wing or l2 for
    coordinates, cascade for SPIGA, simcc for SimCC, disk (G-RMI), udp, focal (CenterNet) or laplace
    (PifPaf) for offsets, nested for HIH. Left out: the first of these that fits the head."""
    cls_weight: float = Field(default=10.0, ge=0)
    """pip: weight of the score map. Offsets and neighbours have weight 1."""
    pose_weight: float = Field(default=1.0, ge=0)
    """pfld, cascade: weight of the pose's own error, 1 - cos summed over three angles."""
    pose_floor: float = Field(default=1.0, ge=0)
    """pfld: weight of a face whose pose is guessed exactly; 1 - cos of the error is added to it.
    0 is the paper's formula, in which such a face teaches nothing."""
    wing_width_px: float = Field(default=10.0, gt=0)
    """wing: errors below this many crop pixels count by their logarithm."""
    wing_curvature_px: float = Field(default=2.0, gt=0)
    """wing: how sharply the logarithm bends, in crop pixels."""
    boundary_weight: float = Field(default=0.0, ge=0)
    """mse, adaptive_wing, focal_wing: weight of a map of all contours that is drawn beside the
    heatmaps, in training alone; with 1 it counts as one landmark's heatmap. wing, l2: weight of the
    contours that LAB draws; with 1 empty maps cost 1."""
    consistency_weight: float = Field(default=0.0, ge=0)
    """mse, adaptive_wing: weight of the difference between the heatmaps of a face and those of its
    mirror image, which the network sees too: twice the work of training."""
    companion_weight: float = Field(default=0.0, ge=0)
    """wing, l2: weight of heatmaps that are drawn from the network's finest map, in training alone;
    with 1 empty heatmaps cost 1."""


class NetworkRecipe(BaseModel):
    """One network and how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: ModelConfig
    """The network."""
    start: str | None = None
    """Weights to begin from: the name of a shipped model, or a file such as another run's
    student/model.safetensors. They may be of a network with another activation, input size or
    stride, or with gates that this one leaves out. Of a network with another head, or another
    markup, the trunk alone is taken. Without start the network begins anew."""
    loss: LossConfig = LossConfig()
    """The loss on the true landmarks."""
    augment: AugmentConfig = AugmentConfig()
    """What is done to training faces."""
    fit: FitConfig = FitConfig()
    """The training loop."""


class DistillConfig(BaseModel):
    """What a student learns from its teacher, beside the true landmarks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    alpha: float = Field(default=0.5, ge=0, le=1)
    """Share of the teacher: loss = (1 - alpha) truth + alpha teacher."""
    lesson: Literal["maps", "points"] = Field(default="maps", exclude_if=lambda v: v == "maps")
    """What teachers say. maps: heatmaps, and features of a lone teacher, where all teachers draw
    heatmaps of one size and sigma; else points. points: landmarks and how sure each is, which is
    little to keep and the same for every student."""
    feature_weight: float = Field(default=0.1, ge=0)
    """Weight, within the teacher's part, of imitating its features through 1x1 convolutions."""
    patch_weight: float = Field(default=0.1, ge=0)
    """Heatmap students: weight, within the teacher's part, of imitating which places of the face
    look alike to it."""
    patches: int = Field(default=8, gt=1)
    """How many places along each side of the map `patch_weight` compares."""
    precision: Literal["auto", "32", "bf16", "fp16"] = "32"
    """Arithmetic of the teacher's trunk; its head stays in 32 bits, since decoding reads small
    differences of its heatmaps. auto takes what the device has in hardware: a CPU without bf16
    is ten times as slow with it."""


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """What one network is trained on: its settings, faces, and teachers if there are any."""

    network: NetworkRecipe
    """The network, and how it is trained."""
    train: FaceSet
    """Faces to learn from."""
    val: FaceSet
    """Faces to choose the weights on."""
    teachers: tuple[Path, ...] = ()
    """Weights of trained networks to learn from as well; none for the labels alone."""
    distill: DistillConfig = DistillConfig()
    """How to learn from the teachers."""
    budget: Budget | None = None
    """The time that the training may take; None for the recipe's epochs."""

    @property
    def crops(self) -> int:
        """How many different crops the training may see: each has a row of its own."""
        fit = self.network.fit
        epochs = max(fit.epochs, fit.most_epochs or 0)
        return len(self.train.faces) * (self.network.augment.views or epochs)


class SelfTrainingConfig(BaseModel):
    """How a student learns from faces without labels, after those with them.

    Jin et al., IJCV 2021, section 3.4: in each round a student labels the faces, and a fresh one
    learns from true and pseudo-labels together; of the pseudo-labels first only roughly where each
    landmark is. There the newest student labels, here the best so far on the validation faces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    faces: FacesConfig
    """The unlabelled faces: what `train` names; of kind coco they need boxes alone, of other kinds
    the landmarks are not used. A relative root starts at the recipe."""
    rounds: tuple[Curriculum, ...] = Field(
        default=("cls3", "cls2", "std", "std", "std"), min_length=1
    )
    """What pseudo-labels teach in each round: cls3 the cell of a score map a quarter as fine, cls2
    half as fine, std all that true labels teach."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over all faces in each round. Left out: as many as the student's own training."""
    min_confidence: float | None = None
    """Pseudo-labelled faces whose mean confidence is lower are left out of a round."""
