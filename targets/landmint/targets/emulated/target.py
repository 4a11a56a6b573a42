"""The transport "emulated": agents of this machine, in a Python of another processor."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from landmint.runtime.agent import Answer, Request
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.instructions import COUNTS_FILE
from landmint.runtime.progress import Progress
from landmint.targets.emulated.cpus import CPUS, Cpu
from landmint.targets.emulated.kit import Kit, find_qemu, kit_of, run_program, set_up
from landmint.targets.host import RUNTIME_ROOT, HostTarget
from landmint.targets.pipe import PipeLink
from landmint.targets.probing import engine_findings, machine_findings
from landmint.targets.profile import Profile
from landmint.targets.target import Finding, Link, agent_arguments, engine_of

_SLOWER = 20
"""How much longer anything may take than on the real processor."""


class EmulatedTarget(HostTarget):
    """Runs variants here as another processor would; nothing is copied."""

    no_times = "an emulator runs it: how long that takes says nothing about the board"

    def __init__(self, profile: Profile) -> None:
        """Look for nothing yet.

        Args:
            profile: whose settings name the processor: `cpu = "cortex-a76"`.

        Raises:
            LandmintError: it names none that is known.
        """
        super().__init__(profile=profile)
        self._kit = kit_of(cpu_of(profile))

    def probe(self) -> tuple[Finding, ...]:
        """Ask the emulated Python, as `Probed.probe` says."""
        try:
            find_qemu(self._kit.cpu)
            self._check_set_up()
        except NotMeasuredError as error:
            return (Finding("kit", error.fact, error.remedy, stops=True),)
        return (
            Finding("kit", str(self._kit.folder)),
            *machine_findings(self._profile, _ask(self._kit, "machine")),
            *engine_findings(self._profile, _ask(self._kit, "engines")),
        )

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        """Start an agent, as `Target.start` says."""
        self._profile.check_start(engine_of(Path(bundle), variant), threads)
        self._check_set_up()
        arguments = agent_arguments(bundle, variant, threads, self._profile.cores)
        return _start(self._kit, arguments, threads, timeout_s)

    def _check_set_up(self) -> None:
        if not self._kit.is_set_up:
            raise NotMeasuredError(
                f"{self.name} is not set up here for the engines that this Python has",
                reason=f"there is no {self._kit.folder}",
                remedy=f"landmint targets setup {self.name}",
            )


def cpu_of(profile: Profile) -> Cpu:
    """The processor that a profile asks for.

    Raises:
        LandmintError: it is not known.
    """
    name = profile.settings.get("cpu")
    if not isinstance(name, str) or name not in CPUS:
        raise LandmintError(f"{profile.name} emulates the processor {name!r}", choices=CPUS)
    return CPUS[name]


def set_up_profile(profile: Profile, progress: Progress) -> str:
    """Set up the kit of a profile's processor, and start its Python.

    Returns:
        what there is now, in a line for people.

    Raises:
        LandmintError: the profile names no processor that is known.
        NotMeasuredError: something is missing here, or an engine does not start.
    """
    kit = set_up(cpu_of(profile), progress)
    progress.step("starting its engines")
    engines = engine_findings(profile, _ask(kit, "engines"))
    broken = [f"{engine.what}: {engine.state}" for engine in engines if engine.remedy]
    if broken or not engines:
        raise NotMeasuredError(
            f"{profile.name} does not start all of its engines",
            reason="; ".join(broken) or "the emulated Python does not start",
            remedy=f"remove {kit.folder}, and set it up again",
        )
    versions = ", ".join(engine.state for engine in engines)
    return f"{profile.name} is set up: {versions}, in {kit.folder}"


def _ask(kit: Kit, verb: str) -> str:
    """What the device layer prints under emulation.

    Raises:
        NotMeasuredError: it does not start.
    """
    command = emulate(kit, ["-P", "-m", "landmint.runtime", verb])
    failure = f"the emulated {kit.cpu.model} does not start"
    return run_program(command, failure, _environment(kit, threads=1))


def _start(kit: Kit, arguments: Sequence[str], threads: int, timeout_s: float) -> Link:
    folder = Path(tempfile.mkdtemp(prefix="landmint-emulated-"))
    try:
        counts = folder / "instructions.jsonl"
        environment = _environment(kit, threads) | {COUNTS_FILE: str(counts)}
        command = emulate(kit, ["-P", "-m", "landmint.runtime", *arguments], counts)
        return _CountingLink(folder, command, environment, timeout_s)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _CountingLink(PipeLink):
    """An agent under emulation, with the folder that its instructions are counted in."""

    def __init__(
        self, folder: Path, command: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> None:
        self._folder = folder
        super().__init__(command, environment, _SLOWER * timeout_s)

    def ask(self, request: Request, timeout_s: float) -> Answer:
        return super().ask(request, _SLOWER * timeout_s)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)


def emulate(kit: Kit, arguments: Sequence[str], counts: Path | None = None) -> list[str]:
    """The command that runs the emulated Python.

    Args:
        kit: a kit that is set up.
        arguments: of Python.
        counts: the file for counted instructions; nothing is counted when absent.

    Raises:
        NotMeasuredError: QEMU is not installed.
    """
    command = [*_same_addresses(), find_qemu(kit.cpu), "-seed", "1", "-cpu", kit.cpu.model]
    if counts is not None:
        command += ["-plugin", f"{kit.plugin},out={counts}"]
    return [*command, "-L", str(kit.root), str(kit.python), *arguments]


@functools.cache
def _same_addresses() -> tuple[str, ...]:
    """What runs a program at the same addresses each time; nothing where that is forbidden.

    Counts of instructions differ by some in a million where addresses do.
    """
    command = ("setarch", "-R")
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return command


def _environment(kit: Kit, threads: int) -> dict[str, str]:
    """The same for every agent, whoever starts it: programs read it, and count by its size."""
    return {
        "PATH": os.defpath,
        "HOME": tempfile.gettempdir(),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(RUNTIME_ROOT), str(kit.site)]),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": str(threads),
    }
