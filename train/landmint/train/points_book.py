"""Asks a teacher about every crop of a training before its student sees the first.

The teacher is given crops of its own: the same views of the same faces, at its own size. So its
answers depend on no student, and all students that see the same views share them.
"""

import contextlib
import fcntl
from pathlib import Path

import torch

from landmint.runtime.files import digest, sha256_file
from landmint.runtime.progress import Progress
from landmint.train.config import TrainingPlan
from landmint.train.distill import Teacher
from landmint.train.faces.dataset import FaceDataset, finish_batch, load_batches
from landmint.train.launch import device_of, workers_of
from landmint.train.lessons import LessonBook
from landmint.train.models import load_model
from landmint.train.torch_state import torch_threads

_BATCH_SIZE = 64
_LOCK = "lock"


def points_book(plan: TrainingPlan, teacher: Path, folder: Path, progress: Progress) -> LessonBook:
    """The filled book of what one teacher says of a training's crops.

    Where another process fills it, this one waits. Where that was interrupted, this one goes on.

    Args:
        plan: faces, crops and device; of the student only the crop rule counts.
        teacher: its weights.
        folder: where the book is, in a subfolder named after all that it depends on.
        progress: called after every batch.

    Raises:
        LandmintError: an image cannot be read, or the disk has no room for the book.
    """
    network = plan.network
    augment, own_seed = network.augment, network.augment.seed
    identity = {
        "rows": plan.crops,
        "augment": augment.model_dump(mode="json", exclude={"seed"}),
        "seed": network.fit.seed if own_seed is None else own_seed,
        "faces": plan.train.fingerprint,
        "teacher": sha256_file(teacher),
        "precision": plan.distill.precision,
    }
    book = LessonBook(folder / digest(identity)[:12], plan.crops, filled_before=True)
    book.folder.mkdir(parents=True, exist_ok=True)
    progress.step("asking the teacher")
    with (book.folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if len(book.unknown()):
            _fill(book, plan, teacher, progress)
    return book


def _fill(book: LessonBook, plan: TrainingPlan, weights: Path, progress: Progress) -> None:
    fit, model = plan.network.fit, load_model(weights)
    contract, device = model.contract, torch.device(device_of(fit))
    teacher = Teacher(model, model, plan.distill)
    workers = workers_of(fit)
    cache_mib = fit.cache_mib / max(1, workers)
    dataset = FaceDataset(plan.train, contract, plan.network.augment, fit.seed, cache_mib)
    unknown = book.unknown()
    # A row is epoch times faces plus index.
    keys = [divmod(row, len(dataset)) for row in unknown.tolist()]
    batches = [keys[i : i + _BATCH_SIZE] for i in range(0, len(keys), _BATCH_SIZE)]
    loaded = load_batches(dataset, batches, workers, device.type == "cuda")
    with torch_threads(fit.threads), contextlib.closing(loaded):
        done = 0
        for batch in loaded:
            rows = batch["row"]
            book.write(rows, teacher.points(finish_batch(batch, contract, device)["images"]))
            done += len(rows)
            progress.at(done, len(keys), "asking the teacher")
