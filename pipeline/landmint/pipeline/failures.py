"""Whatever ends a verb becomes one message and an exit code; nobody is shown a traceback.

Exit codes: 2 usage or bad input, 3 what this machine or the moment refuses. Not a logger.
"""

import errno
from collections.abc import Iterator, Sequence

from landmint.pipeline.extras import missing_library
from landmint.runtime.errors import LandmintError, NotMeasuredError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Libraries that write for us raise types of their own, and the system's words within.
_FULL_WORDS = ("No space left on device", "Disk quota exceeded", "os error 28")
_TOO_LARGE, _TOO_LARGE_WORDS = (errno.EFBIG,), ("File too large",)


def explain(error: BaseException) -> LandmintError:
    """The error as fact, reason and remedy, with its exit code.

    Args:
        error: whatever was raised. Errors of landmint stay as they are, unless a full disk stands
            behind them.
    """
    causes = tuple(_causes(error))
    if any(_is(cause, _FULL, _FULL_WORDS) for cause in causes):
        return NotMeasuredError(
            "the disk is full",
            reason=_where(causes) or "a file could not be written",
            remedy="free some space and run the same command again; what was finished is whole",
        )
    if any(_is(cause, _TOO_LARGE, _TOO_LARGE_WORDS) for cause in causes):
        return NotMeasuredError(
            "a file would be larger than this system allows",
            reason=_where(causes) or "a file could not be written",
            remedy="raise the limit (see `ulimit -f`) and run the same command again",
        )
    if isinstance(error, LandmintError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return NotMeasuredError(
            "interrupted",
            reason=str(error) or "nothing half-written was left at its place",
            remedy="run the same command again",
        )
    if isinstance(error, ModuleNotFoundError) and (missing := missing_library(error)):
        return missing
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


def _is(error: BaseException, numbers: Sequence[int], words: Sequence[str]) -> bool:
    """Whether the system said one of these, by number or within a library's own message."""
    if isinstance(error, OSError) and error.errno in numbers:
        return True
    return any(word in str(error) for word in words)


def _where(causes: tuple[BaseException, ...]) -> str:
    for error in causes:
        if isinstance(error, OSError) and error.filename:
            return f"{error.filename} could not be written"
    return ""


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")
