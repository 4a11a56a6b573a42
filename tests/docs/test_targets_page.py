"""The commands and files of docs/targets.md for boards, word for word, against stand-ins."""

import getpass
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from landmint.pipeline import cli
from tests.targets.jetson import pretend_jetson
from tests.targets.sshd import Device, device

pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")


def _blocks(section: str, language: str) -> list[str]:
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _known_as(host: str, board: Device, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ssh find the stand-in under a board's name, as a line of the user's own config would."""
    config = here / "config"
    config.write_text(board.config.read_text().replace("Host board", f"Host {host}"))
    ssh = here / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(here), prepend=":")


def _probe(command: str) -> str:
    words = shlex.split(command)
    assert words[:3] == ["landmint", "targets", "probe"]
    done = CliRunner().invoke(cli.app, words[1:])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_a_jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, probe = _blocks("A Jetson", "text")[0].splitlines()
    (measure,) = _blocks("A Jetson", "toml")
    assert probe.split()[-1] in measure
    user, _, host = probe.rpartition(":")[2].partition("@")
    with device(tmp_path / "board") as board:
        pretend_jetson(board.tools, 100300)
        board.pretend("uname", "echo aarch64")
        _known_as(host, board, tmp_path, monkeypatch)
        printed = _probe(probe.replace(f"{user}@", f"{getpass.getuser()}@"))
    assert "15W" in printed and "trtexec" in printed


def test_a_place_of_labgrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("labgrid")
    (lab,), (kitchen,) = _blocks("A labgrid place", "yaml"), _blocks("A labgrid place", "toml")
    (probe,) = _blocks("A labgrid place", "text")
    monkeypatch.chdir(tmp_path)
    with device(tmp_path / "board") as board:
        lab = lab.replace("10.0.0.7", f"127.0.0.1\n        port: {board.relay.port}")
        lab = lab.replace("username: pi", f"username: {getpass.getuser()}")
        (tmp_path / "lab.yaml").write_text(lab)
        shutil.copy(tmp_path / "board" / "key", tmp_path / "lab-key")
        (tmp_path / "known").write_text(f"UserKnownHostsFile {board.known_hosts}\n")
        (tmp_path / "kitchen.toml").write_text(f'{kitchen}config = "{tmp_path}/known"\n')
        board.pretend("uname", "echo aarch64")
        assert f"127.0.0.1:{board.relay.port}, host key known" in _probe(probe)
