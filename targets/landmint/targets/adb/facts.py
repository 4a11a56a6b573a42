"""What a phone says of itself, and whether that fits: its build, cores, battery, heat, its tool."""

import dataclasses
import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from landmint.runtime.conditions import Conditions
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.machine import Machine, identify
from landmint.targets.adb.client import MARK
from landmint.targets.probing import disk_finding
from landmint.targets.processes import printable
from landmint.targets.profile import Profile
from landmint.targets.target import Finding

LEAST_BATTERY_PERCENT = 25
HEAT = "heat"
"""The finding that stops no visit: what is hot may cool."""
_LONGEST = 200
_CPUS = "/sys/devices/system/cpu"
_STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_SKIN = 3  # of Android's TemperatureType
_TOOL_URL = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/"
    "nightly/latest/android_aarch64_benchmark_model"
)
_GET_TOOL = (
    f"fetch {_TOOL_URL}; then name that file as `settings.benchmark_model` of a profile, or copy "
    "it by `adb push android_aarch64_benchmark_model {path}` and `adb shell chmod 755 {path}`"
)


@dataclass(frozen=True)
class State:
    """A phone at one moment; None for what it does not tell."""

    battery_percent: int | None = None
    """Charge."""
    thermal_status: int | None = None
    """Android's: 0 while nothing is held back for heat, up to 6; None before Android 10."""
    temperature_c: float | None = None
    """Of its skin, which Android throttles by; of the battery where that is not told."""
    governor: str = ""
    """Frequency governor of the first core; empty where programs may not read it."""

    @property
    def heat(self) -> str:
        """The thermal status in words."""
        if self.thermal_status is None:
            return "thermal status not told"
        return f"thermal status {self.thermal_status} ({_STATUSES[self.thermal_status]})"

    @property
    def conditions(self) -> Conditions:
        """As the runtime keeps them."""
        held = (self.heat,) if self.thermal_status else ()
        return Conditions(self.governor, self.temperature_c, throttled=held)

    def check_battery(self, name: str) -> None:
        """Refuse a phone that may save energy.

        Raises:
            NotMeasuredError: its battery is too low.
        """
        if self.battery_percent is not None and self.battery_percent < LEAST_BATTERY_PERCENT:
            raise NotMeasuredError(
                f"the battery of {name} is at {self.battery_percent} %",
                reason=f"under {LEAST_BATTERY_PERCENT} % a phone saves energy, and is slower",
                remedy="charge it, and measure again",
            )


@dataclass(frozen=True)
class Facts:
    """A phone, as its shell tells it; what it does not tell is empty."""

    model: str
    """What it is sold as."""
    soc: str
    """Its chip."""
    fingerprint: str
    """Android's name for this very build of the system."""
    build: str
    """Kind of that build: "user" on phones that are sold."""
    emulator: bool
    """Whether it is Android's emulator."""
    architecture: str
    """Of the kernel: `uname -m`."""
    tool_sha256: str
    """Of benchmark_model; empty where there is none that can be run."""
    free_mib: int | None
    """Free space where landmint keeps its files."""
    frequencies_khz: Mapping[int, int]
    """The highest of each core, by its number."""
    files: Mapping[str, str]
    """Content of files of its kernel that say what machine it is, by their path."""
    kernel: str
    """Its release."""
    cores: int
    """Logical cores."""
    state: State
    """When it was asked."""

    def machine(self, fixed: bool) -> Machine:
        """As the runtime keeps machines.

        Args:
            fixed: whether it runs at fixed performance.
        """
        with tempfile.TemporaryDirectory() as folder:
            for path, content in self.files.items():
                file = Path(folder) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content, encoding="utf-8")
            machine = identify(Path(folder))
        governor = self.state.governor + ", fixed performance" * fixed
        return dataclasses.replace(
            machine,
            board=" ".join([self.model, f"({self.soc})" * bool(self.soc), *self.oddities]).strip(),
            architecture=self.architecture,
            cores=self.cores,
            system=self.fingerprint,
            kernel=self.kernel,
            governor=governor.removeprefix(", "),
            python="",
            packages={},
        )

    @property
    def oddities(self) -> list[str]:
        """Why its times are not those of a phone that is sold."""
        odd = ["an emulator"] if self.emulator else []
        return odd + ([f"a build for development: {self.build}"] if self.build != "user" else [])

    def mask(self, cores: str, threads: int) -> str:
        """The cores to run on, as `taskset` takes them; empty for all.

        Args:
            cores: numbers of a profile, such as "4-7"; empty for the fastest ones, as many kinds of
                cores as have a core for each thread.
            threads: of one inference.
        """
        if cores:
            spans = [[int(end) for end in part.split("-")] for part in cores.split(",")]
            chosen = {core for span in spans for core in range(span[0], span[-1] + 1)}
        else:
            kinds = sorted(set(self.frequencies_khz.values()), reverse=True)
            chosen = set()
            for khz in kinds:
                if len(chosen) < threads:
                    chosen |= {core for core, own in self.frequencies_khz.items() if own == khz}
        return f"{sum(1 << core for core in chosen):x}" if chosen else ""


_STATE = {
    "battery": "dumpsys battery",
    "thermal": "dumpsys thermalservice",
    "governor": f"cat {_CPUS}/cpu0/cpufreq/scaling_governor",
}
_FILES = ("proc/cpuinfo", "proc/meminfo", "proc/loadavg")


def state_question() -> str:
    """The script of the phone's shell that asks for its state."""
    return _question(_STATE)


def question(tool: str, folder: str) -> str:
    """The script of the phone's shell that asks a phone about itself.

    Args:
        tool: path of benchmark_model there.
        folder: where landmint keeps its files, or will.
    """
    path = shlex.quote(tool)
    frequencies = f"{_CPUS}/cpu[0-9]*/cpufreq/cpuinfo_max_freq"
    return _question(
        {
            **_STATE,
            **{path: f"head -c 65536 /{path}" for path in _FILES},
            "model": "getprop ro.product.model",
            "soc": "getprop ro.soc.model",
            "fingerprint": "getprop ro.build.fingerprint",
            "build": "getprop ro.build.type",
            "emulator": "getprop ro.kernel.qemu; getprop ro.boot.qemu",
            "architecture": "uname -m",
            "kernel": "uname -r",
            "cores": f"cat {_CPUS}/present",
            "frequencies": f'for f in {frequencies}; do echo "$f $(cat "$f")"; done',
            "tool": f"test -x {path} && sha256sum < {path}",
            "free": f"df -Pk {shlex.quote(str(Path(folder).parent))} | tail -n 1",
        }
    )


def _question(asked: Mapping[str, str]) -> str:
    lines = [f"echo {MARK}{name}; ({command}) 2>/dev/null; echo" for name, command in asked.items()]
    return "\n".join([*lines, "true"])


def read_state(printed: str) -> State:
    """The state, from what the question printed."""
    return _state(_answers(printed))


def read_facts(printed: str) -> Facts:
    """A phone, from what it printed."""
    answers = _answers(printed)

    def line(name: str) -> str:
        return printable(answers.get(name, "").encode())[:_LONGEST]

    free = line("free").split()
    sha256 = re.match(r"[0-9a-f]{64}\b", line("tool"))
    frequencies = re.findall(
        r"/cpu(\d{1,3})/cpufreq/\w+ (\d{1,9})\b", answers.get("frequencies", "")
    )
    present = re.fullmatch(r"(?:.*[,-])?(\d{1,3})", line("cores"))
    return Facts(
        model=line("model"),
        soc=line("soc"),
        fingerprint=line("fingerprint"),
        build=line("build"),
        emulator="1" in line("emulator"),
        architecture=line("architecture"),
        tool_sha256=sha256[0] if sha256 else "",
        free_mib=int(free[3]) // 1024 if len(free) > 3 and free[3].isdecimal() else None,
        frequencies_khz={int(core): int(khz) for core, khz in frequencies},
        files={path: answers.get(path, "") for path in _FILES},
        kernel=line("kernel"),
        cores=int(present[1]) + 1 if present else 1,
        state=_state(answers),
    )


def _answers(printed: str) -> dict[str, str]:
    """What stands below each marked line."""
    parts = re.split(rf"^{re.escape(MARK)}([\w/]+)$", printed, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _state(answers: Mapping[str, str]) -> State:
    battery, thermal = answers.get("battery", ""), answers.get("thermal", "")
    level = re.search(r"^\s*level: (\d{1,3})$", battery, re.MULTILINE)
    tenths = re.search(r"^\s*temperature: (-?\d{1,4})$", battery, re.MULTILINE)
    status = re.search(r"^\s*Thermal Status: ([0-6])$", thermal, re.MULTILINE)
    now = thermal.partition("Current temperatures from HAL")[2] or thermal
    skin = re.findall(rf"mValue=(-?\d{{1,3}}(?:\.\d{{1,9}})?), mType={_SKIN}\b", now)
    heat_c = max(map(float, skin)) if skin else int(tenths[1]) / 10 if tenths else None
    return State(
        battery_percent=int(level[1]) if level else None,
        thermal_status=int(status[1]) if status else None,
        temperature_c=heat_c,
        governor=printable(answers.get("governor", "").encode())[:_LONGEST],
    )


def findings(facts: Facts, profile: Profile, tool: str) -> Iterator[Finding]:
    """What is there, and what is missing.

    Args:
        facts: as the phone told them.
        profile: what it is meant to be.
        tool: path of benchmark_model there; empty where a visit copies it.
    """
    yield _processor(facts, profile)
    odd = ", ".join(facts.oddities)
    remedy = "measure on a phone with the system that it is sold with" if odd else ""
    yield Finding("build", f"{facts.fingerprint or 'not told'}{f': {odd}' * bool(odd)}", remedy)
    if tool:
        yield _tool(facts, tool)
    yield disk_finding(facts.free_mib, profile)
    yield _battery(facts.state, profile.name)
    hot = bool(facts.state.thermal_status)
    yield Finding(HEAT, facts.state.heat, "let it cool" if hot else "", stops=hot)


def _processor(facts: Facts, profile: Profile) -> Finding:
    try:
        profile.check_architecture(facts.architecture)
    except LandmintError as error:
        return Finding("processor", f"{error.fact}, {error.reason}", error.remedy, stops=True)
    named = f"{facts.model or 'a phone'}, {facts.soc or facts.architecture}"
    return Finding("processor", f"{named}, {facts.cores} cores")


def _tool(facts: Facts, tool: str) -> Finding:
    if not facts.tool_sha256:
        state = f"there is none that can be run at {tool}"
        remedy = _GET_TOOL.format(path=shlex.quote(tool))
        return Finding("benchmark_model", state, remedy, stops=True)
    return Finding("benchmark_model", f"{tool}, sha256 {facts.tool_sha256[:12]}")


def _battery(state: State, name: str) -> Finding:
    if state.battery_percent is None:
        return Finding("battery", "not told")
    try:
        state.check_battery(name)
    except NotMeasuredError as error:
        return Finding("battery", f"{state.battery_percent} %", error.remedy, stops=True)
    return Finding("battery", f"{state.battery_percent} %")
