"""Which machine measured: processor, its instructions for small numbers, memory, load, versions.

No host name, user or address: a report is made to be shown. Everything is read from files that
Linux keeps on servers and boards alike; what a machine does not tell stays empty.
"""

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.jetson import power_and_clocks

# What decides the speed of INT8 and half precision.
_FLAGS = (
    *("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *(
        "avx_vnni_int8",
        "amx_int8",
        "amx_bf16",
        "neon",
        "asimd",
        "asimddp",
        "asimdhp",
        "i8mm",
        "bf16",
        "sve",
    ),
)
# Arm's part numbers (implementer 0x41), from its technical reference manuals.
_ARM_PARTS: Mapping[str, str] = MappingProxyType(
    {
        "0xc07": "Cortex-A7",
        "0xd03": "Cortex-A53",
        "0xd04": "Cortex-A35",
        "0xd05": "Cortex-A55",
        "0xd07": "Cortex-A57",
        "0xd08": "Cortex-A72",
        "0xd09": "Cortex-A73",
        "0xd0a": "Cortex-A75",
        "0xd0b": "Cortex-A76",
        "0xd0c": "Neoverse-N1",
        "0xd40": "Neoverse-V1",
        "0xd41": "Cortex-A78",
        "0xd42": "Cortex-A78AE",
        "0xd46": "Cortex-A510",
        "0xd4f": "Neoverse-V2",
    }
)
_PACKAGES = (
    "numpy",
    *("onnxruntime", "openvino", "ai-edge-litert", "tflite-runtime", "tensorrt", "ncnn"),
    "coremltools",
)


@dataclass(frozen=True)
class Machine:
    """The machine as it was when it measured."""

    cpu: str
    """Model of the processor; on Arm the kinds of its cores."""
    architecture: str
    """Such as "x86_64" or "aarch64"."""
    cores: int
    """Logical cores that this process may use."""
    board: str = ""
    """The board's own name, from the device tree."""
    flags: tuple[str, ...] = ()
    """The processor's instruction sets that matter for INT8 and half precision."""
    memory_mib: int = 0
    """Memory of the machine."""
    system: str = ""
    """Operating system."""
    kernel: str = ""
    """Kernel release."""
    governor: str = ""
    """Frequency governor of the first core; empty where there is none, as in virtual machines."""
    load: float = 0.0
    """Processes that wanted to run in the last minute, before measuring began."""
    python: str = ""
    """Version of Python."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Installed engines, and numpy, with versions."""
    affinity: str = ""
    """Numbers of the cores that this process may use, such as "0-3"."""
    power: Mapping[str, str] = field(default_factory=dict)
    """Power mode and clocks of a Jetson, as its tools tell them, by the command."""

    @property
    def name(self) -> str:
        """The board's name, or the processor's where the board has none."""
        return self.board or self.cpu

    @property
    def int8_saturates(self) -> bool:
        """Whether INT8 kernels add pairs of products in 16 bits here, which may overflow.

        x86 processors without VNNI do. With weights in -64..64 (`reduce_range`) nothing overflows.
        """
        vnni = any("vnni" in flag for flag in self.flags)
        return self.architecture == "x86_64" and "avx2" in self.flags and not vnni

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Machine":
        """The machine that `to_json` wrote; raises TypeError or KeyError on anything else."""
        return Machine(**{**content, "flags": tuple(content["flags"])})


def identify(root: Path = Path("/")) -> Machine:
    """This machine, from the files under `root`."""
    cpuinfo = _text(root / "proc/cpuinfo")
    flags = _pairs(cpuinfo, ":").get("flags") or _pairs(cpuinfo, ":").get("Features") or ""
    memory = _pairs(_text(root / "proc/meminfo"), ":").get("MemTotal", "0").split()[0]
    load = _text(root / "proc/loadavg").split()
    return Machine(
        cpu=_cpu(cpuinfo),
        architecture=platform.machine(),
        cores=len(usable_cores()),
        board=_text(root / "proc/device-tree/model").strip("\0\n "),
        flags=tuple(flag for flag in _FLAGS if flag in flags.split()),
        memory_mib=int(memory) // 1024,
        system=_pairs(_text(root / "etc/os-release"), "=").get("PRETTY_NAME", "").strip('"'),
        kernel=platform.release(),
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip(),
        load=float(load[0]) if load else 0.0,
        python=platform.python_version(),
        packages=installed(_PACKAGES),
        affinity=_pairs(_text(root / "proc/self/status"), ":").get("Cpus_allowed_list", ""),
        power=power_and_clocks(),
    )


def installed(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of those distributions that are installed; none of them is imported."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def memory_mib(field_name: str, root: Path = Path("/")) -> float | None:
    """A memory field of this process in MiB: "VmRSS" now, "VmHWM" at its peak; None if untold."""
    value = _pairs(_text(root / "proc/self/status"), ":").get(field_name)
    return int(value.split()[0]) / 1024 if value else None


def reset_peak_memory() -> None:
    """Begin the peak ("VmHWM") anew, where the kernel lets a process do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def usable_cores(wanted: str = "") -> tuple[int, ...]:
    """Numbers of the cores that this process may use.

    Args:
        wanted: of these only, such as "2-3" or "0,2"; empty for all.

    Raises:
        LandmintError: it is no list of cores, or this process may use none of them.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    if not wanted:
        return tuple(allowed)
    try:
        spans = [[int(end) for end in part.split("-")] for part in wanted.split(",")]
    except ValueError:
        raise LandmintError(f"{wanted[:80]!r} names no cores", remedy='write "2-3"') from None
    cores = tuple(c for c in allowed if any(span[0] <= c <= span[-1] for span in spans))
    if not cores:
        raise NotMeasuredError(
            f"there are no cores {wanted[:80]}",
            reason=f"this process may use {', '.join(map(str, allowed))}",
        )
    return cores


def _cpu(cpuinfo: str) -> str:
    pairs = _pairs(cpuinfo, ":")
    if "model name" in pairs:
        return pairs["model name"]
    parts = [line.split(":")[1].strip() for line in cpuinfo.splitlines() if "CPU part" in line]
    kinds = [f"{parts.count(part)}x {_ARM_PARTS.get(part, part)}" for part in dict.fromkeys(parts)]
    return " + ".join(kinds) or pairs.get("Hardware") or platform.processor() or "unknown"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _pairs(text: str, separator: str) -> dict[str, str]:
    """The first value of each key."""
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        key, separated, value = line.partition(separator)
        if separated:
            pairs.setdefault(key.strip(), value.strip())
    return pairs
