"""The transport "ssh": boards with Linux and Python, a Raspberry Pi above all.

The device layer, bundles and crops are copied by their content, only what is not there yet. An
environment with numpy and one engine is made there once for each engine. A visit holds the board:
its governor is set, and set back when the visit ends in whatever way.
"""

import json
import os
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import atomic_path, digest, sha256_file
from landmint.runtime.typed_json import MismatchError, read_as
from landmint.targets import bootstrap
from landmint.targets.board import Board, findings, question, read_board
from landmint.targets.host import RUNTIME_ROOT
from landmint.targets.pipe import PipeLink, signal_name
from landmint.targets.probing import refuse
from landmint.targets.profile import Profile, read_settings
from landmint.targets.ssh_connection import Connection, Held, program
from landmint.targets.target import Finding, Link, agent_arguments, engine_of
from landmint.targets.wheels import fetch_wheels, requirements_of

_BOOTSTRAP = Path(bootstrap.__file__).parent
_SYSTEM = "/sys"
_KEEPER_S = 400
_COPY_S = 1800
_INSTALL_S = 900
_LARGEST_PULL = 256 * 2**20
_FILE_FOLLOWS = b"landmint-file\n"
_SHELL_LOST, _SIGNALLED = 255, 128


@dataclass(frozen=True)
class SshSettings:
    """What `settings` of a profile says to this transport."""

    python: str = ""
    """The interpreter there; the first of the system's that is new enough when empty."""
    install: bool = True
    """Whether to make environments there; if not, `python` has numpy and the engines already."""
    system_packages: bool = False
    """Whether these environments see the system's packages, such as NVIDIA's TensorRT."""
    wheels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What pip installs for an engine, instead of the newest that fits."""
    folder: str = ".cache/landmint"
    """Where landmint keeps its files there, from the home folder."""
    config: str = ""
    """A configuration file of ssh here, instead of the user's."""


class SshTarget:
    """A board that is reached by ssh; it is not reached before it is needed."""

    no_times = ""
    settings_kind: ClassVar[type[SshSettings]] = SshSettings
    """What is read of the profile's settings."""

    def __init__(self, profile: Profile) -> None:
        """Read the settings.

        Raises:
            LandmintError: they are wrong.
        """
        self.name = profile.name
        self._profile = profile
        self._settings = read_settings(self.settings_kind, profile)
        self._visit: _Visit | None = None

    @property
    def parallel(self) -> int:
        """The board's cores."""
        return self._board().board.cores

    def probe(self) -> tuple[Finding, ...]:
        """Connect and ask its shell, as `Probed.probe` says."""
        connection = self._connect()
        try:
            board = self._ask(connection)
        finally:
            connection.close()
        reached = Finding("connection", f"{connection.address}, host key known")
        return (reached, *findings(board, self._profile, self._settings.install))

    def push(self, local: Path) -> str:
        """Copy what is not there yet, as `Target.push` says."""
        local = local.resolve()
        files = sorted(f for f in local.rglob("*") if f.is_file()) if local.is_dir() else [local]
        named = {str(Path(local.name) / f.relative_to(local)): f for f in files}
        visit = self._board()
        place = f"{visit.send(named)}/{local.name}"
        visit.sources[place] = local
        return place

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file, as `Target.pull` says."""
        visit = self._board()
        path = shlex.quote(remote)
        script = f"test -f {path} && echo {_FILE_FOLLOWS.decode().strip()} && exec cat -- {path}"
        printed = visit.connection.run(f"{script}; exit 0", largest=_LARGEST_PULL)
        _, mark, content = printed.partition(_FILE_FOLLOWS)
        if not mark:
            raise LandmintError(f"{remote} does not exist on {self.name}")
        with atomic_path(local) as fresh:
            fresh.write_bytes(content)

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        """Start an agent, as `Target.start` says."""
        visit = self._board()
        if bundle not in visit.sources:
            raise LandmintError(f"{bundle[:200]} was not copied to {self.name}")
        engine = engine_of(visit.sources[bundle], variant)
        self._profile.check_start(engine, threads)
        words = [visit.python(engine), "-P", "-m", "landmint.runtime"]
        words += agent_arguments(bundle, variant, threads, self._profile.cores)
        environment = f"PYTHONPATH={shlex.quote(visit.runtime)}"
        environment += f" OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS={int(threads)}"
        # The shell stays, to tell how the agent ended.
        script = f"{environment} {shlex.join(words)}; exit $?"
        return _SshLink(visit.connection.command(script), os.environ, timeout_s)

    def _board(self) -> "_Visit":
        """The visit; it begins anew when the connection was lost."""
        if self._visit is None or not self._visit.connection.alive:
            connection = self._connect()
            board = self._ask(connection)
            refuse(self.name, findings(board, self._profile, self._settings.install))
            self._visit = _Visit(connection, board, self._profile, self._settings)
        return self._visit

    def _connect(self) -> Connection:
        return Connection(self.name, self._profile.address, self._settings.config)

    def _ask(self, connection: Connection) -> Board:
        printed = connection.run(question(self._settings.python))
        return read_board(printed.decode("utf-8", "replace"))


class _Visit:
    """A board that is connected, fit, and held for us."""

    def __init__(
        self, connection: Connection, board: Board, profile: Profile, settings: SshSettings
    ) -> None:
        self.connection, self.board = connection, board
        self.sources: dict[str, Path] = {}
        self._name, self._settings = profile.name, settings
        options = {
            "folder": settings.folder,
            "system": _SYSTEM,
            "governor": profile.hygiene.governor,
            "start_below_c": profile.limits.start_below_c,
        }
        keeper = program(board.python, _BOOTSTRAP / "keeper.py", json.dumps(options))
        self._held = Held(connection, keeper, _KEEPER_S)
        self._folder = str(self._held.greeting["folder"])
        self._pythons: dict[str, str] = {}
        self._trees: dict[str, str] = {}

    def send(self, named: Mapping[str, Path]) -> str:
        """Copy files that are not there, and lay out a tree of them; returns its path there."""
        hashes = {name: sha256_file(path) for name, path in named.items()}
        tree = digest(sorted(hashes.items()))
        if tree in self._trees:
            return self._trees[tree]
        by_hash = {hashes[name]: path for name, path in named.items()}
        sizes = {key: path.stat().st_size for key, path in by_hash.items()}
        state = self._store("missing", {"tree": tree, "files": sizes})
        if not state.stands:
            if absent := {key: path for key, path in by_hash.items() if key in state.missing}:
                self._copy(absent, sizes, state.free)
            self._store("lay", {"tree": tree, "files": sorted(hashes.items())})
        self._trees[tree] = f"{self._folder}/trees/{tree}"
        return self._trees[tree]

    def _copy(self, files: Mapping[str, Path], sizes: Mapping[str, int], free_bytes: int) -> None:
        needed = sum(sizes[key] for key in files)
        if needed > free_bytes:
            raise NotMeasuredError(
                f"the disk of {self._name} is full",
                reason=f"{needed >> 20} MiB have to be copied, {free_bytes >> 20} MiB are free",
                remedy=f"make room there; what landmint keeps lies in {self._folder}",
            )
        with tempfile.TemporaryFile() as payload:
            payload.write(json.dumps([[key, sizes[key]] for key in files]).encode() + b"\n")
            for path in files.values():
                payload.write(path.read_bytes())
            payload.seek(0)
            script = program(self.board.python, _BOOTSTRAP / "store.py", "receive", self._folder)
            self.connection.answer(script, payload, _COPY_S)

    def _store(self, verb: str, request: Mapping[str, object]) -> "_Stored":
        with tempfile.TemporaryFile() as given:
            given.write(json.dumps(request).encode() + b"\n")
            given.seek(0)
            script = program(self.board.python, _BOOTSTRAP / "store.py", verb, self._folder)
            answer = self.connection.answer(script, given)
        try:
            return read_as(_Stored, answer, "the answer")
        except MismatchError as error:
            raise NotMeasuredError(f"{self._name} gave another answer", reason=str(error)) from None

    @cached_property
    def runtime(self) -> str:
        """The source root of the device layer there."""
        files = sorted((RUNTIME_ROOT / "landmint" / "runtime").rglob("*.py"))
        return self.send({str(f.relative_to(RUNTIME_ROOT)): f for f in files})

    def python(self, engine: str) -> str:
        """The interpreter for an engine; its environment is made when there is none yet."""
        if not self._settings.install:
            return self.board.python
        if engine not in self._pythons:
            self._pythons[engine] = self._environment(engine)
        return self._pythons[engine]

    def _environment(self, engine: str) -> str:
        wanted = requirements_of(engine, self._settings.wheels)
        wheels = fetch_wheels(wanted, self.board.platform, self._name)
        tree = self.send({wheel.name: wheel for wheel in wheels})
        (pip,) = (wheel.name for wheel in wheels if wheel.name.startswith("pip-"))
        system = self._settings.system_packages
        place = f"{self._folder}/env/{engine}-{digest([tree, self.board.python, system])[:16]}"
        options = ["--without-pip", *(["--system-site-packages"] if system else [])]
        venv = [self.board.python, "-m", "venv", *options, place]
        install = [f"{place}/bin/python", f"{tree}/{pip}/pip", "install", "--quiet", "--no-index"]
        install += ["--no-cache-dir", "--disable-pip-version-check", "--find-links", tree, *wanted]
        done = shlex.quote(f"{place}/complete")
        lines = [
            f"if test -f {done}; then exit 0; fi",
            f"set -e; rm -rf {shlex.quote(place)}",
            f"{shlex.join(venv)} >&2",
            f"{shlex.join(install)} >&2",
            f": > {done}",
        ]
        self.connection.run("\n".join(lines), timeout_s=_INSTALL_S)
        return f"{place}/bin/python"


@dataclass(frozen=True)
class _Stored:
    """What the store there answers."""

    stands: bool = False
    """Whether the tree is there."""
    missing: tuple[str, ...] = ()
    """Digests of the files that are not."""
    free: int = 0
    """Free bytes."""


class _SshLink(PipeLink):
    """An agent behind ssh, which tells by its exit code how the other side ended."""

    @staticmethod
    def _ending(code: int) -> str:
        if code == _SHELL_LOST:
            return "the connection was lost"
        if code > _SIGNALLED:
            return f"the agent died of {signal_name(code - _SIGNALLED)}"
        return PipeLink._ending(code)
