"""A real sshd on the loopback, with keys of its own; what answers is this machine, as a device."""

import contextlib
import dataclasses
import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from landmint.targets.profile import Profile

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_CLIENT = """
Host board
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
"""
_LAB = """
targets:
  main:
    resources:
      NetworkService:
        address: 127.0.0.1
        port: {port}
        username: {user}
    drivers:
      SSHDriver:
        keyfile: key
      ExternalPowerDriver:
        cmd_on: "false"
        cmd_off: "false"
        cmd_cycle: touch {folder}/cycled
  switchless:
    resources:
      NetworkService:
        address: 127.0.0.1
        port: {port}
        username: {user}
    drivers:
      SSHDriver: {{}}
  bare:
    drivers: {{}}
"""
_SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
"""


class Relay:
    """Passes bytes between a port of its own and the sshd, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self._open: list[socket.socket] = []
        self.listen()

    def listen(self) -> None:
        """Take connections, also after `close`, at the same port as before."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
        except OSError:
            pass
        self._end(source, sink)

    @staticmethod
    def _end(*ends: socket.socket) -> None:
        for each in ends:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def cut(self) -> None:
        """End all connections that stand; new ones are still passed on."""
        self._end(*self._open)

    def close(self) -> None:
        # A thread that waits for the next connection would keep the port.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for each in self._open:
            each.close()


class Device:
    """The loopback as a device, reached by ssh through a relay."""

    def __init__(self, folder: Path, relay: Relay, tools: Path) -> None:
        self.folder, self.relay, self.tools = folder, relay, tools
        self.config = folder / "config"
        self.known_hosts = folder / "known_hosts"
        self.home = folder / "device"

    def profile(self, **changes: object) -> Profile:
        """A profile of it, whose Python has numpy and the engines already."""
        settings = {
            "python": sys.executable,
            "install": False,
            "folder": str(self.home),
            "config": str(self.config),
        }
        settings |= dict(changes.pop("settings", {}))  # type: ignore[call-overload]
        fields = {"address": "board", "settings": settings, **changes}
        return Profile("board", "the loopback", "ssh", **fields)  # type: ignore[arg-type]

    def labgrid_profile(self, **settings: object) -> Profile:
        """A profile of it as a place of labgrid, which alone knows port, user and key.

        A power switch that is pressed leaves the file "cycled".
        """
        known = f"UserKnownHostsFile {self.known_hosts}\nGlobalKnownHostsFile /dev/null\n"
        (self.folder / "hosts").write_text(known)
        (self.folder / "lab.yaml").write_text(
            _LAB.format(port=self.relay.port, user=getpass.getuser(), folder=self.folder)
        )
        profile = self.profile(settings={"config": str(self.folder / "hosts"), **settings})
        lab = str(self.folder / "lab.yaml")
        return dataclasses.replace(profile, name="lab", transport="labgrid", address=lab)

    def pretend(self, command: str, script: str) -> None:
        """Let a command of the device do something else."""
        tool = self.tools / command
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)


@contextmanager
def device(folder: Path, extra: str = "") -> Iterator[Device]:
    """Yield a device; the test is skipped where no sshd can run.

    Args:
        folder: for its keys, its configuration and its files.
        extra: more lines of its sshd's configuration.
    """
    if SSHD is None:
        pytest.skip("no sshd on this machine: apt install openssh-server")
    folder.mkdir(exist_ok=True)
    tools = folder / "tools"
    tools.mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # the folder that a sshd of root steps into
    for name in ("host", "key"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(words, check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # No start-up file of this machine's user counts there.
    environment = f'SetEnv "PATH={tools}:{os.environ["PATH"]}" "HOME={folder}"\n'
    server = folder / "sshd_config"
    server.write_text(_SERVER.format(port=port, folder=folder) + environment + extra)
    relay = Relay(port)
    host_key = (folder / "host.pub").read_text().strip()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{relay.port} {host_key}\n")
    client = _CLIENT.format(port=relay.port, user=getpass.getuser(), folder=folder)
    (folder / "config").write_text(client)
    log = (folder / "log").open("w")
    running = subprocess.Popen([SSHD, "-D", "-e", "-f", str(server)], stderr=log)
    try:
        _wait_for(port, running, folder / "log")
        yield Device(folder, relay, tools)
    finally:
        relay.close()
        running.terminate()
        running.wait()
        log.close()


def _wait_for(port: int, running: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(500):
        if running.poll() is not None:
            pytest.skip(f"sshd does not run here: {log.read_text()[-300:]}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            threading.Event().wait(0.02)
    pytest.fail("sshd does not listen")
