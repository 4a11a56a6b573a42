"""The target that runs nothing: the agent inside this process, the null engine in its hands.

It serves dry runs and tests. Its landmarks and times say nothing about any model.
"""

import shutil
from pathlib import Path

from landmint.runtime.agent import Agent, Answer, Request
from landmint.runtime.errors import LandmintError
from landmint.targets.target import Link, unwrap


class NullTarget:
    """Answers as a target does, without engines and without processes."""

    name = "null"
    parallel = 1

    def push(self, local: Path) -> str:
        """Files are already here."""
        return str(local.resolve())

    def pull(self, remote: str, local: Path) -> None:
        """Copy, as `Target.pull` says."""
        if not Path(remote).is_file():
            raise LandmintError(f"{remote} does not exist")
        if Path(remote) != local.resolve():
            shutil.copyfile(remote, local)

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        """An agent of the null engine, whatever the variant's own."""
        return _NullLink(Agent(Path(bundle), variant, threads, engine="null"))


class _NullLink:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.hello = agent.hello()

    def ask(self, request: Request, timeout_s: float) -> Answer:
        return unwrap(self._agent.handle(request))

    def close(self) -> None:
        return
