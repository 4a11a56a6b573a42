"""One book of a teacher's points serves every student, is small, and is filled once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.runtime.crop import normalise
from landmint.runtime.decode import decode
from landmint.runtime.markup import get_markup
from landmint.runtime.progress import SILENT
from landmint.train import lessons, points_book
from landmint.train.config import NetworkRecipe, TrainingPlan
from landmint.train.distill import Teacher
from landmint.train.evaluate import TorchSession
from landmint.train.faces.augment import AugmentConfig
from landmint.train.faces.dataset import FaceDataset
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.fit_config import FitConfig
from landmint.train.models import ModelConfig, load_model, save_model
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Lesson
from landmint.train.training import train_network

FACES, VIEWS = 4, 2
ROWS = FACES * VIEWS
ROW_BYTES = 68 * (2 * 4 + 2) + 1  # points, confidence, and whether they are known
PIPNET = ModelConfig(name="pipnet", backbone="mobilenetv3_small_050", input_size=64, stride=16)
PFLD = ModelConfig(name="pfld", width=0.25, input_size=96)
FIT = FitConfig(
    epochs=1, batch_size=2, accelerator="cpu", precision="32", threads=1, workers=0, seed=3
)
MakeModel = Callable[..., LandmarkModel]
MakePlan = Callable[..., TrainingPlan]


@pytest.fixture(scope="module")
def make_plan(tmp_path_factory: pytest.TempPathFactory, make_model: MakeModel) -> MakePlan:
    """Makes the plan of a student that a PIPNet of 128 px teaches."""
    folder = tmp_path_factory.mktemp("taught")
    write_synthetic(folder / "faces", {"train": FACES, "val": 2}, get_markup("68"), 160, 0)
    config = FacesConfig(root=folder / "faces")
    train, val = (load_faces(config, split, Path()) for split in ("train", "val"))
    save_model(
        make_model(**{**PIPNET.model_dump(exclude_defaults=True), "input_size": 128}),
        folder / "teacher.safetensors",
    )

    def make(model: ModelConfig, **augment: object) -> TrainingPlan:
        varied = AugmentConfig.model_validate({"views": VIEWS, **augment})
        network = NetworkRecipe(model=model, augment=varied, fit=FIT)
        return TrainingPlan(network, train, val, (folder / "teacher.safetensors",))

    return make


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many crops teachers were asked about, one number a question."""
    sizes: list[int] = []
    points = Teacher.points

    def counted(teacher: Teacher, images: Tensor) -> Lesson:
        sizes.append(len(images))
        return points(teacher, images)

    monkeypatch.setattr(Teacher, "points", counted)
    return sizes


def pages_of(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {path.stem: np.load(path) for path in folder.rglob("*.npy")}


def test_students_of_different_kinds_and_sizes_share_one_small_book(
    make_plan: MakePlan, asked: list[int], tmp_path: Path
) -> None:
    for model in (PFLD, PIPNET):
        train_network(make_plan(model), tmp_path / model.name, lessons=tmp_path / "lessons")
        assert asked == [ROWS], "the second student finds the answers"
    (book,) = (tmp_path / "lessons").iterdir()
    pages = pages_of(book)
    assert pages["known"].all()
    assert sum(page.nbytes for page in pages.values()) == ROWS * ROW_BYTES
    assert not any((tmp_path / name / "lessons").exists() for name in ("pfld", "pipnet"))
    train_network(make_plan(PFLD, scale=(0.9, 1.1)), tmp_path / "o", lessons=tmp_path / "lessons")
    assert asked == [ROWS, ROWS], "other crops, another book"


def test_a_book_holds_what_the_teacher_says_of_its_own_crops(
    make_plan: MakePlan, tmp_path: Path
) -> None:
    """At its own size, and as the runtime decodes it in numpy."""
    plan = make_plan(PFLD)
    book = points_book.points_book(plan, plan.teachers[0], tmp_path, SILENT)
    teacher = load_model(plan.teachers[0])
    crops = FaceDataset(plan.train, teacher.contract, plan.network.augment, FIT.seed)
    rows = torch.tensor([5, 2, 7])
    lesson = book.look_up(rows, torch.device("cpu"), lambda _: pytest.fail("all rows are known"))
    for row, points, confidence in zip(
        rows.tolist(), lesson["points"], lesson["confidence"], strict=True
    ):
        crop = crops[divmod(row, FACES)]["crop"].numpy()[None]
        assert crop.shape == (1, 128, 128, 3)
        outputs = TorchSession(teacher).run(normalise(crop, teacher.contract))
        points_px, sure = decode(teacher.contract, outputs)
        assert points.numpy() == pytest.approx((points_px[0] + 0.5) / 128, abs=1e-3)
        assert confidence.numpy() == pytest.approx(sure[0].clip(0, 1), abs=1e-3)


def test_a_book_that_was_interrupted_is_gone_on_with(
    make_plan: MakePlan, asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points_book, "_BATCH_SIZE", 3)
    plan, counted = make_plan(PFLD), Teacher.points

    def stops(teacher: Teacher, images: Tensor) -> Lesson:
        if asked:
            raise KeyboardInterrupt
        return counted(teacher, images)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Teacher, "points", stops)
        points_book.points_book(plan, plan.teachers[0], tmp_path, SILENT)
    assert pages_of(tmp_path)["known"].sum() == 3
    book = points_book.points_book(plan, plan.teachers[0], tmp_path, SILENT)
    assert asked == [3, 3, 2]
    assert not len(book.unknown())
    monkeypatch.setattr(lessons, "_rank", lambda: 1)
    again = points_book.points_book(plan, plan.teachers[0], tmp_path, SILENT)
    assert asked == [3, 3, 2]
    assert not len(again.unknown()), "every process of a training reads the same pages"


def test_a_training_keeps_no_book_of_crops_that_do_not_come_again(
    make_plan: MakePlan, asked: list[int], tmp_path: Path
) -> None:
    train_network(make_plan(PFLD, views=0), tmp_path)
    assert asked == [FIT.batch_size] * (FACES // FIT.batch_size)
    assert not (tmp_path / "lessons").exists()
