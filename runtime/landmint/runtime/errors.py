"""The errors that a user can cause or mend, each with its exit code.

Exit codes of every verb: 0 pass, 1 latency or size regression, 2 usage or bad input,
3 not measured (the environment lacks something), 4 inconclusive, 5 accuracy drift.

    LandmintError              2  the input, the call or a file is wrong
    ├── MissingLibraryError    2  an extra of landmint is not installed
    ├── NotMeasuredError       3  this machine lacks what the work needs
    └── Interrupted            3  the user stopped a run; what was finished stays
"""

from collections.abc import Iterable


class LandmintError(Exception):
    """One clear message: the fact, the reason, the remedy, the valid choices."""

    exit_code = 2

    def __init__(
        self, fact: str, *, reason: str = "", remedy: str = "", choices: Iterable[str] = ()
    ) -> None:
        """Compose the message.

        Args:
            fact: what is wrong, with the file and line where there is one.
            reason: why that cannot be worked with.
            remedy: what the user can do.
            choices: the valid values, in the order in which they should be read.
        """
        self.fact = fact
        self.reason = reason
        self.remedy = remedy
        self.choices = tuple(choices)
        lines = [fact]
        lines += [f"  reason: {reason}"] if reason else []
        lines += [f"  remedy: {remedy}"] if remedy else []
        lines += [f"  choices: {', '.join(self.choices)}"] if self.choices else []
        super().__init__("\n".join(lines))


class NotMeasuredError(LandmintError):
    """The environment lacks something; what was asked for is not measured, and nothing is wrong."""

    exit_code = 3


class MissingLibraryError(LandmintError):
    """A library that the call needs is not installed; the message says which extra brings it."""


class Interrupted(LandmintError):
    """The user stopped a run; what was finished stays, and the same call goes on from there."""

    exit_code = 3
