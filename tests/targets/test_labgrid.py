"""A place of labgrid, by labgrid's own library and a real sshd; its power switch is a script."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.targets import labgrid as transport
from landmint.targets.labgrid import LabgridTarget, Way
from tests.targets.sshd import Device, device

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Device]:
    pytest.importorskip("labgrid")
    with device(tmp_path / "board") as running:
        yield running


def test_a_probe_goes_where_labgrid_says(place: Device) -> None:
    found = {each.what: each.state for each in LabgridTarget(place.labgrid_profile()).probe()}
    assert f"@127.0.0.1:{place.relay.port}, host key known" in found["connection"]
    assert found["Python"]


def test_the_host_key_is_checked(place: Device) -> None:
    place.known_hosts.write_text("")
    with pytest.raises(NotMeasuredError, match="nobody has confirmed the host key"):
        LabgridTarget(place.labgrid_profile(cycle=True)).probe()
    assert not (place.folder / "cycled").exists()


def test_a_board_that_does_not_answer_is_switched_off_and_on(
    place: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_RETRY_S", 0.01)
    place.relay.close()
    with pytest.raises(NotMeasuredError, match="is not reached at"):
        LabgridTarget(place.labgrid_profile()).probe()
    assert not (place.folder / "cycled").exists()

    def boot() -> None:
        while not (place.folder / "cycled").exists():
            threading.Event().wait(0.01)
        place.relay.listen()

    threading.Thread(target=boot, daemon=True).start()
    assert LabgridTarget(place.labgrid_profile(cycle=True)).probe()


def test_a_board_that_stays_silent_or_has_no_switch(
    place: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_RETRY_S", 0.01)
    place.relay.close()
    with pytest.raises(NotMeasuredError, match="is not reached at"):
        LabgridTarget(place.labgrid_profile(cycle=True, boot_s=0.01)).probe()
    assert (place.folder / "cycled").exists()
    with pytest.raises(NotMeasuredError, match="lab.yaml cycles the power of switchless"):
        LabgridTarget(place.labgrid_profile(cycle=True, role="switchless")).probe()


@pytest.mark.parametrize(
    ("role", "said"),
    [("moon", "has no target 'moon'"), ("bare", "tells how to reach the place(?s:.*)SSHDriver")],
)
def test_a_place_that_is_none(role: str, said: str, place: Device) -> None:
    with pytest.raises(NotMeasuredError, match=said):
        LabgridTarget(place.labgrid_profile(role=role)).probe()


def test_an_environment_that_cannot_be_read(place: Device) -> None:
    profile = place.labgrid_profile()
    (place.folder / "lab.yaml").unlink()
    with pytest.raises(NotMeasuredError, match="lab.yaml gives main"):
        LabgridTarget(profile).probe()
    with pytest.raises(LandmintError, match="profile lab is wrong"):
        LabgridTarget(place.labgrid_profile(rolle="main"))


def test_an_address_is_no_option(place: Device) -> None:
    profile = place.labgrid_profile()
    lab = place.folder / "lab.yaml"
    lab.write_text(lab.read_text().replace("127.0.0.1", "'x -oProxyCommand=reboot'"))
    with pytest.raises(NotMeasuredError, match="neither a user nor an address"):
        LabgridTarget(profile).probe()


def test_without_labgrid_the_remedy_is_said(board: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "labgrid", None)
    with pytest.raises(NotMeasuredError, match=r"pip install 'landmint\[labgrid\]'"):
        LabgridTarget(board.labgrid_profile()).probe()


def test_ssh_reads_the_way_as_it_was_meant(tmp_path: Path) -> None:
    users = tmp_path / "its users"
    users.write_text("ProxyCommand none\nCompression yes\nIdentityFile /of/the/user\n")
    proxy = ("ssh", "-W", "[fe80::1%eth0]:22", "exporter's")
    way = Way("ssh://pi@board:22", key=str(tmp_path / "a key"), proxy=proxy)
    config = tmp_path / "config"
    config.write_text(way.config(str(users)))
    printed = subprocess.run(
        ["ssh", "-F", str(config), "-G", "board"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert f"identityfile {tmp_path}/a key" in printed
    assert "proxycommand ssh -W '[fe80::1%%eth0]:22' 'exporter'\"'\"'s'" in printed
    assert "compression yes" in printed
