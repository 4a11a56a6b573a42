"""What a teacher said of crops that come again: kept on disk, so that it is asked once.

A crop is a pure function of its row (see `faces.dataset`), so a lesson can be looked up by that. A
teacher is several times as slow as its student; students that learn from the same crops, or one
that sees a face in a few fixed views over and over, then pay for the student alone (Wu et al.,
"TinyViT", ECCV 2022, section 3.1, keeps a teacher's answers for the same reason).

A book of maps is filled while its student trains, by what that student reads. A book of points is
filled before, see `points_book`, and serves every student.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmint.runtime.errors import LandmintError
from landmint.train.tasks import Lesson

Ask = Callable[[Tensor], Lesson]
"""From the places (K,) in a batch to what the teacher says of those crops."""

_KNOWN = "known"
_WIDE = ("points",)  # in 16 bits a landmark would move by up to 1/4000 of the crop's side


class LessonBook:
    """Lessons by row, in one folder that may be deleted at any time.

    What a student hears is what the book holds, also the first time: a run that was interrupted
    goes on bit for bit. Each process of a distributed training keeps pages of its own, unless the
    book is filled before the training begins.
    """

    def __init__(self, folder: Path, rows: int, filled_before: bool = False) -> None:
        """Open nothing yet.

        Args:
            folder: for these lessons alone: of one teacher, one set of faces, one way to crop.
            rows: how many different crops there are.
            filled_before: whether all processes of a training read the same pages, which one
                process has written before.
        """
        self.folder, self._rows, self._filled_before = folder, rows, filled_before
        self._pages: dict[str, NDArray[Any]] = {}

    def __getstate__(self) -> Mapping[str, Any]:
        """Another process opens the files by itself."""
        return {**vars(self), "_pages": {}}

    def look_up(self, rows: Tensor, device: torch.device, ask: Ask) -> Lesson:
        """The lessons of crops; the teacher is asked about those that are not in the book.

        Args:
            rows: (B,) int64, best on the CPU, where the files are.
            device: where the lesson is wanted.
            ask: called with the places in the batch that are unknown, if there are any.

        Raises:
            LandmintError: the disk has no room for the book.
        """
        wanted = rows.cpu().numpy()
        unknown = np.flatnonzero(~self._are_known(wanted))
        if len(unknown):
            self.write(rows.cpu()[unknown], ask(torch.from_numpy(unknown).to(device)))
        return {
            name: _sent(page[wanted], device)
            for name, page in self._pages.items()
            if name != _KNOWN
        }

    def unknown(self) -> Tensor:
        """Rows (K,) that are not in the book, ascending."""
        return torch.from_numpy(np.flatnonzero(~self._are_known(np.arange(self._rows))))

    def write(self, rows: Tensor, lesson: Lesson) -> None:
        """Keep the lessons of rows (B,).

        Raises:
            LandmintError: the disk has no room for the book.
        """
        if not self._pages:
            self._make(lesson)
            self._pages |= self._opened()
        places = rows.numpy()
        for name, values in lesson.items():
            page = self._pages[name]
            limit = np.finfo(page.dtype).max
            page[places] = values.detach().float().clamp(-limit, limit).cpu().numpy()
        self._pages[_KNOWN][places] = True  # last, so that a row that counts as known is whole

    def _are_known(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of rows (K,) are in the book."""
        if not self._pages and self._known_file.is_file():
            self._pages |= self._opened()
        known = self._pages.get(_KNOWN)
        return np.zeros(len(rows), dtype=np.bool_) if known is None else known[rows]

    @property
    def _known_file(self) -> Path:
        pages = "all" if self._filled_before else f"rank-{_rank()}"
        return self.folder / pages / f"{_KNOWN}.npy"

    def _opened(self) -> dict[str, NDArray[Any]]:
        """Every file, mapped into memory."""
        return {
            path.stem: np.lib.format.open_memmap(path, mode="r+")
            for path in self._known_file.parent.glob("*.npy")
        }

    def _make(self, lesson: Lesson) -> None:
        """Empty files in the shapes of a lesson; the one that makes a book of them comes last."""
        layouts: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            name: (np.float32 if name in _WIDE else np.float16, (self._rows, *values.shape[1:]))
            for name, values in lesson.items()
        }
        self._check_room(sum(math.prod(s) * np.dtype(d).itemsize for d, s in layouts.values()))
        folder = self._known_file.parent
        folder.mkdir(parents=True, exist_ok=True)
        layouts[_KNOWN] = (np.bool_, (self._rows,))
        for name, (dtype, shape) in layouts.items():
            path = folder / f"{name}.npy"
            np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)

    def _check_room(self, needed: int) -> None:
        place = self.folder
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if needed > free:
            raise LandmintError(
                f"the teacher's lessons need {needed / 2**30:.1f} GiB in {place}",
                reason=f"{free / 2**30:.1f} GiB are free; there are {self._rows} crops",
                remedy="lower augment.views, or set it to 0 to ask the teacher at each step",
            )


def _sent(values: NDArray[Any], device: torch.device) -> Tensor:
    """Values in 32 bits on a device; a GPU copies pinned memory while the CPU goes on."""
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True).float()


def _rank() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if ready else 0
