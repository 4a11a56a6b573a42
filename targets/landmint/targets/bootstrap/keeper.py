"""Holds a device for one visit: nobody else visits, and its governor is set back afterwards.

It greets with one line and stays until its standard input ends, which it does in whatever way the
other side goes: by its end, by Ctrl-C, by a cut connection. Arguments: one object of JSON with
`folder`, `system` (the root of /sys), `governor` and `start_below_c`.
"""

import contextlib
import fcntl
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "landmint: "
_COOL_S, _LOOK_S = 300, 2


def main() -> None:
    """Prepare, greet, wait, restore."""
    options = json.loads(sys.argv[1])
    folder = Path(options["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "visit.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(error="another landmint is visiting the device")
            return
        hot_c = wait_until_cool(Path(options["system"]), options["start_below_c"])
        if hot_c is not None:
            say(error=f"the processor has {hot_c:.0f} degrees after {_COOL_S} s of rest")
            return
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ignore)
        changed: dict[Path, str] = {}
        try:
            refused = set_governors(Path(options["system"]), options["governor"], changed)
            say(folder=str(folder.resolve()), changed=len(changed), refused=refused)
            sys.stdin.read()
        finally:
            for path, before in changed.items():
                with contextlib.suppress(OSError):
                    write(path, before)


def ignore(number: int, frame: object) -> None:
    """Stay: the end of the standard input is the one way out."""


def set_governors(system: Path, wanted: str, changed: dict[Path, str]) -> str:
    """Set the governor of every core; returns why that failed, empty when it did not.

    Args:
        system: the root of /sys.
        wanted: the governor; empty to leave all as they are.
        changed: filled with the files that were changed, and what stood there.
    """
    for path in sorted(system.glob("devices/system/cpu/cpu*/cpufreq/scaling_governor")):
        before = path.read_text().strip()
        if not wanted or before == wanted:
            continue
        changed[path] = before
        try:
            write(path, wanted)
        except OSError as error:
            del changed[path]
            return f"the governor stays {before}: {error}"
    return ""


def write(path: Path, text: str) -> None:
    """Write a file of the kernel, with sudo where that needs no password."""
    try:
        path.write_text(text)
    except PermissionError:
        command = ["sudo", "-n", "tee", "--", str(path)]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        if done.returncode:
            raise


def wait_until_cool(system: Path, limit_c: float | None) -> float | None:
    """Wait until no thermal zone is too hot; the temperature if it stays so, else None."""
    end = time.monotonic() + _COOL_S
    while limit_c is not None:
        hottest_c = temperature_c(system)
        if hottest_c is None or hottest_c <= limit_c:
            return None
        if time.monotonic() > end:
            return hottest_c
        time.sleep(_LOOK_S)
    return None


def temperature_c(system: Path) -> float | None:
    """The hottest thermal zone; None where there is none."""
    values = []
    for path in system.glob("class/thermal/thermal_zone*/temp"):
        with contextlib.suppress(OSError, ValueError):
            values.append(int(path.read_text()) / 1000)
    return max(values, default=None)


def say(**content: object) -> None:
    """Tell the other side one thing."""
    print(MARK + json.dumps(content), flush=True)


if __name__ == "__main__":
    main()
