"""Folders of measurements into a history file, with the revision of the source they come from."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from landmint.pipeline.history.store import open_history
from landmint.pipeline.judge.truth import TRUTH_FILE
from landmint.runtime.measurement import read_measurements

_GIT_S = 20.0


def add_folders(file: Path, folders: Sequence[Path], revision: str = "") -> int:
    """Store the measurements of folders, with the labels that lie beside them.

    All folders are read before anything is written.

    Args:
        file: the history; made if it is not there.
        folders: that `landmint measure` wrote.
        revision: of the source that the models were built with; empty where unknown.

    Returns:
        how many measurements are new.

    Raises:
        LandmintError: a folder cannot be read, or the history cannot be written.
    """
    contents = [(read_measurements(folder), _truth(folder)) for folder in folders]
    with open_history(file, write=True) as history:
        return sum(history.add(each, truth, revision) for each, truth in contents)


def check_writable(file: Path) -> None:
    """Find out before long work whether its result can be stored; a new file is made.

    Raises:
        LandmintError: the history cannot be written.
    """
    with open_history(file, write=True) as history:
        history.add(())


def revision_here() -> str:
    """What git calls the state of the working directory, "-dirty" where files were changed.

    Empty where git is not installed or there is no repository.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _truth(folder: Path) -> bytes | None:
    path = folder / TRUTH_FILE
    return path.read_bytes() if path.is_file() else None
