"""A landmark that nobody placed teaches nothing, whatever the student and whoever teaches it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.train.config import Curriculum, DistillConfig, LossConfig
from landmint.train.distill import DistillTask
from landmint.train.faces.face import FaceSet
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Task, task_for

MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
MakeBatch = Callable[[int, int], dict[str, Tensor]]

STUDENTS: Mapping[str, tuple[str, dict[str, Any], LossConfig, Curriculum]] = {
    "hrnet": ("hrnet", {"backbone": "hrnet_w18_small"}, LossConfig(), "std"),
    "fan": ("fan", {"backbone": "fan_2"}, LossConfig(), "std"),
    "mobilefan": ("mobilefan", {}, LossConfig(kind="adaptive_wing"), "std"),
    "cunet": ("cunet", {"backbone": "unet_2", "width": 0.125}, LossConfig(), "std"),
    "propagation": (
        "propagation",
        {"backbone": "hourglass_2", "width": 0.125},
        LossConfig(kind="focal_wing", boundary_weight=1),
        "std",
    ),
    "lab": (
        "lab",
        {"backbone": "residual_2", "width": 0.125},
        LossConfig(kind="wing", boundary_weight=1),
        "std",
    ),
    "luvli": (
        "luvli",
        {"backbone": "unet_2", "width": 0.125},
        LossConfig(kind="spread_nll"),
        "std",
    ),
    "san": (
        "san",
        {"backbone": "cpm_3", "width": 0.125, "heatmap_sigma": 0.75},
        LossConfig(),
        "std",
    ),
    "latent": ("mobilefan", {}, LossConfig(kind="latent"), "std"),
    "pipnet": ("pipnet", {"stride": 16}, LossConfig(), "std"),
    "pipnet, coarse round": ("pipnet", {"stride": 16}, LossConfig(), "cls2"),
    "simcc": ("simcc", {"stride": 16}, LossConfig(), "std"),
    "pfld": ("pfld", {"width": 0.25}, LossConfig(), "std"),
    "spiga": (
        "spiga",
        {"backbone": "hourglass_2", "width": 0.125},
        LossConfig(kind="cascade"),
        "std",
    ),
    "wing": ("pfld", {"backbone": "mobilenetv3_small_050"}, LossConfig(kind="wing"), "std"),
}
FACE, LOST = 1, (3, 40)
"""Which face of the batch lacks which landmarks."""
every_student = pytest.mark.parametrize("student", STUDENTS)


def _student(
    student: str, make_model: MakeModel, make_faces: MakeFaces
) -> tuple[LandmarkModel, Task]:
    name, settings, config, curriculum = STUDENTS[student]
    model = make_model(name, input_size=64, **settings).eval()
    return model, task_for(model, config, make_faces({}, {}), curriculum)


def _examples(batch: MakeBatch, lost: Sequence[int]) -> dict[str, Tensor]:
    examples = batch(2, 64) | {"pseudo": torch.zeros(2)}
    examples["points"][FACE, list(lost)] = math.nan
    return examples


def _gradients(model: LandmarkModel, task: Task, examples: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of the loss, by every output."""
    with torch.no_grad():
        features = model.features(examples["images"])
        drawn = model.head(features)
    outputs = {name: values.clone().requires_grad_() for name, values in drawn.items()}
    parts = task.parts(features, outputs, examples)
    loss = torch.stack(list(parts.values())).sum()
    assert loss.isfinite()
    gradients = torch.autograd.grad(loss, list(outputs.values()), allow_unused=True)
    named = zip(outputs, gradients, strict=True)
    return {name: values for name, values in named if values is not None}


def _of_landmark(model: LandmarkModel, name: str, gradient: Tensor, landmark: int) -> Tensor:
    """The part of an output's gradient (B, ...) that says where a landmark is."""
    if name == "coordinates":
        return gradient.reshape(len(gradient), -1, 2)[:, landmark]
    if name not in ("nb_x", "nb_y"):
        return gradient[:, landmark]
    neighbours = np.array(model.contract.head.neighbours)
    votes = (neighbours == landmark) | (np.arange(len(neighbours)) == landmark)[:, None]
    return gradient[:, np.flatnonzero(votes.ravel())]


def _check_silence(
    model: LandmarkModel, masked: dict[str, Tensor], full: dict[str, Tensor]
) -> None:
    assert masked
    for name, gradient in masked.items():
        for landmark in LOST:
            part = _of_landmark(model, name, gradient, landmark)
            assert part[FACE].abs().max() == 0, (name, landmark)
            assert _of_landmark(model, name, full[name], landmark)[FACE].abs().max() > 0
            assert torch.equal(part[1 - FACE], _of_landmark(model, name, full[name], landmark)[0])
        assert gradient.isfinite().all()
        if name not in ("nb_x", "nb_y"):  # all others learn what they would have learnt
            others = gradient.new_ones(68, dtype=torch.bool)
            others[list(LOST)] = False
            rows = gradient.reshape(2, 68, -1)[:, others]
            torch.testing.assert_close(rows, full[name].reshape(2, 68, -1)[:, others])


@every_student
def test_no_output_of_a_missing_landmark_has_a_gradient(
    student: str, make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model, task = _student(student, make_model, make_faces)
    full, masked = (_gradients(model, task, _examples(batch, lost)) for lost in ((), LOST))
    _check_silence(model, masked, full)


@pytest.mark.parametrize("lesson", ["maps", "points"])
@every_student
def test_a_teacher_says_nothing_of_it_either(
    student: str, lesson: Any, make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model, task = _student(student, make_model, make_faces)
    teacher = make_model("mobilefan", input_size=64)
    with torch.no_grad():  # without training it is sure of nothing
        teacher.get_parameter("heatmaps.bias").add_(1)
    taught = DistillTask(task, model, [teacher], DistillConfig(alpha=1.0, lesson=lesson))
    full, masked = (_gradients(model, taught, _examples(batch, lost)) for lost in ((), LOST))
    _check_silence(model, masked, full)


@pytest.mark.parametrize("student", ["fan", "pipnet", "simcc", "pfld"])
def test_the_network_itself_is_taught_by_what_is_left(
    student: str, make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    """With poses of which nothing is known too."""
    model, task = _student(student, make_model, make_faces)
    examples = _examples(batch, range(60))
    examples["euler_rad"][FACE] = math.nan
    parts = task(model.train(), examples)
    parts["loss"].backward()
    gradients = [p.grad for p in (*model.parameters(), *task.parameters()) if p.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_a_face_of_which_nothing_is_known_costs_nothing(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model, task = _student("pfld", make_model, make_faces)
    examples = _examples(batch, range(68))
    examples["points"][0] = math.nan
    examples["euler_rad"][:] = math.nan
    assert float(task(model, examples)["loss"].detach()) == 0
