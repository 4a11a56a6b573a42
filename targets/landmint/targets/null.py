"""The transport "null", for dry runs and tests: an agent in this process, with the null engine.

Its landmarks and times say nothing about any model.
"""

import shutil
from pathlib import Path

from landmint.runtime.agent import Agent, Answer, Request
from landmint.runtime.errors import LandmintError
from landmint.targets.profile import Profile
from landmint.targets.target import Finding, Link, unwrap


class NullTarget:
    """Answers as a target does, without engines and without processes."""

    parallel = 1
    no_times = ""

    def __init__(self, profile: Profile) -> None:
        """Take the profile's name; nothing else of it matters."""
        self.name = profile.name

    def probe(self) -> tuple[Finding, ...]:
        """Say that there is nothing to look at."""
        return (Finding("engines", "none: a rehearsal"),)

    def push(self, local: Path) -> str:
        """Copy nothing: the file is already here."""
        return str(local.resolve())

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file, as `Target.pull` says."""
        if not Path(remote).is_file():
            raise LandmintError(f"{remote} does not exist")
        if Path(remote) != local.resolve():
            shutil.copyfile(remote, local)

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        """Start an agent with the null engine, whatever engine the variant names."""
        return _NullLink(Agent(Path(bundle), variant, threads, engine="null"))


class _NullLink:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.hello = agent.hello()

    def ask(self, request: Request, timeout_s: float) -> Answer:
        return unwrap(self._agent.handle(request))

    def close(self) -> None:
        return
