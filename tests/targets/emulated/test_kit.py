"""What an emulated processor tells of itself, and what is said where a kit cannot be had."""

from pathlib import Path

import pytest

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.instructions import count_instructions
from landmint.runtime.machine import identify
from landmint.targets import load_target
from landmint.targets.emulated.cpus import CPUS
from landmint.targets.emulated.kit import APT_COMMAND, kit_of, set_up
from landmint.targets.emulated.target import EmulatedTarget, cpu_of
from landmint.targets.profile import Profile, profile_files, read_profile


@pytest.mark.parametrize(
    ("cpu", "name", "flags"),
    [
        ("cortex-a53", "4x Cortex-A53", {"asimd"}),
        ("cortex-a72", "4x Cortex-A72", {"asimd"}),
        ("cortex-a76", "4x Cortex-A76", {"asimd", "asimddp", "asimdhp"}),
        ("haswell", "Intel Core Processor (Haswell), emulated", {"avx2", "fma"}),
    ],
)
def test_a_processor_tells_what_it_is(cpu: str, name: str, flags: set[str], tmp_path: Path) -> None:
    CPUS[cpu].write_files(tmp_path)
    machine = identify(tmp_path)
    assert (machine.cpu, set(machine.flags), machine.memory_mib) == (name, flags, 0)
    caches = tmp_path / "sys/devices/system/cpu/cpu3/cache"
    assert (caches / "index0/type").read_text(encoding="ascii") == "Data\n"
    assert (caches / "index2/level").read_text(encoding="ascii") == "2\n"


def test_each_profile_names_the_processor_of_its_board() -> None:
    profiles = {name: read_profile(path) for name, path in profile_files().items()}
    emulated = {n: cpu_of(p).model for n, p in profiles.items() if p.transport == "emulated"}
    assert emulated == {
        "emulated-rpi3": "cortex-a53",
        "emulated-rpi4": "cortex-a72",
        "emulated-rpi5": "cortex-a76",
        "emulated-x86-avx2": "Haswell",
    }
    assert all(load_target(name).no_times for name in emulated)


def test_an_unknown_processor() -> None:
    profile = Profile("mine", "a board", "emulated", settings={"cpu": "max"})
    with pytest.raises(LandmintError, match="'max'\n.*choices: cortex-a53"):
        EmulatedTarget(profile)


def test_what_is_missing_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotMeasuredError, match=f"qemu-aarch64 is not on .*\n.*\n.*{APT_COMMAND}"):
        set_up(CPUS["cortex-a76"])
    assert not kit_of(CPUS["cortex-a76"]).folder.exists()
    (finding,) = EmulatedTarget(Profile("x", "", "emulated", settings={"cpu": "haswell"})).probe()
    assert finding.stops and APT_COMMAND in finding.remedy


def test_a_kit_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NotMeasuredError, match="landmint targets setup emulated-rpi4"):
        load_target("emulated-rpi4")._check_set_up()  # type: ignore[attr-defined]


def test_nothing_counts_where_nothing_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANDMINT_INSTRUCTIONS", raising=False)
    with pytest.raises(NotMeasuredError, match="nothing counts instructions on this machine"):
        count_instructions(lambda number: None, 1)
