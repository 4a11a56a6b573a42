"""The kit of an emulated processor: Debian's libraries and Python, engines' wheels, QEMU's plugin.

It is made once, by apt and pip of this machine, in a folder of the user's cache. Nothing of the
machine itself is changed, and no right of an administrator is needed.
"""

import fcntl
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from landmint.runtime.errors import NotMeasuredError
from landmint.runtime.files import atomic_path, digest, user_cache
from landmint.runtime.progress import SILENT, Progress
from landmint.targets.emulated.cpus import CPUS, Cpu

APT_COMMAND = "apt-get install -y --no-install-recommends qemu-user gcc libc6-dev"
"""What installs all that landmint does not bring: QEMU, and a compiler for its plugin."""
_PLUGIN_SOURCE = Path(__file__).with_name("counter.c")
_ENGINES = ("ai-edge-litert", "onnxruntime", "openvino", "ncnn")
_DEBIAN = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "libgomp1", "libatomic1")
_DEBIAN_NAMES = {"aarch64": "arm64"}
_OLDEST_GLIBC_MINOR = 17  # of manylinux2014
_LAST_LINES = 3


@dataclass(frozen=True)
class Kit:
    """A kit that is set up."""

    cpu: Cpu
    """The processor."""
    folder: Path
    """Where it lies."""

    @property
    def root(self) -> Path:
        """What the program finds before the files of this machine."""
        return self.folder / self.cpu.model

    @property
    def plugin(self) -> Path:
        """QEMU's plugin."""
        return self.folder / "counter.so"

    @property
    def site(self) -> Path:
        """The packages of the emulated Python; none where it is this machine's own Python."""
        return self.folder / "site"

    @property
    def python(self) -> Path:
        """The emulated interpreter."""
        own = self.folder / "debian" / "usr" / "bin" / "python3"
        return own if self.cpu.architecture in _DEBIAN_NAMES else Path(sys.executable)

    @property
    def is_set_up(self) -> bool:
        """Whether all of it is there."""
        return self.root.is_dir()


def kit_of(cpu: Cpu) -> Kit:
    """The kit of a processor, whether it is set up or not.

    It has the versions of the engines that this Python has, so that only the processor differs
    from this machine. Other versions need another kit.
    """
    content = {
        "cpus": {name: repr(known) for name, known in CPUS.items()},
        "plugin": _PLUGIN_SOURCE.read_text(encoding="utf-8"),
        "packages": _packages() if cpu.architecture in _DEBIAN_NAMES else [],
    }
    name = f"{cpu.architecture}-{digest(content)[:12]}"
    return Kit(cpu, user_cache("emulated") / name)


def set_up(cpu: Cpu, progress: Progress = SILENT) -> Kit:
    """Make the kit of a processor, and of its kin, unless it is there.

    Args:
        cpu: the processor; kits of all processors of its architecture share their files.
        progress: told of every step.

    Returns:
        the kit. Either all of it is there afterwards, or none.

    Raises:
        NotMeasuredError: a program is missing, or apt or pip cannot get what it needs.
    """
    kit = kit_of(cpu)
    with _locked(kit.folder.with_suffix(".lock")):
        if not kit.is_set_up:
            _check_machine(cpu)
            qemu = find_qemu(cpu)
            with atomic_path(kit.folder) as fresh:
                fresh.mkdir()
                progress.step("compiling the plugin")
                compile_plugin(qemu, fresh / "counter.so")
                if cpu.architecture in _DEBIAN_NAMES:
                    _fill(cpu.architecture, fresh, progress)
                for kin in CPUS.values():
                    if kin.architecture == cpu.architecture:
                        _make_root(kin, fresh)
    return kit


def _check_machine(cpu: Cpu) -> None:
    """Refuse a processor that would need another Python than this one, where none is fetched."""
    if cpu.architecture not in _DEBIAN_NAMES and cpu.architecture != platform.machine():
        raise NotMeasuredError(
            f"{cpu.model} cannot be emulated here",
            reason=f"it runs this machine's own Python, which is for {platform.machine()}",
            remedy=f"use a machine of {cpu.architecture}",
        )


def find_qemu(cpu: Cpu) -> str:
    """QEMU's program for a processor.

    Raises:
        NotMeasuredError: it is not installed.
    """
    return _program(f"qemu-{cpu.architecture}")


def _program(name: str) -> str:
    if path := shutil.which(name):
        return path
    sudo = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
    raise NotMeasuredError(
        f"{name} is not on this machine",
        reason="an emulated board needs QEMU's user emulation, and a compiler for its plugin",
        remedy=f"{sudo}{APT_COMMAND}",
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time make a kit; the others then find it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compile_plugin(qemu: str, library: Path) -> None:
    """Compile the plugin for the interface that this QEMU has."""
    version = re.search(
        r"version (\d+)\.(\d+)", run_program([qemu, "--version"], "QEMU does not start")
    )
    if version is None:
        raise NotMeasuredError(f"{qemu} does not tell its version")
    interface = 1 if int(version[1]) < 9 else 4 if int(version[1]) >= 10 else 2
    flags = ["-O2", "-shared", "-fPIC", f"-DINTERFACE={interface}"]
    command = [_program("gcc"), *flags, "-o", str(library), str(_PLUGIN_SOURCE)]
    run_program(command, "the plugin cannot be compiled", remedy=APT_COMMAND)


def _fill(architecture: str, folder: Path, progress: Progress) -> None:
    """Get Debian's libraries with Python, and the wheels."""
    progress.step("fetching Python and libraries by apt")
    _unpack_debian(_DEBIAN_NAMES[architecture], folder / "debian")
    (python,) = (folder / "debian/usr/bin").glob("python3.*[0-9]")
    progress.step("fetching engines by pip")
    _install_wheels(architecture, python.name.removeprefix("python"), folder / "site")


def _unpack_debian(architecture: str, root: Path) -> None:
    """Unpack packages of another architecture, from the sources that this machine's apt has.

    No package is installed, neither here nor there: apt is given lists and folders of its own.
    """
    with tempfile.TemporaryDirectory(prefix="landmint-apt-") as name:
        work = Path(name)
        for part in ("lists/partial", "archives/partial"):
            (work / part).mkdir(parents=True)
        (work / "status").touch()
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "1",
            "Dir::State": str(work),
            "Dir::State::lists": str(work / "lists"),
            "Dir::State::status": str(work / "status"),
            "Dir::Cache": str(work),
            "Dir::Cache::archives": str(work / "archives"),
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
        }
        options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        apt = [_program("apt-get"), "-q", *options]
        what = f"apt cannot get packages for {architecture}"
        run_program([*apt, "update"], what)
        run_program(
            [*apt, "install", "-y", "--no-install-recommends", "--download-only", *_DEBIAN], what
        )
        for package in sorted((work / "archives").glob("*.deb")):
            run_program([_program("dpkg-deb"), "-x", str(package), str(root)], "dpkg-deb failed")


def _packages() -> list[str]:
    """The engines as pip's requirements, in the versions that this Python has."""
    return ["numpy", *(_pinned(engine) for engine in _ENGINES)]


def _pinned(distribution: str) -> str:
    try:
        return f"{distribution}=={importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        return distribution


def _install_wheels(architecture: str, python_version: str, site: Path) -> None:
    """Unpack the wheels that pip would install on such a machine with this Debian's glibc."""
    newest = int(platform.libc_ver()[1].split(".")[1])
    minors = range(_OLDEST_GLIBC_MINOR, newest + 1)
    tags = [f"manylinux_2_{minor}_{architecture}" for minor in minors]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site)]
    command += ["--only-binary", ":all:", "--no-compile", "--disable-pip-version-check"]
    command += ["--implementation", "cp", "--python-version", python_version]
    for tag in (f"manylinux2014_{architecture}", *tags):
        command += ["--platform", tag]
    run_program([*command, *_packages()], f"pip cannot get the engines for {architecture}")


def _make_root(cpu: Cpu, folder: Path) -> None:
    """What the programs of one processor find: hard links to Debian's files, and the chip's own."""
    debian, root = folder / "debian", folder / cpu.model
    if debian.is_dir():
        shutil.copytree(debian, root, symlinks=True, copy_function=os.link)
    cpu.write_files(root)


def run_program(
    command: Sequence[str],
    failure: str,
    environment: Mapping[str, str] | None = None,
    remedy: str = "",
) -> str:
    """What a program prints.

    Args:
        command: program and arguments.
        failure: what to say where it cannot do its work.
        environment: of the program; this process's when absent.
        remedy: what to do then.

    Raises:
        NotMeasuredError: it cannot be started, or ends with an error.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment
        )
    except OSError as error:
        raise NotMeasuredError(failure, reason=str(error), remedy=remedy) from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:]
        raise NotMeasuredError(failure, reason="; ".join(lines), remedy=remedy)
    return done.stdout
