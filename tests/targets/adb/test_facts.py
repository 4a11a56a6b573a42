"""What phones say of themselves, as Android prints it."""

import dataclasses

import pytest

from landmint.runtime.errors import NotMeasuredError
from landmint.targets.adb.facts import HEAT, State, findings, read_facts, read_state
from landmint.targets.probing import refuse
from landmint.targets.profile import Limits, Profile

BATTERY = """Current Battery Service state:
  AC powered: false
  Max charging current: 0
  level: 85
  scale: 100
  temperature: 251
"""
THERMAL = """IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=99.0, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=55.1, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=31.25, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
Current cooling devices from HAL:
"""
FREQUENCIES = "".join(
    f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq {khz}\n"
    for core, khz in enumerate([1704000] * 4 + [2367000] * 4 + [2914000])
)
PHONE = f"""landmint.battery
{BATTERY}
landmint.thermal
{THERMAL}
landmint.governor
sched_pixel

landmint.proc/cpuinfo
processor\t: 0
CPU part\t: 0xd46

processor\t: 8
CPU part\t: 0xd05

landmint.proc/meminfo
MemTotal:        7712345 kB

landmint.model
Pixel 8

landmint.soc
Tensor G3

landmint.fingerprint
google/shiba/shiba:14/UD1A/1:user/release-keys

landmint.build
user

landmint.emulator


landmint.architecture
aarch64

landmint.kernel
5.15.110-android14

landmint.cores
0-8

landmint.frequencies
{FREQUENCIES}
landmint.tool
{"a" * 64}  -

landmint.free
/dev/block/dm-50 114096620 22334455 91762165  20% /data

"""
PROFILE = Profile("pixel", "of the suite", "adb", architectures=("aarch64",))


def test_a_phone() -> None:
    facts = read_facts(PHONE)
    machine = facts.machine(fixed=True)
    assert machine.board == "Pixel 8 (Tensor G3)"
    assert machine.cpu == "1x Cortex-A510 + 1x Cortex-A55"
    assert (machine.architecture, machine.cores, machine.memory_mib) == ("aarch64", 9, 7531)
    assert machine.governor == "sched_pixel, fixed performance"
    assert machine.system.startswith("google/shiba")
    assert facts.tool_sha256 == "a" * 64
    assert [f.what for f in findings(facts, PROFILE, "/t") if f.stops or f.remedy] == [HEAT]
    refuse("pixel", (f for f in findings(facts, PROFILE, "/t") if f.what != HEAT))


@pytest.mark.parametrize(
    ("cores", "threads", "mask"),
    [
        ("", 1, "100"),
        ("", 2, "1f0"),
        ("", 5, "1f0"),
        ("", 6, "1ff"),
        ("4-7", 1, "f0"),
        ("0,2", 1, "5"),
    ],
)
def test_the_fastest_cores(cores: str, threads: int, mask: str) -> None:
    assert read_facts(PHONE).mask(cores, threads) == mask


def test_cores_of_one_kind_or_that_are_not_told() -> None:
    facts = dataclasses.replace(read_facts(PHONE), frequencies_khz={})
    assert facts.mask("", 1) == ""


def test_state() -> None:
    state = read_facts(PHONE).state
    assert (state.battery_percent, state.thermal_status) == (85, 1)
    assert state.temperature_c == pytest.approx(31.25)
    assert state.conditions.throttled == ("thermal status 1 (light)",)
    old = read_state(f"landmint.battery\n{BATTERY}landmint.thermal\n\nlandmint.governor\n\n")
    assert (old.thermal_status, old.governor, old.conditions.throttled) == (None, "", ())
    assert old.temperature_c == pytest.approx(25.1)


@pytest.mark.parametrize("percent", [0, 24])
def test_a_low_battery(percent: int) -> None:
    with pytest.raises(NotMeasuredError, match=f"battery of x is at {percent} %"):
        State(battery_percent=percent).check_battery("x")
    State(battery_percent=25).check_battery("x")
    State().check_battery("x")


def test_nonsense_is_a_phone_that_tells_nothing() -> None:
    anything = dataclasses.replace(PROFILE, architectures=())
    for printed in ("", "noise\n" * 9, "landmint.cores\n\x1b[31m\nlandmint.free\na b c d\n"):
        facts = read_facts(printed)
        assert (facts.model, facts.cores, facts.free_mib, facts.tool_sha256) == ("", 1, None, "")
        with pytest.raises(NotMeasuredError, match="none that can be run at /t"):
            refuse("pixel", findings(facts, anything, "/t"))


def test_what_stops_a_visit_is_said_at_once() -> None:
    facts = dataclasses.replace(read_facts(PHONE), free_mib=3, architecture="x86_64")
    profile = dataclasses.replace(PROFILE, limits=Limits(free_disk_mib=50))
    with pytest.raises(NotMeasuredError, match="machine of pixel is x86_64.*3 MiB are free"):
        refuse("pixel", findings(facts, profile, "/t"))
