"""The state of the machine, from the texts that the kernel and a board's firmware would give."""

import os
import time
from pathlib import Path

import pytest

from landmint.runtime import conditions
from landmint.runtime.conditions import Conditions, frequency_mhz, others_ms, read_conditions

STAT = "cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 50 10 15 2000 25 3 3 4 0 0\n"
# A name with a bracket and spaces, then fields 3 to 40; field 39 is the core, number 2.
SELF = "17 (a) name) R " + " ".join(["0"] * 35) + " 2 0\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A board whose process runs on core 2, and whose second thermal zone is the hotter one."""
    files = {
        "proc/self/stat": SELF,
        "proc/stat": STAT,
        "proc/pressure/cpu": "some avg10=12.50 avg60=3.00 avg300=1.00 total=9\nfull avg10=0.00\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
        "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq": "1800000\n",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "sys/class/thermal/thermal_zone1/temp": "61250\n",
    }
    return write(tmp_path, files)


def firmware(monkeypatch: pytest.MonkeyPatch, folder: Path, answer: str) -> None:
    """Put a `vcgencmd` that answers so in front of all programs."""
    program = folder / "bin/vcgencmd"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_board_under_work(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(board))
    assert read_conditions(board) == Conditions(
        governor="ondemand", temperature_c=61.25, pressure_percent=12.5
    )
    assert frequency_mhz(board) == pytest.approx(1800)


def test_a_firmware_that_holds_back(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    firmware(monkeypatch, board, "throttled=0x50005")
    state = read_conditions(board)
    assert state.throttled == ("under-voltage", "throttled")
    assert state.throttled_since_boot == ("under-voltage", "throttled")


@pytest.mark.parametrize("answer", ["throttled=0x0", "error=1 nonsense", ""])
def test_a_firmware_with_nothing_to_tell(
    board: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    firmware(monkeypatch, board, answer)
    assert read_conditions(board).throttled == ()


def test_a_machine_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_conditions(tmp_path) == Conditions()
    assert frequency_mhz(tmp_path) is None
    assert others_ms(tmp_path) is None


def test_others_are_all_busy_time_but_our_own(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "process_time_ns", lambda: 250_000_000)
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    assert others_ms(board) == pytest.approx((100 + 20 + 30 + 6 + 7 + 8) * 10 - 250)


def test_preemptions_only_grow() -> None:
    first, second = conditions.preemptions(), conditions.preemptions()
    assert first is not None and second is not None and second >= first >= 0
