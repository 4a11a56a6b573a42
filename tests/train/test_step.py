"""A step asks the device for no value: on a GPU each answer would wait for all of its work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from landmint.runtime.crop import box_of
from landmint.train import loop
from landmint.train.config import DistillConfig, LossConfig, NetworkRecipe, TrainingPlan
from landmint.train.distill import Teacher
from landmint.train.faces.augment import AugmentConfig
from landmint.train.faces.dataset import finish_batch
from landmint.train.faces.face import Face, FaceSet, face_set
from landmint.train.fit import fit
from landmint.train.fit_config import FitConfig
from landmint.train.models import ModelConfig, save_model
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import task_for
from landmint.train.training import train_network

MakeModel = Callable[..., LandmarkModel]

# Operators whose answer a program waits for: a number, or a tensor whose size depends on values.
_WAIT = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"}


PIPNET: dict[str, Any] = {"input_size": 64, "backbone": "mobilenetv3_small_050"}
FIT = FitConfig(
    epochs=2,
    batch_size=4,
    accelerator="cpu",
    precision="32",
    threads=1,
    workers=0,
    frozen_norms=0.5,
)


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses what would make a program wait for its device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at an operator before it runs."""
        self.seen += 1
        assert func._schema.name not in _WAIT, f"a step waits in {func}"
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Eight faces of noise."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    points, made = rng.uniform(20, 60, (68, 2)), []
    for i in range(8):
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (80, 80, 3), dtype=np.uint8))
        made.append(Face(str(i), path, points, box_of(points), f"{i}", np.ones(68, bool), {}))
    return face_set("68", made, "train")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many operators each step ran; a step that waits fails."""
    seen: list[int] = []
    real = loop.Loop._step

    def step(self: loop.Loop, batch: dict[str, Tensor]) -> None:
        with pytest.MonkeyPatch.context() as patch, NoWaiting() as mode:
            for method in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
                patch.setattr(Tensor, method, _only_of(batch["row"], getattr(Tensor, method)))
            real(self, batch)
        seen.append(mode.seen)

    monkeypatch.setattr(loop.Loop, "_step", step)
    return seen


def _only_of(row: Tensor, method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that copies from the device, for the tensor alone that stays on the CPU."""

    def copy(self: Tensor, *arguments: Any, **options: Any) -> Any:
        assert self is row, f"a step copies from its device: {method.__name__}"
        return method(self, *arguments, **options)

    return copy


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("pfld", {"input_size": 64, "width": 0.25}),
        ("pipnet", PIPNET),
        ("fan", {"input_size": 64, "backbone": "fan_1"}),
    ],
)
def test_a_step_waits_for_nothing(
    faces: FaceSet,
    make_model: MakeModel,
    tmp_path: Path,
    watched: list[int],
    name: str,
    settings: dict[str, Any],
) -> None:
    model = make_model(name, **settings)
    task = task_for(model, LossConfig(), faces)
    fit(model, task, faces, faces, AugmentConfig(), FIT, tmp_path)
    assert len(watched) == 4 and min(watched) > 50


@pytest.mark.parametrize(
    ("lesson", "views"),
    [("points", 0), ("points", 2), ("maps", 0)],  # a book of maps is filled in the first steps
)
def test_a_taught_step_waits_for_nothing(
    faces: FaceSet,
    make_model: MakeModel,
    tmp_path: Path,
    watched: list[int],
    lesson: str,
    views: int,
) -> None:
    teacher = tmp_path / "teacher.safetensors"
    save_model(make_model("fan", input_size=128, backbone="fan_1", color="BGR"), teacher)
    student = ModelConfig.model_validate({"name": "pipnet", **PIPNET})
    network = NetworkRecipe(model=student, augment=AugmentConfig(views=views), fit=FIT)
    distill = DistillConfig.model_validate({"lesson": lesson})
    train_network(TrainingPlan(network, faces, faces, (teacher,), distill), tmp_path / "run")
    assert len(watched) == 4 and min(watched) > 50


def test_a_teacher_is_sent_to_the_device_once(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = make_model("fan", input_size=64, backbone="fan_1")
    student = make_model("pipnet", **PIPNET)
    asked = Teacher(teacher, student, DistillConfig(lesson="points"))
    images = torch.zeros(1, 3, 64, 64)
    asked.points(images)
    real = Tensor.to

    def to(self: Tensor, *arguments: Any, **options: Any) -> Tensor:
        sends = "device" in options or any(isinstance(a, torch.device | Tensor) for a in arguments)
        assert not sends, "sent again"
        return real(self, *arguments, **options)

    monkeypatch.setattr(Tensor, "to", to)
    asked.points(images)


def test_crops_travel_as_bytes_and_constants_once(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = make_model("pfld", input_size=64, width=0.25).contract
    batch = {"crop": torch.zeros(2, 64, 64, 3, dtype=torch.uint8), "row": torch.arange(2)}
    sent: list[tuple[torch.dtype, bool]] = []
    real = Tensor.to

    def to(self: Tensor, *arguments: Any, **options: Any) -> Tensor:
        sent.append((self.dtype, options.get("non_blocking", False)))
        return real(self, *arguments, **options)

    finish_batch(batch, contract, torch.device("cpu"))
    monkeypatch.setattr(Tensor, "to", to)
    finish_batch(batch, contract, torch.device("cpu"))
    assert sent == [(torch.uint8, True)]
