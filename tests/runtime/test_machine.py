"""The machine is told from the files that Linux keeps, on servers and on boards."""

import os
import platform
import socket
from pathlib import Path

import pytest

from landmint.runtime.machine import Machine, identify, installed, memory_mib

RASPBERRY = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""
PHONE = """processor\t: 0
CPU part\t: 0xd05
processor\t: 1
CPU part\t: 0xd41
processor\t: 2
CPU part\t: 0xfff
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_board(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": RASPBERRY,
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/meminfo": "MemTotal:        8245388 kB\nMemFree: 1 kB\n",
        "proc/loadavg": "0.42 0.30 0.10 1/200 999\n",
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    }
    machine = identify(write(tmp_path, files))
    assert machine.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.cpu == "2x Cortex-A76"
    assert machine.flags == ("asimd", "asimddp", "asimdhp")
    assert (machine.memory_mib, machine.governor) == (8052, "ondemand")
    assert machine.load == pytest.approx(0.42)
    assert machine.system == "Debian GNU/Linux 12 (bookworm)"


def test_cores_of_several_kinds(tmp_path: Path) -> None:
    machine = identify(write(tmp_path, {"proc/cpuinfo": PHONE}))
    assert machine.cpu == "1x Cortex-A55 + 1x Cortex-A78 + 1x 0xfff"


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    machine = identify(tmp_path)
    assert machine.cpu and machine.cores >= 1
    assert (machine.board, machine.flags, machine.memory_mib, machine.load) == ("", (), 0, 0.0)


def test_this_machine_round_trips_and_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((platform, "node"), (socket, "gethostname"), (socket, "getfqdn")):
        monkeypatch.setattr(module, name, lambda: "name-of-the-machine")
    system, _, *rest = os.uname()
    named = os.uname_result((system, "name-of-the-machine", *rest))
    monkeypatch.setattr(os, "uname", lambda: named)
    monkeypatch.setenv("HOSTNAME", "name-of-the-machine")
    machine = identify()
    assert Machine.from_json(machine.to_json()) == machine
    assert "numpy" in machine.packages
    assert "name-of-the-machine" not in str(machine.to_json())


def test_memory_of_this_process() -> None:
    now, peak = memory_mib("VmRSS"), memory_mib("VmHWM")  # in this order: it may grow in between
    assert peak is not None and now is not None and peak >= now - 1 > 10
    assert memory_mib("VmNone") is None


def test_installed_tells_only_what_is_there() -> None:
    assert list(installed(("numpy", "no-such-distribution"))) == ["numpy"]


@pytest.mark.parametrize(
    ("architecture", "flags", "saturates"),
    [
        ("x86_64", ("avx2", "fma"), True),
        ("x86_64", ("avx2", "avx512f"), True),
        ("x86_64", ("avx2", "avx_vnni"), False),
        ("x86_64", ("avx512f", "avx512_vnni"), False),
        ("x86_64", (), False),
        ("aarch64", ("asimd",), False),
    ],
)
def test_int8_saturates_on_x86_without_vnni(
    architecture: str, flags: tuple[str, ...], saturates: bool
) -> None:
    assert Machine("some CPU", architecture, 2, flags=flags).int8_saturates is saturates
