"""A book answers as the teacher did, asks once, and survives interruption."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.runtime.errors import LandmintError
from landmint.train.config import DistillConfig, LossConfig
from landmint.train.distill import DistillTask
from landmint.train.faces.face import FaceSet
from landmint.train.lessons import LessonBook
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Lesson, task_for

CPU = torch.device("cpu")
MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
MakeBatch = Callable[[int, int], dict[str, Tensor]]


class Oracle:
    """Says the row's number everywhere, and counts what it was asked."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows
        self.asked: list[int] = []

    def __call__(self, places: Tensor) -> Lesson:
        told = self.rows[places]
        self.asked += told.tolist()

        def filled(*shape: int) -> Tensor:
            return told.float().reshape(-1, *[1] * len(shape)).expand(-1, *shape)

        return {"heatmaps": filled(2, 4, 4), "points": filled(2, 2), "confidence": filled(2)}


def look_up(book: LessonBook, *rows: int) -> tuple[list[float], list[int]]:
    """What the book says, one number a row, and which rows it had to ask about."""
    oracle = Oracle(torch.tensor(rows))
    lesson = book.look_up(oracle.rows, CPU, oracle)
    for values in lesson.values():
        assert values.dtype == torch.float32
        assert (values.flatten(1) == values.flatten(1)[:, :1]).all()
    said = {tuple(values.flatten(1)[:, 0].tolist()) for values in lesson.values()}
    assert len(said) == 1  # the fields agree
    return list(said.pop()), oracle.asked


def test_each_row_is_asked_once(tmp_path: Path) -> None:
    book = LessonBook(tmp_path / "book", 10)
    assert look_up(book, 3, 7) == ([3, 7], [3, 7])
    assert look_up(book, 7, 1, 3) == ([7, 1, 3], [1])
    assert look_up(book, 1, 7) == ([1, 7], [])


def test_another_process_finds_what_was_said(tmp_path: Path) -> None:
    look_up(LessonBook(tmp_path / "book", 10), 3, 7)
    again = LessonBook(tmp_path / "book", 10)
    assert look_up(again, 9, 3) == ([9, 3], [9])
    assert look_up(pickle.loads(pickle.dumps(again)), 3, 7, 9) == ([3, 7, 9], [])


def test_a_number_beyond_half_precision_is_held_at_its_end(tmp_path: Path) -> None:
    book = LessonBook(tmp_path / "book", 1)
    huge = torch.full((1, 1, 1, 1), 1e9)
    lesson = book.look_up(torch.tensor([0]), CPU, lambda _: {"heatmaps": huge, "features": -huge})
    assert lesson["heatmaps"].item() == 65504 and lesson["features"].item() == -65504


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="lower augment.views"):
        look_up(LessonBook(tmp_path / "book", 2**50), 3)
    assert not list(tmp_path.iterdir())


POINTS = 68 * 2 * 4 + 68 * 2  # in 32 bits, and confidence in 16
TEACHER_CHANNELS = 240
STUDENTS: tuple[tuple[str, dict[str, Any], dict[str, float], int], ...] = (
    ("pfld", {"width": 0.25}, {}, POINTS),
    (
        "pipnet",
        {"backbone": "mobilenetv3_small_100", "stride": 16},
        {},
        POINTS + 2 * (68 + TEACHER_CHANNELS) * 4 * 4,
    ),
    (
        "pipnet",
        {"backbone": "mobilenetv3_small_100", "stride": 16},
        {"feature_weight": 0.0},
        POINTS + 2 * 68 * 4 * 4,
    ),
    (
        "simcc",
        {"backbone": "mobilenetv3_small_100", "stride": 16},
        {},
        POINTS + 2 * TEACHER_CHANNELS * 4 * 4,
    ),
    ("mobilefan", {}, {}, 2 * (68 + TEACHER_CHANNELS) * 16 * 16),
    # Affinities of maps with sides of 4, 8 and 16: of 16 places, and of 64.
    ("mobilefan", {}, {"feature_weight": 0.0}, 2 * (68 * 16 * 16 + 16**2 + 64**2 + 64**2)),
    ("mobilefan", {}, {"feature_weight": 0.0, "patch_weight": 0.0}, 2 * 68 * 16 * 16),
)


@pytest.mark.parametrize(("name", "settings", "weights", "size_bytes"), STUDENTS)
def test_a_book_holds_what_the_student_hears_and_gives_the_loss_that_it_would_have_alone(
    name: str,
    settings: dict[str, Any],
    weights: dict[str, float],
    size_bytes: int,
    make_model: MakeModel,
    make_faces: MakeFaces,
    batch: MakeBatch,
    tmp_path: Path,
) -> None:
    teacher = make_model("hrnet", input_size=64, backbone="hrnet_w18_small").eval()
    student = make_model(name, input_size=64, **settings)
    examples = batch(3, 64) | {"row": torch.tensor([4, 0, 2])}
    config, losses = DistillConfig.model_validate(weights), []
    for books in ([], [LessonBook(tmp_path, 5)]):
        torch.manual_seed(0)
        task = DistillTask(
            task_for(student, LossConfig(), make_faces({})), student, [teacher], config, books
        )
        student.eval()
        task.eval()
        losses.append({k: float(v.detach()) for k, v in task(student, examples).items()})
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)
    task.teachers[0].explain = None  # type: ignore[assignment, method-assign]  # not asked again
    assert {k: float(v.detach()) for k, v in task(student, examples).items()} == losses[1]
    pages = {path.stem: np.load(path) for path in tmp_path.rglob("*.npy")}
    assert pages.pop("known").tolist() == [True, False, True, False, True]
    assert sum(page.nbytes for page in pages.values()) == 5 * size_bytes


@pytest.mark.parametrize(("name", "decodes"), [("pfld", 1), ("pipnet", 1), ("mobilefan", 0)])
def test_the_teacher_decodes_only_for_a_student_that_reads_points(
    name: str, decodes: int, make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    teacher = make_model("hrnet", input_size=64, backbone="hrnet_w18_small").eval()
    student = make_model(name, input_size=64)
    task = task_for(student, LossConfig(), make_faces({}))
    distilled = DistillTask(task, student, [teacher], DistillConfig())
    calls = []
    distilled.teachers[0].decoder.register_forward_hook(lambda *_: calls.append(1))
    distilled(student, batch(2, 64))
    assert len(calls) == decodes
