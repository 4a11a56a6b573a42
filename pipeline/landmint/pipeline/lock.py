"""Places on disk that a stage or a verb writes: by one process at a time, without leftovers.

Not the writing itself: that is whole or not at all, by `landmint.runtime.files.atomic_path`.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from landmint.runtime.files import remove_unfinished
from landmint.train.processes import launcher_rank


@contextlib.contextmanager
def hold(place: Path, say: Callable[[str], None], title: str = "") -> Iterator[None]:
    """Keep a place from other processes during the body; remove what a killed one left unfinished.

    Where another process holds the place, this one says so and waits. The lock vanishes with its
    process. It stands beside the place, as `.NAME.lock`, and is removed afterwards. Of the
    processes that torchrun or Slurm started for one training, the first holds the place for all.

    Args:
        place: the file or folder that is written; the folder around it is made.
        say: called with a line where this process waits.
        title: what waits, for that line.
    """
    if launcher_rank() != 0:
        yield
        return
    place = place.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.with_name(f".{place.name}.lock")
    while True:
        with path.open("w") as file:
            if not _free(file):
                waits = f"{title} waits for another process that works on {place}"
                say(waits.lstrip())
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _stands_at(path, file):
                continue  # who held it before has removed it
            try:
                remove_unfinished(place)
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _free(file: TextIO) -> bool:
    """Lock a file if no other process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stands_at(path: Path, file: TextIO) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
