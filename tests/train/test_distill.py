"""A teacher is heard, is never changed, and says nothing to a student that agrees with it."""

import contextlib
import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from landmint.runtime.crop import normalise
from landmint.runtime.errors import LandmintError
from landmint.train import distill, losses
from landmint.train.config import DistillConfig, LossConfig
from landmint.train.distill import DistillTask, Imitation
from landmint.train.faces.dataset import finish_batch
from landmint.train.faces.face import FaceSet
from landmint.train.loop import TrainingModule as Module
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import task_for

MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
MakeBatch = Callable[[int, int], dict[str, Tensor]]

STUDENTS: tuple[tuple[str, dict[str, Any], set[str]], ...] = (
    ("mobilefan", {}, {"heatmaps", "features", "patches"}),
    (
        "pipnet",
        {"backbone": "mobilenetv3_small_100", "stride": 16},
        {"cls", "offsets", "neighbours", "features"},
    ),
    (
        "simcc",
        {"backbone": "mobilenetv3_small_100", "stride": 16},
        {"simcc_x", "simcc_y", "features"},
    ),
    ("pfld", {"width": 0.25}, {"points"}),
)


@pytest.fixture
def teacher(make_model: MakeModel) -> LandmarkModel:
    """A small teacher that is sure of itself: without training its peaks would be near zero."""
    model = make_model("hrnet", input_size=64, backbone="hrnet_w18_small").eval()
    with torch.no_grad():
        model.get_parameter("heatmaps.weight").mul_(20)
    return model


@pytest.fixture
def make_task(
    teacher: LandmarkModel, make_model: MakeModel, make_faces: MakeFaces
) -> Callable[..., tuple[LandmarkModel, DistillTask]]:
    def make(
        name: str, config: DistillConfig | None = None, **settings: object
    ) -> tuple[LandmarkModel, DistillTask]:
        student = make_model(name, **{"input_size": 64, **settings})
        task = task_for(student, LossConfig(), make_faces({}))
        return student, DistillTask(task, student, [teacher], config or DistillConfig())

    return make


MakeTask = Callable[..., tuple[LandmarkModel, DistillTask]]


@pytest.mark.parametrize(("name", "settings", "names"), STUDENTS)
def test_a_few_steps_teach_the_student_and_leave_the_teacher(
    name: str, settings: dict[str, Any], names: set[str], make_task: MakeTask, batch: MakeBatch
) -> None:
    student, task = make_task(name, DistillConfig(alpha=1.0), **settings)
    student.train()
    task.train()
    before = {k: v.clone() for k, v in task.teachers[0].model.state_dict().items()}
    examples = batch(4, 64)
    optimiser = torch.optim.Adam([*student.parameters(), *task.parameters()], lr=2e-3)
    history = []
    for _ in range(8):
        parts = task(student, examples)
        assert {key for key in parts if key.startswith("teacher_")} == {
            f"teacher_{n}" for n in names
        }
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()
        history.append(float(parts["loss"].detach()))
    assert history[-1] < 0.9 * history[0]
    reached = [n for n, p in student.named_parameters() if p.grad is not None and p.grad.any()]
    assert len(reached) > 0.9 * len(list(student.parameters()))
    assert all(p.grad is not None and p.grad.any() for p in task.imitation.parameters())
    assert all(p.grad is None for p in task.teachers[0].model.parameters())
    assert not task.teachers[0].model.training
    after = task.teachers[0].model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_alpha_mixes_truth_and_teacher(make_task: MakeTask, batch: MakeBatch) -> None:
    examples = batch(2, 64)
    parts = {}
    for alpha in (0.0, 0.25, 1.0):
        student, task = make_task("pipnet", DistillConfig(alpha=alpha), stride=16)
        student.eval()  # so that three runs see the same statistics
        task.imitation.load_state_dict(
            {k: torch.ones_like(v) for k, v in task.imitation.state_dict().items()}
        )
        parts[alpha] = {k: float(v.detach()) for k, v in task(student, examples).items()}
    for key, mixed in parts[0.25].items():
        expected = 0.75 * parts[0.0][key] + 0.25 * parts[1.0][key]
        assert mixed == pytest.approx(expected, rel=1e-4), key
    assert parts[0.0]["teacher_cls"] == 0
    assert parts[1.0]["cls"] == 0


def test_every_stack_hears_the_teacher(make_task: MakeTask, batch: MakeBatch) -> None:
    """Zhang, Zhu and Ye, CVPR 2019: the loss is the mean over the stacks, each heard alone."""
    config = DistillConfig(alpha=1.0, feature_weight=0, patch_weight=0)
    student, task = make_task("hourglass", config, backbone="hourglass_2", width=0.125)
    examples = batch(2, 64)
    with torch.no_grad():
        features = student.features(examples["images"])
        outputs = student.head(features)
        lesson = task._lesson(examples)["heatmaps"]
    unit = 16 * 16 / (math.pi * 1.5**2)
    wanted = [float((maps - lesson).square().mean()) for maps in (features[0], outputs["heatmaps"])]
    part = task.parts(features, outputs, examples)["teacher_heatmaps"]
    assert float(part) == pytest.approx(unit * sum(wanted) / 2, rel=1e-4)


def test_a_student_that_is_its_teacher_hears_nothing(
    teacher: LandmarkModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    student = copy.deepcopy(teacher)
    task = task_for(student, LossConfig(), make_faces({}))
    parts = DistillTask(task, student, [teacher], DistillConfig(alpha=1.0))(student, batch(2, 64))
    assert float(parts["teacher_heatmaps"].detach()) == pytest.approx(0, abs=1e-9)


def test_imitation_of_the_teachers_own_features_is_zero(
    make_model: MakeModel, teacher: LandmarkModel
) -> None:
    student = make_model("mobilefan", input_size=64)
    imitation = Imitation(student, teacher, DistillConfig())
    target = torch.randn(2, 240, 16, 16)
    imitation.taps, imitation.grids = (0,), [(16, 16)]
    imitation.adapters = torch.nn.ModuleList([torch.nn.Identity()])
    lesson = imitation.lesson(target)
    parts = imitation((target,), lesson)
    zeros = pytest.approx({"features": 0, "patches": 0}, abs=1e-9)
    assert {key: float(part) for key, part in parts.items()} == zeros
    elsewhere = imitation((target.flip(3),), lesson)
    assert all(float(part) > 0 for part in elsewhere.values())


def test_a_task_without_taps_to_imitate_still_teaches(
    make_task: MakeTask, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landmint.train.models.mobilefan.MobileFAN.IMITATES", ())
    student, task = make_task("mobilefan")
    assert set(task(student, batch(2, 64))) == {"loss", "heatmaps", "teacher_heatmaps"}


def test_the_teacher_is_no_part_of_the_checkpoint(make_task: MakeTask) -> None:
    _, task = make_task("pfld", width=0.25)
    assert {key.split(".")[0] for key in task.state_dict()} == {"task"}
    _, task = make_task("mobilefan")
    assert {key.split(".")[0] for key in task.state_dict()} == {"imitation"}
    assert task.train().teachers[0].model.training is False


def test_weights_of_zero_build_no_adapters(make_task: MakeTask, batch: MakeBatch) -> None:
    student, task = make_task("mobilefan", DistillConfig(feature_weight=0, patch_weight=0))
    assert not list(task.parameters())
    assert set(task(student, batch(2, 64))) == {"loss", "heatmaps", "teacher_heatmaps"}


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_the_lesson_is_what_the_deployed_teacher_would_say(
    teacher: LandmarkModel, make_task: MakeTask, color: str
) -> None:
    """Other normalisation and colour order for the student, the same crop, the same landmarks."""
    student, task = make_task(
        "mobilefan", mean=(127.5, 117.5, 107.5), std=(128.0, 100.0, 90.0), color=color
    )
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8).numpy()
    _, heard = task.teachers[0].explain(torch.from_numpy(normalise(crops, student.contract)))
    with torch.no_grad():
        heatmaps = teacher(torch.from_numpy(normalise(crops, teacher.contract)))["heatmaps"]
    torch.testing.assert_close(heard["heatmaps"], heatmaps, atol=1e-4, rtol=1e-3)
    assert not heard["heatmaps"].requires_grad


def test_points_of_the_lesson_lie_where_its_heatmaps_peak(make_task: MakeTask) -> None:
    _, task = make_task("pfld", width=0.25)
    points = 0.3 + 0.4 * torch.rand(2, 68, 2)
    heatmaps = losses.encode_heatmaps(points, (16, 16), 1.5)
    for height in (0.8, 1.5):
        lesson = task.teachers[0].decode(height * heatmaps)
        torch.testing.assert_close(lesson["points"], points, atol=2e-3, rtol=0)
        assert 0.6 < float(lesson["confidence"].min()) <= float(lesson["confidence"].max()) <= 1


def test_sizes_may_differ(make_task: MakeTask, batch: MakeBatch) -> None:
    student, task = make_task("pipnet", input_size=96)
    parts = task(student, batch(2, 96))
    assert bool(torch.isfinite(parts["loss"]))
    larger, task = make_task("mobilefan", input_size=128, heatmap_sigma=3.0)
    assert bool(torch.isfinite(task(larger, batch(2, 128))["loss"]))


def test_a_teacher_of_half_precision_says_nearly_the_same(
    make_task: MakeTask, batch: MakeBatch
) -> None:
    images = batch(2, 64)["images"]
    _, full = make_task("pfld", width=0.25)
    _, half = make_task("pfld", DistillConfig(precision="bf16"), width=0.25)
    exact, rounded = (task.teachers[0].explain(images)[1]["heatmaps"] for task in (full, half))
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, atol=0.05, rtol=0.1)


def test_a_teacher_rounds_only_where_the_device_does_so_in_hardware(
    make_task: MakeTask, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = batch(2, 64)["images"]
    _, full = make_task("pfld", width=0.25)
    _, own = make_task("pfld", DistillConfig(precision="auto"), width=0.25)
    exact = full.teachers[0].explain(images)[1]["heatmaps"]
    for precision, equal in (("32", True), ("bf16", False)):
        monkeypatch.setattr(distill, "own_precision", lambda device, chosen=precision: chosen)
        maps = own.teachers[0].explain(images)[1]["heatmaps"]
        assert torch.allclose(exact, maps, rtol=1e-6, atol=1e-6) == equal


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"markup": "98"}, "same markup"),
        ({"crop_scale": 1.4}, "set the same crop_scale"),
        ({"crop_square": False}, "set the same crop_scale"),
        ({"crop_shift": (0.0, 0.1)}, "crop_square and crop_shift for both"),
        ({"heatmap_sigma": 2.0}, "set the student's heatmap_sigma to 1.5"),
        ({"input_size": 128}, "set the student's heatmap_sigma to 3"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused(
    settings: dict[str, object], message: str, make_task: MakeTask
) -> None:
    with pytest.raises(LandmintError, match=message):
        make_task("mobilefan", **settings)


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts copies to the device that a step waits for; those from it fail on "meta" anyway."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(  # noqa: D105 - torch's name
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu":
            self.count += not kwargs.get("non_blocking")
        return func(*args, **kwargs)


@pytest.mark.parametrize(("name", "settings", "names"), STUDENTS)
def test_no_step_waits_for_the_cpu(
    name: str,
    settings: dict[str, Any],
    names: set[str],
    make_task: MakeTask,
    batch: MakeBatch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The device "meta" has shapes and no values: who reads a value of it gets an error."""
    student, task = make_task(name, **settings)
    module = Module(student, task).to("meta")
    faces = {key: values.clone() for key, values in batch(2, 64).items() if key != "images"}
    crops = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    # Of autocast, "meta" has none.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())

    def step() -> Any:
        moved = finish_batch({"crop": crops, **faces}, student.contract, torch.device("meta"))
        parts = module(moved)
        parts["loss"].backward()
        return parts

    step()  # the teacher follows the first batch to its device
    with Waits() as waits:
        parts = step()
    assert parts["loss"].device.type == "meta"
    assert f"teacher_{min(names)}" in parts
    assert waits.count == 0
