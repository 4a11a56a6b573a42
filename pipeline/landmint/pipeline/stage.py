"""What a stage of a run is: one object, made in its own file under `steps/`.

Not what runs stages, which is `driver.py`: a stage knows its run, and nothing of who drives it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmint.pipeline.run import Run
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import digest, sha256_file
from landmint.runtime.progress import Progress


def files_digest(run: Run, place: Path) -> str:
    """Digest of the names and contents of the files of a folder, or of one file.

    Raises:
        LandmintError: there is none.
    """
    if place.is_file():
        return sha256_file(place)
    files = sorted(file for file in place.rglob("*") if file.is_file())
    if not files:
        raise LandmintError(f"{place} holds no files")
    return digest({str(file.relative_to(place)): sha256_file(file) for file in files})


def tree_signature(root: Path, ignore: Collection[str] = ()) -> str:
    """Digest of the names, sizes and times of change of all files under a folder.

    Thousands of pictures are looked at, not read: whoever changes one changes its time too.

    Args:
        root: the folder.
        ignore: names of files that do not count.
    """
    files = sorted(f for f in root.rglob("*") if f.is_file() and f.name not in ignore)
    facts = [(str(f.relative_to(root)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return digest(facts)


@dataclass(frozen=True)
class Stage:
    """One stage: what decides its outcome, and what it does.

    Only `work` may import torch, engines or converters, inside the function: a run that is up to
    date asks for all the rest and does no work.
    """

    name: str
    """Its name, and that of its folder in the run's unless `place` says otherwise."""
    revision: int
    """Raised when the stage's code comes to make something else of the same inputs."""
    work: Callable[[Run, Path, Progress], None]
    """Makes the outcome at the path given. Unless the stage resumes, that path is moved to its
    place when all is done."""
    needs: Callable[[Run], tuple[str, ...]] = lambda run: ()
    """Stages whose outcome is an input. They come before this one, and the run has them."""
    settings: Callable[[Run], Mapping[str, Any]] = lambda run: {}
    """What else decides the outcome, as JSON; may raise LandmintError."""
    check: Callable[[Run], object] = lambda run: None
    """Asked before the work, while all stands that was made before; raises LandmintError where the
    work lacks a file."""
    wanted: Callable[[Run], bool] = lambda run: True
    """Whether the run's recipe asks for this stage."""
    place: Callable[[Run, str], Path] | None = None
    """From the digest of the inputs to the file or folder that the stage makes; the folder of its
    name where this is None."""
    outcome: Callable[[Run, Path], str] = files_digest
    """Digest of what was made, for the stages that need it; may raise LandmintError."""
    summary: Callable[[Path], str] = lambda place: ""
    """One line about what was made, for the screen."""
    resumes: bool = False
    """Whether `work` writes at the place itself, and goes on with what an interrupted one left."""

    def place_in(self, run: Run, key: str) -> Path:
        """The file or folder that the stage makes, by the digest of its inputs."""
        return run.place(self.name) if self.place is None else self.place(run, key)
