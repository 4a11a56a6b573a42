"""Teachers with any head say points, several say their mean, and every student learns from them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.runtime.crop import normalise
from landmint.runtime.decode import decode
from landmint.train.config import DistillConfig, LossConfig
from landmint.train.distill import DistillTask, Teacher, mean_points, says_maps
from landmint.train.faces.face import FaceSet
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import task_for

MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
MakeBatch = Callable[[int, int], dict[str, Tensor]]

POINTS = DistillConfig(alpha=1.0, lesson="points")
TEACHERS: dict[str, dict[str, Any]] = {
    "pip": {"name": "pipnet", "backbone": "mobilenetv3_small_050", "stride": 16},
    "coordinates": {"name": "pfld", "width": 0.25},
    "heatmap": {"name": "hrnet", "backbone": "hrnet_w18_small"},
    "simcc": {"name": "simcc", "backbone": "mobilenetv3_small_050", "stride": 16},
}
STUDENTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "pip": (TEACHERS["pip"], {"cls", "offsets", "neighbours"}),
    "coordinates": (TEACHERS["coordinates"], {"points"}),
    "heatmap": ({"name": "mobilefan"}, {"heatmaps"}),
    "simcc": (TEACHERS["simcc"], {"simcc_x", "simcc_y"}),
}


@pytest.fixture
def make_teacher(make_model: MakeModel) -> Callable[..., LandmarkModel]:
    """Makes a teacher by the kind of its head; no network here was trained."""

    def make(kind: str, **settings: object) -> LandmarkModel:
        return make_model(**{"input_size": 64, **TEACHERS[kind], **settings}).eval()

    return make


MakeTeacher = Callable[..., LandmarkModel]


@pytest.fixture
def taught(make_model: MakeModel, make_faces: MakeFaces) -> Callable[..., Any]:
    """Makes a student by the kind of its head, and its task with the given teachers."""

    def make(
        kind: str, teachers: list[LandmarkModel], config: DistillConfig = POINTS
    ) -> tuple[LandmarkModel, DistillTask]:
        student = make_model(**{"input_size": 64, **STUDENTS[kind][0]})
        task = task_for(student, LossConfig(), make_faces({}))
        return student, DistillTask(task, student, teachers, config)

    return make


Taught = Callable[..., tuple[LandmarkModel, DistillTask]]


@pytest.mark.parametrize(
    ("student_kind", "teacher_kinds"),
    [
        ("heatmap", ["pip"]),
        ("pip", ["pip"]),
        ("coordinates", ["pip"]),
        ("pip", ["coordinates"]),
        ("heatmap", ["heatmap", "coordinates"]),
        ("simcc", ["pip", "simcc"]),
    ],
)
def test_a_few_steps_teach_the_student_and_leave_the_teachers(
    student_kind: str,
    teacher_kinds: list[str],
    taught: Taught,
    make_teacher: MakeTeacher,
    batch: MakeBatch,
) -> None:
    default = DistillConfig(alpha=1.0)  # "maps", which not all of these teachers have
    student, task = taught(student_kind, [make_teacher(kind) for kind in teacher_kinds], default)
    # An untrained PIPNet is sure of nothing, and what nobody is sure of teaches nothing.
    task.sources = [(_sure(source), None) for source, _ in task.sources]
    student.train()
    task.train()
    before = [
        {k: v.clone() for k, v in teacher.model.state_dict().items()} for teacher in task.teachers
    ]
    examples = batch(4, 64)
    optimiser = torch.optim.Adam([*student.parameters(), *task.parameters()], lr=2e-3)
    history = []
    for _ in range(8):
        parts = task(student, examples)
        names = {key.removeprefix("teacher_") for key in parts if key.startswith("teacher_")}
        assert names == STUDENTS[student_kind][1]
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()
        history.append(float(parts["loss"].detach()))
    assert history[-1] < 0.9 * history[0]
    for teacher, weights in zip(task.teachers, before, strict=True):
        assert all(p.grad is None for p in teacher.model.parameters())
        after = teacher.model.state_dict()
        assert all(torch.equal(weights[key], after[key]) for key in weights)
    assert {key.split(".")[0] for key in task.state_dict()} <= {"task"}


def _sure(source: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    def answer(images: Tensor) -> dict[str, Tensor]:
        lesson = source(images)
        return {**lesson, "confidence": torch.ones_like(lesson["confidence"])}

    return answer


@pytest.mark.parametrize("kind", TEACHERS)
def test_a_teacher_says_what_it_would_on_the_device(
    kind: str, make_teacher: MakeTeacher, make_model: MakeModel
) -> None:
    """The runtime's decode in numpy, on crops of the teacher's own normalisation."""
    teacher = make_teacher(kind)
    student = make_model("mobilefan", input_size=64, mean=(1.0, 2.0, 3.0), color="BGR")
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    lesson = Teacher(teacher, student, POINTS).points(
        torch.from_numpy(normalise(crops, student.contract))
    )
    with torch.no_grad():
        outputs = teacher(torch.from_numpy(normalise(crops, teacher.contract)))
    arrays = {name: output.numpy() for name, output in outputs.items()}
    points_px, confidence = decode(teacher.contract, arrays)
    assert lesson["points"].numpy() == pytest.approx((points_px + 0.5) / 64, abs=2e-3)
    assert lesson["confidence"].numpy() == pytest.approx(confidence.clip(0, 1), abs=2e-3)
    assert not lesson["points"].requires_grad


def test_a_larger_teacher_says_points_in_the_same_unit(
    make_teacher: MakeTeacher, taught: Taught, batch: MakeBatch
) -> None:
    _, task = taught("coordinates", [make_teacher("coordinates", input_size=96)])
    lesson = task.teachers[0].points(batch(2, 64)["images"])
    assert lesson["points"].shape == (2, 68, 2)
    assert 0 < float(lesson["points"].min()) < float(lesson["points"].max()) < 1
    assert lesson["confidence"].min() == lesson["confidence"].max() == 1


def test_a_heatmap_student_learns_gaussians_at_the_points_by_hand(
    taught: Taught, make_teacher: MakeTeacher
) -> None:
    student, task = taught("heatmap", [make_teacher("coordinates")])
    maps = (0.1 * torch.rand(1, 68, 16, 16)).requires_grad_()
    points = 0.2 + 0.6 * torch.rand(1, 68, 2)
    confidence = torch.linspace(0, 1, 68)[None]
    part = task.task.lesson_parts({"heatmaps": maps}, {"points": points, "confidence": confidence})[
        "heatmaps"
    ]
    sigma, total = student.contract.head.sigma, 0.0
    for sure, (x, y), drawn in zip(confidence[0], points[0], maps[0].detach(), strict=True):
        for row in range(16):
            for column in range(16):
                apart = (column + 0.5 - 16 * float(x)) ** 2 + (row + 0.5 - 16 * float(y)) ** 2
                wanted = math.exp(-apart / (2 * sigma**2))
                total += float(sure) * (float(drawn[row, column]) - wanted) ** 2
    expected = total / 68 / (math.pi * sigma**2)  # an empty map costs 1
    assert float(part.detach()) == pytest.approx(expected, rel=1e-4)
    (gradient,) = torch.autograd.grad(part, maps)
    taught_maps = gradient.abs().sum(dim=(0, 2, 3)) > 0
    assert taught_maps.tolist() == [False, *[True] * 67], "nobody is sure of the first landmark"


def test_a_pip_student_learns_points_as_it_learns_labels(
    taught: Taught, make_teacher: MakeTeacher, batch: MakeBatch
) -> None:
    student, task = taught("pip", [make_teacher("pip")])
    examples = batch(2, 64)
    with torch.no_grad():
        outputs = student.eval()(examples["images"])
    lesson = {"points": examples["points"], "confidence": torch.ones(2, 68)}
    as_labels = task.task.parts((), outputs, examples)
    as_lesson = task.task.lesson_parts(outputs, lesson)
    assert {k: float(v) for k, v in as_lesson.items()} == pytest.approx(
        {k: float(v) for k, v in as_labels.items()}
    )
    half = task.task.lesson_parts(outputs, {**lesson, "confidence": torch.full((2, 68), 0.5)})
    assert float(half["offsets"]) == pytest.approx(float(as_labels["offsets"]) / 2)


def test_several_teachers_say_their_mean_by_confidence() -> None:
    one = {
        "points": torch.tensor([[[0.2, 0.4], [0.5, 0.5]]]),
        "confidence": torch.tensor([[1.0, 0]]),
    }
    two = {
        "points": torch.tensor([[[0.6, 0.8], [0.7, 0.9]]]),
        "confidence": torch.tensor([[3.0, 0]]),
    }
    mean = mean_points([one, two])
    wanted = [[0.5, 0.7], [0.6, 0.7]]  # of the second landmark nobody is sure: the plain mean
    assert mean["points"][0].tolist() == [pytest.approx(point, abs=1e-5) for point in wanted]
    assert mean["confidence"].tolist() == [[2, 0]]


def test_an_ensemble_of_heatmap_teachers_says_the_mean_of_its_maps(
    taught: Taught, make_teacher: MakeTeacher, batch: MakeBatch
) -> None:
    first, second = make_teacher("heatmap"), make_teacher("heatmap")
    with torch.no_grad():
        second.get_parameter("heatmaps.weight").neg_()
    student, task = taught("heatmap", [first, second], DistillConfig(alpha=1.0))
    images = batch(2, 64)["images"]
    (source, _), *others = task.sources
    assert not others
    with torch.no_grad():
        wanted = (first(images)["heatmaps"] + second(images)["heatmaps"]) / 2
    torch.testing.assert_close(source(images)["heatmaps"], wanted, atol=1e-5, rtol=1e-4)
    parts = task(student, batch(2, 64))
    assert set(parts) == {"loss", "heatmaps", "teacher_heatmaps"}, "features have no mean"


def test_maps_are_said_where_they_have_a_mean(make_teacher: MakeTeacher) -> None:
    heatmap, maps = make_teacher("heatmap"), DistillConfig()
    assert says_maps([heatmap], maps)
    assert says_maps([heatmap, heatmap], maps)
    assert not says_maps([heatmap], POINTS)
    assert not says_maps([make_teacher("pip")], maps)
    assert not says_maps([heatmap, make_teacher("pip")], maps)
    assert not says_maps([heatmap, make_teacher("heatmap", heatmap_sigma=2.0)], maps)
    assert not says_maps([heatmap, make_teacher("heatmap", input_size=96)], maps)


def test_a_teacher_of_points_may_draw_peaks_of_another_width(
    taught: Taught, make_teacher: MakeTeacher, batch: MakeBatch
) -> None:
    student, task = taught("heatmap", [make_teacher("heatmap", heatmap_sigma=2.0)])
    assert bool(torch.isfinite(task(student, batch(2, 64))["loss"]))


def test_the_setting_is_told_only_where_it_was_made() -> None:
    """What was trained before it came stays up to date."""
    assert "lesson" not in DistillConfig().model_dump(mode="json")
    assert POINTS.model_dump(mode="json")["lesson"] == "points"
