"""What a target is: it takes files, starts an agent to talk to, and gives files back.

The agent (`landmint.runtime.agent`) is the only program that a target starts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from landmint.runtime.agent import Answer, Request
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError, NotMeasuredError


class Link(Protocol):
    """A running agent (`landmint.runtime.agent`) and the way to talk to it."""

    hello: Answer
    """Its first answer: engine, engine_version, builds, machine."""

    def ask(self, request: Request, timeout_s: float) -> Answer:
        """Send one request and wait for its answer.

        Raises:
            LandmintError: the agent refused; it is ready for the next request.
            NotMeasuredError: the agent died, or did not answer in time and was ended.
        """
        ...

    def close(self) -> None:
        """End the agent; never raises."""
        ...


@dataclass(frozen=True)
class Finding:
    """One thing about a target."""

    what: str
    """What was looked at, such as "Python"."""
    state: str
    """What it is like."""
    remedy: str = ""
    """What mends it, a command where there is one; empty where nothing has to be mended."""
    stops: bool = False
    """Whether nothing can be measured before that."""


@runtime_checkable
class Probed(Protocol):
    """A target that tells what it has and lacks."""

    def probe(self) -> tuple[Finding, ...]:
        """What is there, and what is missing; nothing is copied or changed.

        Raises:
            NotMeasuredError: the place is not reached.
        """
        ...


class Target(Protocol):
    """A place where engines run."""

    @property
    def name(self) -> str:
        """What it is called, in measurements too."""
        ...

    @property
    def parallel(self) -> int:
        """How many agents may work at once while nothing is timed."""
        ...

    @property
    def no_times(self) -> str:
        """Why times there say nothing of any device; empty where they count."""
        ...

    def push(self, local: Path) -> str:
        """Copy a file or folder to the target; returns its path there."""
        ...

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the target to `local`.

        Raises:
            LandmintError: there is no such file.
        """
        ...

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        """Start an agent for one variant of a bundle that was pushed.

        Raises:
            LandmintError: the bundle is broken or has no such variant.
            NotMeasuredError: the variant cannot run there, or the agent did not come up.
        """
        ...


def agent_arguments(bundle: str, variant: str, threads: int, cores: str) -> list[str]:
    """What follows `python -m landmint.runtime` to start an agent.

    Args:
        bundle: the bundle's folder on the target.
        variant: its name.
        threads: of one inference.
        cores: that the agent may use, such as "2-3"; empty for all.
    """
    arguments = ["serve", bundle, variant, "--threads", str(threads)]
    return [*arguments, "--cores", cores] if cores else arguments


def engine_of(bundle: Path, variant: str) -> str:
    """Registry name of the engine that runs a variant of a bundle.

    Raises:
        LandmintError: it is no bundle, or has no such variant.
    """
    return Bundle.open(bundle, verify=False).variant(variant).engine


def unwrap(answer: Answer) -> Answer:
    """The answer itself, or the error that it carries.

    Raises:
        LandmintError: the agent refused, with the agent's own words.
        NotMeasuredError: the agent refused, because the target lacks something.
    """
    if answer.get("ok"):
        return answer
    error = answer.get("error", {})
    kind = LandmintError
    if answer.get("exit_code") == NotMeasuredError.exit_code:
        kind = NotMeasuredError
    raise kind(
        error.get("fact", f"an answer that says nothing: {answer}"),
        reason=error.get("reason", ""),
        remedy=error.get("remedy", ""),
        choices=error.get("choices", ()),
    )
