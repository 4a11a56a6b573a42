"""The processors that are emulated: what QEMU calls them, and the files that tell a program so.

Engines choose their kernels from /proc/cpuinfo and /sys. QEMU emulates a processor and leaves these
files as they are on this machine: an engine would choose kernels for another processor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

_CORES = 4
_V8_0 = "fp asimd evtstrm crc32 cpuid"
_V8_2 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)
_HASWELL = (
    "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
    "syscall nx rdtscp lm constant_tsc rep_good nopl pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 "
    "movbe popcnt aes xsave avx f16c rdrand lahf_lm abm fsgsbase bmi1 avx2 smep bmi2 erms"
)


@dataclass(frozen=True)
class Cpu:
    """One processor."""

    architecture: str
    """As `uname -m` says it, and as QEMU's command ends."""
    model: str
    """What QEMU calls it."""
    features: str
    """Its instruction sets, as the kernel writes them."""
    caches: tuple[str, ...]
    """Sizes of the data, instruction and unified caches, as the kernel writes them."""
    clock_khz: int
    """Highest clock; programs compare cores by it."""
    identity: str
    """The lines of /proc/cpuinfo that identify it."""
    midr: int = 0
    """Main ID register of an Arm core."""

    def write_files(self, root: Path) -> None:
        """Write what programs read of a processor below `root`, for a chip of four such cores."""
        cpuinfo = "\n".join(self._section(core) for core in range(_CORES))
        files = {"proc/cpuinfo": cpuinfo, "proc/meminfo": ""}  # the memory is not the board's
        everything = f"0-{_CORES - 1}\n"
        system = {name: everything for name in ("possible", "present", "online")}
        for core in range(_CORES):
            system |= {f"cpu{core}/{name}": text for name, text in self._core(core).items()}
        files |= {f"sys/devices/system/cpu/{name}": text for name, text in system.items()}
        files["sys/devices/system/cpu/kernel_max"] = f"{_CORES - 1}\n"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _section(self, core: int) -> str:
        """A core's part of /proc/cpuinfo."""
        features = "Features" if self.architecture == "aarch64" else "flags"
        return f"processor\t: {core}\n{self.identity}{features}\t: {self.features}\n"

    def _core(self, core: int) -> dict[str, str]:
        """A core's files in /sys."""
        own, everything = f"{core}\n", f"0-{_CORES - 1}\n"
        files = {
            "topology/physical_package_id": "0\n",
            "topology/core_id": own,
            **{f"topology/{name}": own for name in ("thread_siblings_list", "core_cpus_list")},
            **{
                f"topology/{name}": everything
                for name in ("core_siblings_list", "package_cpus_list", "cluster_cpus_list")
            },
            "cpufreq/cpuinfo_max_freq": f"{self.clock_khz}\n",
            "cpufreq/cpuinfo_min_freq": "600000\n",
            "cpufreq/scaling_governor": "",  # nobody sets the clock of an emulator
        }
        if self.midr:
            files["regs/identification/midr_el1"] = f"{self.midr:#018x}\n"
        for index, size in enumerate(self.caches):
            kind = ("Data", "Instruction")[index] if index < 2 else "Unified"
            facts = {
                "level": f"{max(1, index)}\n",
                "type": f"{kind}\n",
                "size": f"{size}\n",
                "coherency_line_size": "64\n",
                "shared_cpu_list": own if index < 2 else everything,
            }
            files |= {f"cache/index{index}/{name}": text for name, text in facts.items()}
        return files


def _arm(midr: int, model: str, features: str, caches: str, clock_khz: int) -> Cpu:
    """An Arm core, whose main ID register holds what /proc/cpuinfo says of it."""
    identity = (
        f"BogoMIPS\t: 108.00\nCPU implementer\t: {midr >> 24 & 0xFF:#x}\nCPU architecture: 8\n"
        f"CPU variant\t: {midr >> 20 & 0xF:#x}\nCPU part\t: {midr >> 4 & 0xFFF:#x}\n"
        f"CPU revision\t: {midr & 0xF}\n"
    )
    return Cpu("aarch64", model, features, tuple(caches.split()), clock_khz, identity, midr)


CPUS: Mapping[str, Cpu] = MappingProxyType(
    {
        "cortex-a53": _arm(0x410FD034, "cortex-a53", _V8_0, "32K 32K 512K", 1_200_000),
        "cortex-a72": _arm(0x410FD083, "cortex-a72", _V8_0, "32K 48K 1024K", 1_500_000),
        "cortex-a76": _arm(0x414FD0B1, "cortex-a76", _V8_2, "64K 64K 512K 2048K", 2_400_000),
        "haswell": Cpu(
            *("x86_64", "Haswell", _HASWELL, ("32K", "32K", "256K", "8192K"), 3_400_000),
            "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 60\n"
            "model name\t: Intel Core Processor (Haswell), emulated\nstepping\t: 4\n",
        ),
    }
)
"""Every processor by its name: of Raspberry Pi 3, 4 and 5, and of a PC without VNNI."""
