"""Whatever ends a verb is one message and an exit code."""

import errno

import pytest

from landmint.pipeline.failures import explain
from landmint.runtime.errors import LandmintError, NotMeasuredError

TOO_LARGE = "a file would be larger than this system allows"


def _raised_from(cause: BaseException) -> RuntimeError:
    try:
        raise RuntimeError("the writer failed") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "fact", "code"),
    [
        (LandmintError("no such markup"), "no such markup", 2),
        (NotMeasuredError("no GPU"), "no GPU", 3),
        (KeyboardInterrupt(), "interrupted", 3),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "the disk is full", 3),
        (_raised_from(OSError(errno.EDQUOT, "quota", "a/b")), "the disk is full", 3),
        (RuntimeError("write: No space left on device (os error 28)"), "the disk is full", 3),
        (OSError(errno.EFBIG, "File too large", "a/b"), TOO_LARGE, 3),
        (RuntimeError("I/O error: File too large (os error 27)"), TOO_LARGE, 3),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied", 2),
        (MemoryError(), "out of memory", 3),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out of memory", 3),
        (ZeroDivisionError("division by zero"), "landmint failed: ZeroDivisionError", 3),
    ],
)
def test_every_end_has_a_fact_and_a_code(error: BaseException, fact: str, code: int) -> None:
    explained = explain(error)
    assert (explained.fact, explained.exit_code) == (fact, code)


def test_errors_of_landmint_are_told_as_they_are() -> None:
    error = LandmintError("a", reason="b", remedy="c", choices=("d",))
    assert explain(error) is error


def test_a_full_disk_behind_another_error_is_named() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "runs/demo/last.pt")
    wrapped = LandmintError("the checkpoint cannot be written")
    wrapped.__cause__ = full
    explained = explain(wrapped)
    assert explained.fact == "the disk is full"
    assert "runs/demo/last.pt" in explained.reason
    assert explained.remedy


def test_only_the_first_line_of_a_long_story_is_told() -> None:
    assert explain(ValueError("first\nsecond")).reason == "first"


def test_a_training_that_was_stopped_says_where_it_goes_on() -> None:
    where = "training stopped by SIGINT after step 24 of 96; the same command goes on from there"
    assert explain(KeyboardInterrupt(where)).reason == where
    assert explain(KeyboardInterrupt()).reason == "nothing half-written was left at its place"
