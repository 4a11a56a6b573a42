"""The transport "local": targets that are this machine. Each agent is a process of Python."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import landmint.runtime.agent
from landmint.runtime.errors import LandmintError
from landmint.runtime.machine import usable_cores
from landmint.targets.pipe import PipeLink
from landmint.targets.probing import engine_findings, machine_findings
from landmint.targets.profile import Profile
from landmint.targets.target import Finding, Link, agent_arguments, engine_of

# .../runtime/landmint/runtime/agent.py -> .../runtime
RUNTIME_ROOT = Path(landmint.runtime.agent.__file__).parents[2]
"""The source root of the device layer that this process runs."""


class HostTarget:
    """Runs variants here; nothing is copied."""

    name = "host"
    no_times = ""

    def __init__(
        self,
        python: str = sys.executable,
        runtime: Path = RUNTIME_ROOT,
        profile: Profile | None = None,
    ) -> None:
        """Count the cores, on which agents may run side by side while nothing is timed.

        Args:
            python: the interpreter of the agents: another environment has other engines.
            runtime: the source root of the device layer that the agents run.
            profile: what fits this machine; anything when absent.
        """
        self._python = python
        self._runtime = runtime
        self._profile = profile or Profile(self.name, "This machine", "local")
        self.name = self._profile.name
        self.parallel = len(usable_cores(self._profile.cores))

    def probe(self) -> tuple[Finding, ...]:
        """Ask the interpreter of the agents, as `Probed.probe` says."""
        command = [self._python, "-P", "-m", "landmint.runtime"]
        environment = _environment(self._runtime, 1)
        printed = [
            subprocess.run(
                [*command, verb], env=environment, capture_output=True, text=True, check=False
            ).stdout
            for verb in ("machine", "engines")
        ]
        machine, engines = printed
        return (
            *machine_findings(self._profile, machine),
            *engine_findings(self._profile, engines),
        )

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
        self._profile.check_architecture(platform.machine())
        self._profile.check_start(engine_of(Path(bundle), variant), threads)
        # -P: a file in the working directory must not stand in for a module.
        command = [self._python, "-P", "-m", "landmint.runtime"]
        command += agent_arguments(bundle, variant, threads, self._profile.cores)
        return PipeLink(command, _environment(self._runtime, threads), timeout_s)


def host_target(profile: Profile) -> HostTarget:
    """This machine, as the profile sees it."""
    return HostTarget(profile=profile)


def _environment(runtime: Path, threads: int) -> dict[str, str]:
    environment = dict(os.environ)
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([str(runtime), *([known] if known else [])])
    # numpy's own threads would add their stacks to the model's memory; an engine may use OpenMP's.
    environment["OPENBLAS_NUM_THREADS"] = "1"
    environment["OMP_NUM_THREADS"] = str(threads)
    return environment
