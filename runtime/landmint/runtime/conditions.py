"""The state of the machine while it measures: frequency, heat, throttling, other work.

Everything is read from files that Linux keeps under `root`, and from a Raspberry Pi's firmware.
What a machine does not tell is None or empty. Which state spoils a measurement is decided in
`landmint.runtime.hygiene`.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from landmint.runtime.jetson import tegrastats

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
# Bits of `vcgencmd get_throttled`; the same bits shifted by 16 hold since boot.
_THROTTLE_BITS: Mapping[int, str] = MappingProxyType(
    {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
)
_SINCE_BOOT = 16
# Columns of /proc/stat in which a processor works or is taken away by a hypervisor: user, nice,
# system, irq, softirq, steal. Idle and iowait are none; guests are counted in user and nice.
_BUSY_COLUMNS = (0, 1, 2, 5, 6, 7)


@dataclass(frozen=True)
class Conditions:
    """The machine at one moment."""

    governor: str = ""
    """Frequency governor of the core that this process ran on last."""
    temperature_c: float | None = None
    """The hottest of the kernel's thermal zones; on a phone, its skin."""
    throttled: tuple[str, ...] = ()
    """What the firmware of a Raspberry Pi holds the processor back for at this moment; on a phone,
    a thermal status above 0."""
    throttled_since_boot: tuple[str, ...] = ()
    """The same, at any moment since the machine started."""
    pressure_percent: float | None = None
    """Share of the last ten seconds in which a process waited for a processor."""
    tegrastats: str = ""
    """A line of a Jetson's tegrastats: load, clocks, temperatures and watts."""


def read_conditions(root: Path = _ROOT) -> Conditions:
    """The state of this machine now, from the files under `root` and from `vcgencmd`."""
    bits = _throttle_bits()
    return Conditions(
        governor=_text(_cpufreq(root) / "scaling_governor"),
        temperature_c=_temperature(root),
        throttled=tuple(name for bit, name in _THROTTLE_BITS.items() if bits >> bit & 1),
        throttled_since_boot=tuple(
            name for bit, name in _THROTTLE_BITS.items() if bits >> (bit + _SINCE_BOOT) & 1
        ),
        pressure_percent=_pressure(root),
        tegrastats=tegrastats(),
    )


def frequency_mhz(root: Path = _ROOT) -> float | None:
    """Clock of the core that this process ran on last; None in most virtual machines."""
    khz = _text(_cpufreq(root) / "scaling_cur_freq")
    return int(khz) / 1000 if khz.isdigit() else None


def others_ms(root: Path = _ROOT) -> float | None:
    """Processor time since boot, on all cores, of everything but this process.

    Take the difference of two moments. The kernel counts in steps of 10 ms, so that a short span
    tells little, and the sum over many much. What a hypervisor took away is counted with it.
    """
    columns = _text(root / "proc/stat").partition("\n")[0].split()[1:]
    if len(columns) <= max(_BUSY_COLUMNS):
        return None
    ticks = sum(int(columns[place]) for place in _BUSY_COLUMNS)
    return ticks * 1000 / os.sysconf("SC_CLK_TCK") - time.process_time_ns() / 1e6


def preemptions() -> int | None:
    """How often the kernel took a core away from this process since it started; None if untold."""
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _cpufreq(root: Path) -> Path:
    """The folder of the core that this process ran on last, field 39 of its `stat`."""
    fields = _text(root / "proc/self/stat").rpartition(")")[2].split()
    core = fields[36] if len(fields) > 36 else "0"
    return root / _CPUS / f"cpu{core}/cpufreq"


def _temperature(root: Path) -> float | None:
    texts = [_text(path) for path in root.glob("sys/class/thermal/thermal_zone*/temp")]
    return max((int(text) / 1000 for text in texts if text.lstrip("-").isdigit()), default=None)


def _pressure(root: Path) -> float | None:
    """From `some avg10=1.53 avg60=...`."""
    for word in _text(root / "proc/pressure/cpu").partition("\n")[0].split():
        if word.startswith("avg10="):
            return float(word.removeprefix("avg10="))
    return None


def _throttle_bits() -> int:
    """From `throttled=0x50005`; 0 where there is no `vcgencmd`, or it does not answer."""
    program = shutil.which("vcgencmd")
    if program is None:
        return 0
    try:
        answer = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=5, check=True
        )
        return int(answer.stdout.partition("=")[2], 16)
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
