"""Whatever ends a verb becomes one message and an exit code; nobody is shown a traceback.

Exit codes: 2 usage or bad input, 3 what this machine or the moment refuses. Not a logger.
"""

import errno
from collections.abc import Iterator

from landmint.runtime.errors import LandmintError, NotMeasuredError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Libraries that write for us raise types of their own, and the system's words within.
_FULL_WORDS = ("No space left on device", "Disk quota exceeded", "os error 28")


def explain(error: BaseException) -> LandmintError:
    """The error as fact, reason and remedy, with its exit code.

    Args:
        error: whatever was raised. Errors of landmint stay as they are, unless a full disk stands
            behind them.
    """
    causes = tuple(_causes(error))
    if any(map(_is_full, causes)):
        return NotMeasuredError(
            "the disk is full",
            reason=_where(causes) or "a file could not be written",
            remedy="free some space and run the same command again; what was finished is whole",
        )
    if isinstance(error, LandmintError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return NotMeasuredError(
            "interrupted",
            reason="nothing half-written was left at its place",
            remedy="run the same command again",
        )
    if isinstance(error, OSError) and error.filename:
        return LandmintError(
            f"{error.filename}: {error.strerror}",
            remedy="check the path and its permissions",
        )
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return NotMeasuredError(
            "out of memory",
            reason=_first_line(error),
            remedy="lower batch_size or workers in the recipe, or use a larger machine",
        )
    return NotMeasuredError(
        f"landmint failed: {type(error).__name__}",
        reason=_first_line(error),
        remedy="run it again with `landmint --debug ...` and report what it shows",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what stands behind it."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(words in str(error) for words in _FULL_WORDS)


def _where(causes: tuple[BaseException, ...]) -> str:
    for error in causes:
        if isinstance(error, OSError) and error.filename:
            return f"{error.filename} could not be written"
    return ""


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")
