"""A folder as it was in a git revision, copied to a place of its own. The work tree is untouched.

git is called with lists of arguments, never through a shell, and a revision's name cannot be taken
for an option.
"""

import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from landmint.runtime.errors import LandmintError, NotMeasuredError

_TIMEOUT_S = 300.0


def repository_of(folder: Path) -> Path | None:
    """The root of the git repository in which a folder lies, or would lie; None outside of any."""
    place = folder.resolve()
    while not place.is_dir():
        place = place.parent
    try:
        return Path(_git(place, ("rev-parse", "--show-toplevel")).decode().rstrip("\n"))
    except LandmintError:
        return None


def folder_of_revision(folder: Path, revision: str, to: Path) -> Path:
    """Copy a folder as it was in a revision.

    Args:
        folder: where it lies now, in a git repository.
        revision: a commit, branch or tag, or whatever else git takes for one.
        to: a new folder for the copy.

    Returns:
        the copied folder.

    Raises:
        LandmintError: there is no such revision.
        NotMeasuredError: the revision has no such folder, or git is not installed.
    """
    root = repository_of(folder)
    if root is None:
        raise LandmintError(f"{folder} lies in no git repository", remedy="give a bundle's folder")
    commit = _commit(root, revision)
    path = folder.resolve().relative_to(root.resolve()).as_posix()
    if not _git(root, ("ls-tree", "-d", "--full-tree", commit, "--", path)).strip():
        raise NotMeasuredError(
            f"revision {revision} ({commit[:10]}) has no folder {path}",
            reason="so there is nothing to compare the candidate with",
            remedy="name a revision that has it, or give the folder of a stored bundle",
        )
    to.mkdir(parents=True)
    packed = to / "folder.tar"
    _git(root, ("archive", "--format=tar", f"--output={packed}", commit, "--", path))
    with tarfile.open(packed) as archive:
        archive.extractall(to, filter="data")
    packed.unlink()
    return to / path


def _commit(root: Path, revision: str) -> str:
    arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    try:
        return _git(root, arguments).decode().strip()
    except LandmintError:
        raise LandmintError(
            f"the git repository {root} has no revision {revision!r}",
            remedy="name a commit, branch or tag that is here; fetch it first in a shallow clone",
        ) from None


def _git(root: Path, arguments: Sequence[str]) -> bytes:
    """What git prints.

    Raises:
        LandmintError: it failed, with its last words.
        NotMeasuredError: it is not installed.
    """
    command = ["git", "-C", str(root), "--literal-pathspecs", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError:
        raise NotMeasuredError("git is not installed", remedy="install git") from None
    except subprocess.TimeoutExpired:
        raise LandmintError(f"git {arguments[0]} took longer than {_TIMEOUT_S:g} s") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise LandmintError(f"git {arguments[0]} failed", reason=" ".join(words[-2:]))
    return done.stdout
