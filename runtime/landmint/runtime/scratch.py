"""Folders for temporary files that go away with their process, also when that is killed.

Not for results: those are written beside their place, by `files.atomic_path`.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_NEW, _LOCKED = "landmint-", "landmint-scratch-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder among the system's temporary files; remove it afterwards.

    A process that is killed cannot remove its folder, but the lock on the folder vanishes with it.
    So folders that no process holds are removed first.
    """
    for abandoned in Path(tempfile.gettempdir()).glob(f"{_LOCKED}*"):
        with _opened(abandoned) as descriptor:
            if descriptor is not None and _lock(descriptor):
                shutil.rmtree(abandoned, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_NEW))
    try:
        with _opened(folder) as descriptor:
            # Named last, so that no other process sees the folder before it is locked.
            if descriptor is not None and _lock(descriptor):
                folder = folder.rename(folder.with_name(folder.name.replace(_NEW, _LOCKED, 1)))
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """A descriptor of a folder; None where it has just been removed or is another user's."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a folder; False where another process holds it, or its disk knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
