"""The target "host": this machine. Each agent is a process of Python."""

import os
import shutil
import sys
from pathlib import Path

import landmint.runtime.agent
from landmint.runtime.errors import LandmintError
from landmint.targets.pipe import PipeLink
from landmint.targets.target import Link

# .../runtime/landmint/runtime/agent.py -> .../runtime
RUNTIME_ROOT = Path(landmint.runtime.agent.__file__).parents[2]
"""The source root of the device layer that this process runs."""


class HostTarget:
    """Runs variants here; nothing is copied."""

    name = "host"

    def __init__(self, python: str = sys.executable, runtime: Path = RUNTIME_ROOT) -> None:
        """Count the cores, on which agents may run side by side while nothing is timed.

        Args:
            python: the interpreter of the agents: another environment has other engines.
            runtime: the source root of the device layer that the agents run.
        """
        self._python = python
        self._runtime = runtime
        self.parallel = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1

    def push(self, local: Path) -> str:
        """Copy nothing: the file is already here."""
        return str(local.resolve())

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file, as `Target.pull` says, unless it is the same one."""
        source = Path(remote)
        if not source.is_file():
            raise LandmintError(f"{source} does not exist")
        if source != local.resolve():
            shutil.copyfile(source, local)

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        """Start an agent, as `Target.start` says."""
        # -P: a file in the working directory must not stand in for a module.
        command = [self._python, "-P", "-m", "landmint.runtime", "serve"]
        command += [bundle, variant, "--threads", str(threads)]
        return PipeLink(command, _environment(self._runtime, threads), timeout_s)


def _environment(runtime: Path, threads: int) -> dict[str, str]:
    environment = dict(os.environ)
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([str(runtime), *([known] if known else [])])
    # numpy's own threads would add their stacks to the model's memory; an engine may use OpenMP's.
    environment["OPENBLAS_NUM_THREADS"] = "1"
    environment["OMP_NUM_THREADS"] = str(threads)
    return environment
