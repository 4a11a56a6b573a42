"""What a board says of itself to a plain shell, before anything of landmint is on it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from landmint.runtime.engines.trtexec import JETPACK_TRTEXEC
from landmint.runtime.errors import LandmintError
from landmint.targets.probing import disk_finding
from landmint.targets.profile import Profile
from landmint.targets.target import Finding
from landmint.targets.wheels import Platform

_MARK = "landmint."
_LONGEST = 200
_OLDEST_PYTHON = (3, 11)
_PYTHONS = ("python3", "python3.13", "python3.12", "python3.11")
_TENSORRT = "import tensorrt; print(tensorrt.__version__)"
_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


@dataclass(frozen=True)
class Board:
    """A board, as its shell tells it; what it does not tell is empty."""

    architecture: str
    """Of the kernel: `uname -m`."""
    bits: str
    """Of its programs: a kernel of 64 bits may have programs of 32."""
    model: str
    """The board's own name, from the device tree."""
    glibc: tuple[int, ...]
    """Version of the C library; empty for another one, such as musl."""
    python: str
    """The first interpreter that is new enough, or else the first that is there."""
    python_version: tuple[int, ...]
    """Its version; empty where there is none."""
    cores: int
    """Logical cores."""
    free_mib: int | None
    """Free space where landmint keeps its files."""
    governor: str
    """Of the first core; empty where there is none."""
    sudo: bool
    """Whether sudo works without a password."""
    firmware: str
    """What `vcgencmd get_throttled` says, on a Raspberry Pi."""
    temperature_c: float | None
    """Of the first thermal zone."""
    tensorrt: str
    """Version of TensorRT's Python of that interpreter; empty where it is not installed."""
    trtexec: str
    """Where TensorRT's trtexec is; empty where it is not."""
    power_mode: str
    """What `nvpmodel -q` says, on a Jetson."""

    @property
    def platform(self) -> Platform:
        """What decides which wheels fit; only of a board without a finding that stops."""
        return Platform(
            self.architecture,
            (self.glibc[0], self.glibc[1]),
            (self.python_version[0], self.python_version[1]),
        )


def question(python: str) -> str:
    """The script of the POSIX shell that asks a board about itself.

    Args:
        python: the interpreter to use; empty for the first that is new enough.
    """
    names = shlex.join([python] if python else _PYTHONS)
    asked = {
        "architecture": "uname -m",
        "bits": "getconf LONG_BIT",
        "model": r"tr -d '\000\n' < /proc/device-tree/model",
        "libc": "getconf GNU_LIBC_VERSION",
        "cores": "getconf _NPROCESSORS_ONLN",
        "free": "df -Pk . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4",
        "governor": "cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "sudo": "sudo -n true && echo yes",
        "firmware": "vcgencmd get_throttled",
        "temperature": "cat /sys/class/thermal/thermal_zone0/temp",
        "trtexec": f"command -v trtexec || ls {JETPACK_TRTEXEC}",
        "power": "nvpmodel -q | head -n 1",
    }
    lines = [f'echo "{_MARK}{name}=$({command} 2>/dev/null)"' for name, command in asked.items()]
    version = f'"$p" -I -c {shlex.quote(_VERSION)} 2>/dev/null'
    tensorrt = f'"$p" -I -c {shlex.quote(_TENSORRT)} 2>/dev/null'
    asking = [f'echo "{_MARK}python=$p $({version})"', f'echo "{_MARK}tensorrt=$p $({tensorrt})"']
    lines.append(f"for p in {names}; do {'; '.join(asking)}; done")
    return "\n".join(lines)


def read_board(printed: str) -> Board:
    """A board, from what it printed."""
    lines_by_name: dict[str, list[str]] = {}
    for line in printed.splitlines():
        name, _, value = line.partition("=")
        if name.startswith(_MARK):
            value = "".join(c for c in value if c.isprintable()).strip()[:_LONGEST]
            lines_by_name.setdefault(name.removeprefix(_MARK), []).append(value)

    def first(name: str) -> str:
        return lines_by_name.get(name, [""])[0]

    python, version = _best_python(lines_by_name.get("python", []))
    tensorrt = dict(line.rpartition(" ")[::2] for line in lines_by_name.get("tensorrt", []))
    free, heat = first("free"), first("temperature")
    return Board(
        architecture=first("architecture"),
        bits=first("bits"),
        model=first("model"),
        glibc=_version(first("libc").removeprefix("glibc ")),
        python=python,
        python_version=version,
        cores=int(first("cores")) if first("cores").isdecimal() else 1,
        free_mib=int(free) // 1024 if free.isdecimal() else None,
        governor=first("governor"),
        sudo=first("sudo") == "yes",
        firmware=first("firmware"),
        temperature_c=int(heat) / 1000 if heat.isdecimal() else None,
        tensorrt=tensorrt.get(python, ""),
        trtexec=first("trtexec"),
        power_mode=first("power").rpartition(": ")[2],
    )


def _best_python(interpreters: list[str]) -> tuple[str, tuple[int, ...]]:
    """Name and version of the interpreter to use; ("", ()) where there is none."""
    pairs = [
        (name, _version(version)) for name, _, version in (t.rpartition(" ") for t in interpreters)
    ]
    usable = [(name, version) for name, version in pairs if version]
    return next((p for p in usable if p[1] >= _OLDEST_PYTHON), usable[0] if usable else ("", ()))


def _version(text: str) -> tuple[int, ...]:
    parts = re.fullmatch(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text)
    return tuple(int(part) for part in parts.groups() if part) if parts else ()


def findings(board: Board, profile: Profile, install: bool) -> Iterator[Finding]:
    """What is there, and what is missing.

    Args:
        board: as it told of itself.
        profile: what it is meant to be.
        install: whether wheels will be installed there.
    """
    yield _machine(board, profile)
    if install:
        yield from _wheels(board)
    yield _python(board)
    yield disk_finding(board.free_mib, profile)
    yield _governor(board, profile)
    if board.temperature_c is not None:
        yield Finding("temperature", f"{board.temperature_c:.0f} C")
    if board.firmware:
        held = board.firmware.partition("=")[2] not in ("0x0", "")
        yield Finding(
            "throttling",
            f"vcgencmd: {board.firmware}",
            "use the power supply and the cooler that the board is meant for" if held else "",
        )
    if board.power_mode:
        yield Finding("power mode", f"{board.power_mode}; others: sudo nvpmodel -m NUMBER")
    if "tensorrt" in profile.engines:
        yield _tensorrt(board)


def _machine(board: Board, profile: Profile) -> Finding:
    summary = f"{board.model or 'a machine'}, {board.architecture}, {board.cores} cores"
    try:
        profile.check_architecture(board.architecture)
    except LandmintError as error:
        return Finding("processor", f"{error.fact}, {error.reason}", error.remedy, stops=True)
    return Finding("processor", summary)


def _wheels(board: Board) -> Iterator[Finding]:
    """Whether wheels of numpy and engines can fit at all."""
    own = "or name an interpreter that has numpy and an engine as `settings.python` of a profile "
    own += "with `install = false`"
    if board.bits == "32":
        yield Finding(
            "system",
            "its programs are of 32 bits, for which no engine but tflite-runtime 2.14 has wheels, "
            "and numpy none",
            f"install the system of 64 bits, {own}",
            stops=True,
        )
    elif not board.glibc:
        yield Finding(
            "system", "its C library is not glibc; no engine has wheels for it", own[3:], stops=True
        )
    else:
        yield Finding("system", f"{board.bits} bits, glibc {'.'.join(map(str, board.glibc))}")


def _python(board: Board) -> Finding:
    version = ".".join(map(str, board.python_version))
    if not version:
        return Finding("Python", "there is none", "sudo apt install python3", stops=True)
    if board.python_version < _OLDEST_PYTHON:
        needed = ".".join(map(str, _OLDEST_PYTHON))
        remedy = f"sudo apt install python{needed}"
        return Finding("Python", f"{version}; landmint needs {needed}", remedy, stops=True)
    return Finding("Python", f"{version} ({board.python})")


def _tensorrt(board: Board) -> Finding:
    if board.tensorrt:
        return Finding("TensorRT", f"{board.tensorrt}, by Python")
    if board.trtexec:
        return Finding("TensorRT", f"by {board.trtexec}, since {board.python} has none")
    remedy = "sudo apt install nvidia-jetpack"
    return Finding("TensorRT", "neither its Python nor trtexec is there", remedy)


def _governor(board: Board, profile: Profile) -> Finding:
    wanted = profile.hygiene.governor
    if not board.governor:
        return Finding("governor", "there is none")
    if not wanted or board.governor == wanted:
        return Finding("governor", board.governor)
    if board.sudo:
        return Finding("governor", f"{board.governor}; a visit sets {wanted}, and then this again")
    command = f"echo {shlex.quote(wanted)} | sudo tee "
    command += "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return Finding("governor", f"{board.governor}; sudo asks for a password", command)
