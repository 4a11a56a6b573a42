"""Profiles: landmint's own, a user's, and what is refused."""

from pathlib import Path

import pytest

from landmint.runtime.engines import ENGINES
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.typed_json import MismatchError
from landmint.targets import (
    TRANSPORTS,
    Profile,
    check_target,
    find_profile,
    known_targets,
    load_target,
)
from landmint.targets.profile import SHIPPED, profile_files, read_profile

LONG_S = 600


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user's profiles, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "landmint" / "targets"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.toml")), ids=lambda file: file.stem)
def test_a_shipped_profile_can_be_read(file: Path) -> None:
    profile = read_profile(file)
    assert profile.name == file.stem
    assert profile.about
    assert set(profile.engines) <= set(ENGINES.own)


def test_only_what_can_be_reached_is_listed(own: Path) -> None:
    (own / "cellar.toml").write_text('about = "far"\ntransport = "pigeon"\n')
    (own / "kitchen.toml").write_text('base = "x86-host"\n')
    names = known_targets()
    assert {"host", "null", "x86-host", "kitchen"} <= set(names)
    assert "cellar" not in names
    for name in names:
        assert name not in profile_files() or find_profile(name).transport in TRANSPORTS
    for refuse in (load_target, check_target):
        with pytest.raises(NotMeasuredError, match="cellar is reached by pigeon\n.*no such transp"):
            refuse("cellar")


def test_a_profile_says_what_differs_from_its_base(own: Path) -> None:
    (own / "rpi5.toml").write_text(
        'base = "rpi5"\naddress = "pi@kitchen"\n[limits]\nstart_below_c = 70\n'
    )
    mine, theirs = find_profile("rpi5"), read_profile(SHIPPED / "rpi5.toml")
    assert mine.address == "pi@kitchen"
    assert mine.limits.start_below_c == 70
    assert mine.limits.free_disk_mib == theirs.limits.free_disk_mib > 0
    assert mine.engines == theirs.engines


def test_an_address_may_follow(tmp_path: Path) -> None:
    assert find_profile("rpi5:ssh://pi@board:2222").address == "ssh://pi@board:2222"
    file = tmp_path / "mine.toml"
    file.write_text('base = "rpi4"\naddress = "there"\n')
    assert find_profile(str(file)).address == "there"
    assert find_profile(f"{file}:elsewhere").address == "elsewhere"
    assert find_profile(f"{file}:elsewhere").name == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("about = ", "cannot read the profile"),
        ('about = "x"', "no field 'transport'"),
        ('about = "x"\ntransport = "local"\nthreds = 2', "an unknown field, 'threds'"),
        ('about = "x"\ntransport = "local"\nthreads = "2"', "threads is '2', not a whole number"),
        ('about = "x"\ntransport = "local"\n[limits]\nheat = 2', "limits has an unknown field"),
        ('about = "x"\ntransport = "local"\ncores = "2; reboot"', "is not such as"),
        ('base = "rpi6"', "has the base 'rpi6'\n.*choices: .*rpi5"),
        ("base = [5]", "has the base .5.\n"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(LandmintError, match=said) as caught:
        load_target(str(file))
    assert "wrong.toml" in str(caught.value)


def test_a_broken_profile_leaves_the_others(own: Path) -> None:
    (own / "broken.toml").write_text("about = ")
    assert {"host", "broken"} <= set(known_targets())
    assert load_target("host").name == "host"
    with pytest.raises(LandmintError, match="cannot read the profile"):
        load_target("broken")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="cannot read the profile .*none.toml"):
        load_target(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b", "a/b", "a\n"])
def test_a_name_is_one_plain_word(name: str) -> None:
    with pytest.raises(MismatchError, match="other signs"):
        Profile(name, "x", "local")


def test_what_does_not_fit_is_refused() -> None:
    profile = Profile(
        "small", "x", "local", architectures=("m68k",), engines=("litert",), threads=2
    )
    profile.check_architecture("m68k")
    profile.check_start("litert", 2)
    profile.check_start("null", 1)
    with pytest.raises(NotMeasuredError, match="machine of small is x86_64\n.*for m68k"):
        profile.check_architecture("x86_64")
    with pytest.raises(NotMeasuredError, match="openvino is not meant for small\n.*names litert"):
        profile.check_start("openvino", 1)
    with pytest.raises(LandmintError, match="3 threads\n.*gets 2 at most"):
        profile.check_start("litert", 3)
