"""What SQLite refuses, as one message with its exit code: 2 for a wrong file, 3 for the moment."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landmint.runtime.errors import LandmintError, NotMeasuredError


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process holds the file."""
    return _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of damaged rows in the body into messages about `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(path, error) from error
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def damaged(path: Path, reason: str) -> LandmintError:
    """The message about a file whose content is not what was written."""
    return LandmintError(
        f"{path} is damaged",
        reason=reason,
        remedy="restore a copy of it, or move it away and import the folders of measurements again",
    )


def _explain(path: Path, error: sqlite3.Error) -> LandmintError:
    name = _name(error)
    if is_busy(error):
        return NotMeasuredError(
            f"{path} is in use",
            reason="another process has been writing to it for longer than this one waits",
            remedy="run the same command again; if nothing else works on it, look for a process "
            "that was stopped in its midst",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return LandmintError(
            f"{path} cannot be opened or written",
            reason=f"it, or the folder that it lies in, is read-only or missing: {error}",
            remedy="check the path and its permissions; the folder must be writable too, for the "
            "files that SQLite keeps beside it",
        )
    if name == "SQLITE_NOTADB":
        return LandmintError(
            f"{path} is no history",
            reason="it is not an SQLite database, or its head is damaged",
            remedy="give the file that `landmint history add` wrote, or a new name",
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM")):
        return NotMeasuredError(
            f"{path} could not be written or read",
            reason=f"the disk or the system refused: {error}",
            remedy="free some space, and run the same command again; what it held before is whole",
        )
    return damaged(path, str(error))


def _name(error: sqlite3.Error) -> str:
    """Such as "SQLITE_BUSY"; empty for errors of the module itself."""
    return getattr(error, "sqlite_errorname", "")
