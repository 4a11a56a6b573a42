"""A phone that is none: the protocol of Android's adbd over TCP; commands run here, in a folder.

Written from the protocol's description in Android's sources (`protocol.txt`, `SYNC.TXT`, and the
packets of the shell protocol). What talks to it is the real adb client, by a server of its own.
"""

import contextlib
import os
import queue
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from landmint.targets.profile import Profile

ADB = shutil.which("adb")
_HEADER = struct.Struct("<4sIIIII")
_SYNC = struct.Struct("<4sI")
_PACKET = struct.Struct("<BI")
_VERSION, _MOST_DATA = 0x01000001, 256 * 1024
_PIECE = 60_000
_STDIN, _STDOUT, _STDERR, _EXIT, _END_OF_STDIN = range(5)
_A_TOKEN = 1
_BANNER = b"device::ro.product.name=tiny;ro.product.model=Tiny;ro.product.device=tiny;features="


class Lost(Exception):
    """The other side ended the stream."""


class Stream:
    """One stream of a connection: bytes in, bytes out, one message under way at a time."""

    def __init__(self, connection: "_Connection", here: int, there: int) -> None:
        self._connection, self._here, self._there = connection, here, there
        self._incoming: queue.Queue[bytes | None] = queue.Queue()
        self._taken = threading.Semaphore(0)
        self._rest = b""
        self.ended = False

    def message(self, command: bytes, data: bytes = b"") -> None:
        self._connection.message(command, self._here, self._there, data)

    def take(self, command: bytes, data: bytes) -> None:
        """A message that arrived."""
        if command == b"WRTE":
            self._incoming.put(data)
            self.message(b"OKAY")
        elif command == b"OKAY":
            self._taken.release()
        else:
            self.end()

    def end(self) -> None:
        self.ended = True
        self._incoming.put(None)
        self._taken.release()

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            self.message(b"WRTE", data[start : start + _PIECE])
            self._taken.acquire()
            if self.ended:
                raise Lost

    def read(self, count: int) -> bytes:
        while len(self._rest) < count:
            piece = self._incoming.get()
            if piece is None:
                self._incoming.put(None)
                raise Lost
            self._rest += piece
        data, self._rest = self._rest[:count], self._rest[count:]
        return data


class _Connection:
    """One connection of an adb server."""

    def __init__(self, phone: "Phone", wire: socket.socket) -> None:
        self._phone, self._wire = phone, wire
        self._streams: dict[int, Stream] = {}
        self._writing = threading.Lock()

    def message(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        magic = int.from_bytes(command, "little") ^ 0xFFFFFFFF
        header = _HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, magic)
        with self._writing, contextlib.suppress(OSError):
            self._wire.sendall(header + data)

    def serve(self) -> None:
        with contextlib.suppress(OSError, Lost):
            while True:
                command, first, second, size, _, _ = _HEADER.unpack(self._read(_HEADER.size))
                self._take(command, first, second, self._read(size))
        for stream in self._streams.values():
            stream.end()
        self._wire.close()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._wire.recv(count - len(data))
            if not piece:
                raise Lost
            data += piece
        return data

    def _take(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == b"CNXN" and self._phone.authorised:
            self.message(b"CNXN", _VERSION, _MOST_DATA, _BANNER + self._phone.features)
        elif command == b"CNXN" or (command == b"AUTH" and first == 2):
            # No signature is good enough; the key that follows is never confirmed.
            self.message(b"AUTH", _A_TOKEN, 0, bytes(20))
        elif command == b"OPEN":
            self._open(first, data.rstrip(b"\0").decode())
        elif second in self._streams:
            self._streams[second].take(command, data)

    def _open(self, there: int, service: str) -> None:
        here = len(self._streams) + 1
        stream = self._streams[here] = Stream(self, here, there)
        kind, _, argument = service.partition(":")
        words = kind.split(",")
        if words[0] not in ("sync", "shell"):
            stream.message(b"CLSE")
            return

        def serve() -> None:
            stream.message(b"OKAY")
            with contextlib.suppress(Lost, OSError):
                if words[0] == "sync":
                    _Sync(stream).serve()
                else:
                    self._phone.shell(stream, "v2" in words, argument)
            stream.message(b"CLSE")

        threading.Thread(target=serve, daemon=True).start()


class _Sync:
    """The service that moves files, by its first version."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def serve(self) -> None:
        while True:
            verb, size = _SYNC.unpack(self._stream.read(_SYNC.size))
            if verb == b"QUIT":
                return
            path = self._stream.read(size).decode()
            {b"STAT": self._stat, b"SEND": self._send, b"RECV": self._receive}[verb](path)

    def _say(self, verb: bytes, number: int, data: bytes = b"") -> None:
        self._stream.write(_SYNC.pack(verb, number) + data)

    def _refuse(self, error: OSError) -> None:
        reason = (error.strerror or "failed").encode()
        self._say(b"FAIL", len(reason), reason)

    @staticmethod
    def _state(path: Path) -> bytes:
        try:
            state = path.stat()
        except OSError:
            return struct.pack("<III", 0, 0, 0)
        return struct.pack("<III", state.st_mode, state.st_size, int(state.st_mtime))

    def _stat(self, path: str) -> None:
        self._stream.write(b"STAT" + self._state(Path(path)))

    def _send(self, path_and_mode: str) -> None:
        path, _, mode = path_and_mode.rpartition(",")
        content = b""
        while True:
            verb, number = _SYNC.unpack(self._stream.read(_SYNC.size))
            if verb == b"DONE":
                break
            content += self._stream.read(number)
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(content)
            Path(path).chmod(int(mode) & 0o777)
        except OSError as error:
            self._refuse(error)
            return
        self._say(b"OKAY", 0)

    def _receive(self, path: str) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            self._refuse(error)
            return
        for start in range(0, len(content), _PIECE):
            piece = content[start : start + _PIECE]
            self._say(b"DATA", len(piece), piece)
        self._say(b"DONE", 0)


class Phone:
    """Listens as a phone does after `adb tcpip`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tmp"
        self.tools = folder / "tools"
        for each in (self.folder, self.tools):
            each.mkdir(parents=True)
        self.properties = {
            "ro.product.model": "Tiny Phone",
            "ro.soc.model": "TP1",
            "ro.build.fingerprint": "tiny/phone:14/1:user/release-keys",
            "ro.build.type": "user",
        }
        self.battery_percent, self.thermal_status = 80, 0
        self.furnish()
        self.authorised = True
        self.features = b"shell_v2,cmd"
        self.watch: Callable[[str], None] = lambda command: None
        """Told of each command before it runs."""
        self._wires: list[socket.socket] = []
        self._reachable = True
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                wire, _ = self._listening.accept()
            except OSError:
                return
            if not self._reachable:
                wire.close()
                continue
            self._wires.append(wire)
            threading.Thread(target=_Connection(self, wire).serve, daemon=True).start()

    def furnish(self) -> None:
        """Write the stand-ins of Android's commands anew, by what the phone is like now."""
        cases = "".join(f"{name}) echo '{value}';; " for name, value in self.properties.items())
        self.pretend("getprop", f'case "$1" in {cases} esac')
        battery = f"battery) printf '  level: {self.battery_percent}\\n  temperature: 251\\n';; "
        skin = (
            "Current temperatures from HAL:\\n\\tTemperature{mValue=31.5, mType=3, mName=SKIN}\\n"
        )
        heat = f"thermalservice) printf 'Thermal Status: {self.thermal_status}\\n{skin}';; "
        self.pretend("dumpsys", f'case "$1" in {battery} {heat} esac')
        self.pretend("cmd", f'echo "$@" >> {shlex.quote(str(self.folder))}/cmd.log')
        stand_in = Path(__file__).with_name("benchmark_model.py")
        self.pretend("benchmark_model", f'exec {sys.executable} -P {stand_in} "$@"')

    @property
    def tool(self) -> Path:
        """Path of its benchmark_model."""
        return self.tools / "benchmark_model"

    @property
    def powers(self) -> list[str]:
        """The settings of fixed performance, in order."""
        log = self.folder / "cmd.log"
        return [line.split()[-1] for line in log.read_text().splitlines()] if log.exists() else []

    def profile(self, **changes: object) -> Profile:
        """A profile of it."""
        settings = {"benchmark_model": str(self.tool), "folder": str(self.folder / "landmint")}
        settings |= dict(changes.pop("settings", {}))  # type: ignore[call-overload]
        fields = {"address": self.serial, "settings": settings, **changes}
        return Profile("phone", "of the suite", "adb", **fields)  # type: ignore[arg-type]

    def pretend(self, command: str, script: str, shell: str = "/bin/sh") -> None:
        """Let a command of the phone do something."""
        tool = self.tools / command
        tool.write_text(f"#!{shell}\n{script}\n")
        tool.chmod(0o755)

    def shell(self, stream: Stream, v2: bool, command: str) -> None:
        """Run a command; what it prints and how it ends is sent in packets by version 2."""
        self.watch(command)
        environment = {"PATH": f"{self.tools}:{os.environ['PATH']}", "HOME": str(self.folder)}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe if v2 else subprocess.STDOUT,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
        threads = [
            threading.Thread(target=self._pass_on, args=(stream, source, number if v2 else -1))
            for source, number in ((process.stdout, _STDOUT), (process.stderr, _STDERR))
            if source is not None
        ]
        feeding = threading.Thread(target=self._feed, args=(stream, process, v2), daemon=True)
        for thread in (*threads, feeding):
            thread.start()
        for thread in threads:
            thread.join()
        code = process.wait()
        if v2:
            stream.write(_PACKET.pack(_EXIT, 1) + bytes([code & 0xFF]))

    @staticmethod
    def _pass_on(stream: Stream, source: IO[bytes], number: int) -> None:
        with contextlib.suppress(Lost, OSError), source:
            while piece := os.read(source.fileno(), _PIECE // 2):
                stream.write(piece if number < 0 else _PACKET.pack(number, len(piece)) + piece)

    @staticmethod
    def _feed(stream: Stream, process: subprocess.Popen[bytes], v2: bool) -> None:
        """What the client writes; the standard input ends when the client is gone."""
        assert process.stdin is not None
        with contextlib.suppress(Lost, OSError):
            while True:
                if not v2:
                    process.stdin.write(stream.read(1))
                    continue
                kind, size = _PACKET.unpack(stream.read(_PACKET.size))
                data = stream.read(size)
                if kind == _END_OF_STDIN:
                    break
                if kind == _STDIN:
                    process.stdin.write(data)
                    process.stdin.flush()
        with contextlib.suppress(OSError):
            process.stdin.close()

    def cut(self) -> None:
        """End all connections, and take no new one."""
        self._reachable = False
        for wire in self._wires:
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()
        self.cut()


@contextmanager
def adb_server(folder: Path) -> Iterator[None]:
    """Yield while an adb server of its own runs; the test is skipped where there is no adb."""
    if ADB is None:
        pytest.skip("no adb on this machine: apt install adb")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.delenv("ANDROID_SERIAL", raising=False)
        adb("start-server", HOME=str(folder))  # where its key lies
        try:
            yield
        finally:
            adb("kill-server")


def adb(*words: str, **environment: str) -> str:
    """What the real client prints."""
    assert ADB is not None
    done = subprocess.run(
        [ADB, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    return done.stdout + done.stderr


@contextmanager
def phone(folder: Path) -> Iterator[Phone]:
    """Yield a phone that the adb server knows."""
    made = Phone(folder)
    try:
        adb("connect", made.serial)
        yield made
    finally:
        adb("disconnect", made.serial)
        made.close()
