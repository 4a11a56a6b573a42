"""The transport "adb": Android phones. See `landmint.targets.adb`."""

import contextlib
import secrets
import shlex
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from landmint.runtime.agent import Agent, Answer, Request
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import atomic_path, digest, sha256_file
from landmint.targets.adb.agent import PhoneAgent
from landmint.targets.adb.client import MARK, Phone, find_serial
from landmint.targets.adb.facts import HEAT, Facts, findings, question, read_facts
from landmint.targets.adb.session import Bench, PhoneEngine
from landmint.targets.probing import refuse
from landmint.targets.processes import Tail, end_gently, find_line, start_aside
from landmint.targets.profile import Profile, read_settings
from landmint.targets.target import Finding, Link, unwrap

_HELD, _BUSY = f"{MARK}held", f"{MARK}busy"
_HOLD_S = 60
_FIXED = "cmd power set-fixed-performance-mode-enabled"


@dataclass(frozen=True)
class AdbSettings:
    """What `settings` of a profile says to this transport."""

    benchmark_model: str = "/data/local/tmp/benchmark_model"
    """TFLite's tool: a file here, which is copied, or else its path on the phone."""
    folder: str = "/data/local/tmp/landmint"
    """Where landmint keeps its files on the phone."""


class AdbTarget:
    """A phone that is reached by adb; it is not reached before it is needed."""

    no_times = ""
    parallel = 1

    def __init__(self, profile: Profile) -> None:
        """Read the settings.

        Raises:
            LandmintError: they are wrong, or the profile asks for what a phone does not let do.
        """
        self.name = profile.name
        self._profile = profile
        self._settings = read_settings(AdbSettings, profile)
        if profile.hygiene.governor or profile.limits.start_below_c is not None:
            raise LandmintError(
                f"{profile.name} has hygiene.governor or limits.start_below_c",
                reason="a phone lets no program set its governor, and its heat has a limit already",
                remedy="leave these out of its profile",
            )
        self._visit: _Visit | None = None

    def probe(self) -> tuple[Finding, ...]:
        """Ask the phone's shell, as `Probed.probe` says."""
        phone = self._find()
        own = self._own_tool
        tool = "" if own else self._settings.benchmark_model
        facts = _ask(phone, self._settings)
        known = (Finding("adb", f"{phone.serial} is connected, and allows this computer"),)
        copied = (Finding("benchmark_model", f"{own}, which a visit copies"),) if own else ()
        return (*known, *copied, *findings(facts, self._profile, tool))

    def push(self, local: Path) -> str:
        """Copy a file or folder, as `Target.push` says, unless its content is there."""
        return self._phone().push(local)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the phone, as `Target.pull` says."""
        with atomic_path(local) as fresh:
            self._phone().bench.phone.pull(remote, fresh)

    def start(self, bundle: str, variant: str, threads: int, timeout_s: float) -> Link:
        """Start an agent, as `Target.start` says: here, for a model there."""
        visit = self._phone()
        if bundle not in visit.sources:
            raise LandmintError(f"{bundle[:200]} was not copied to {self.name}")
        opened = Bundle.open(visit.sources[bundle], verify=False)
        chosen = opened.variant(variant)
        opened.entry(chosen)
        self._profile.check_start(chosen.engine, threads)
        if chosen.engine == "null":
            return _AdbLink(Agent(opened.path, variant, threads), visit)
        if chosen.engine != PhoneEngine.name:
            raise NotMeasuredError(
                f"{chosen.engine} does not run on {self.name}",
                reason="over adb, models run in benchmark_model, which knows TFLite alone",
                remedy="choose the variants of tflite",
            )
        mask = visit.facts.mask(self._profile.cores, threads)
        engine = PhoneEngine(visit.bench, f"{bundle}/{chosen.files[0]}", mask)
        return _AdbLink(PhoneAgent(opened.path, variant, threads, engine), visit)

    @property
    def _own_tool(self) -> Path | None:
        """benchmark_model, where it is a file here."""
        file = Path(self._settings.benchmark_model).expanduser()
        return file if file.is_file() else None

    def _find(self) -> Phone:
        return Phone(self.name, find_serial(self.name, self._profile.address))

    def _phone(self) -> "_Visit":
        """The visit; it begins anew when the phone was lost."""
        if self._visit is None or not self._visit.alive:
            phone = self._find()
            facts = _ask(phone, self._settings)
            own = self._own_tool
            report = findings(facts, self._profile, "" if own else self._settings.benchmark_model)
            refuse(self.name, (finding for finding in report if finding.what != HEAT))
            self._visit = _Visit(phone, facts, self._settings, own)
        return self._visit


def _ask(phone: Phone, settings: AdbSettings) -> Facts:
    return read_facts(phone.run(question(settings.benchmark_model, settings.folder)))


class _Visit:
    """A phone that is fit, and held for us."""

    def __init__(
        self, phone: Phone, facts: Facts, settings: AdbSettings, own_tool: Path | None
    ) -> None:
        """Hold the phone; copy benchmark_model, where that is a file here."""
        self.facts = facts
        self.sources: dict[str, Path] = {}
        """What was copied there, by its path there."""
        self._root = settings.folder
        folder = f"{settings.folder}/visit-{secrets.token_hex(6)}"
        self._held = _Held(phone, settings.folder, folder)
        path, sha256 = settings.benchmark_model, facts.tool_sha256
        self.bench = Bench(phone, facts.machine(self._held.fixed), path, sha256, folder)
        if own_tool is not None:
            path, sha256 = self.push(own_tool), sha256_file(own_tool)
            phone.run(f"chmod 755 {shlex.quote(path)}")
            self.bench = Bench(phone, self.bench.machine, path, sha256, folder)

    @property
    def alive(self) -> bool:
        """Whether the phone is still held."""
        return self._held.alive

    def push(self, local: Path) -> str:
        """Copy a file or folder to a place that its content names; returns its path there."""
        if local.is_dir():
            content: Mapping[str, str] | str = {
                str(file.relative_to(local)): sha256_file(file)
                for file in sorted(local.rglob("*"))
                if file.is_file()
            }
        else:
            content = sha256_file(local)
        remote = f"{self._root}/{digest(content)}"
        if remote not in self.sources:
            self._copy(local, remote)
            self.sources[remote] = local.resolve()
        return remote

    def _copy(self, local: Path, remote: str) -> None:
        """Copy what is not there yet; it is there whole or not at all."""
        phone, final, part = self.bench.phone, shlex.quote(remote), f"{remote}.part"
        fresh = shlex.quote(part)
        make = f"mkdir -p {fresh}" if local.is_dir() else "true"
        asked = phone.run(f"test -e {final} && echo {MARK}there || (rm -rf {fresh}; {make})")
        if f"{MARK}there" not in asked:
            phone.push(local, part)
            phone.run(f"mv {fresh} {final}")


class _Held:
    """A shell of the phone that holds it until this object, or this process, ends: in any way."""

    def __init__(self, phone: Phone, root: str, folder: str) -> None:
        """Hold it: at fixed performance, where it can do that, with a folder for this visit.

        Raises:
            NotMeasuredError: another landmint holds it, or it was lost.
        """
        self._process = start_aside(phone.command(_hold(root, folder)))
        weakref.finalize(self, end_gently, self._process)
        late = threading.Timer(_HOLD_S, self._process.kill)
        late.start()
        errors = Tail(self._process.stderr)
        try:
            greeting = find_line(self._process.stdout, lambda line: line.startswith(MARK.encode()))
        finally:
            late.cancel()
        words = greeting.decode("utf-8", "replace").strip()
        if words == _BUSY:
            raise NotMeasuredError(f"another landmint is visiting {phone.name}")
        if not words.startswith(_HELD):
            raise NotMeasuredError(f"{phone.name} cannot be held", reason=errors.text())
        self.fixed = words != _HELD
        """Whether the phone runs at fixed performance."""

    @property
    def alive(self) -> bool:
        return self._process.poll() is None


def _hold(root: str, folder: str) -> str:
    """The script that holds a phone; it ends with its standard input, or with its connection."""
    visit, lock = shlex.quote(folder), shlex.quote(f"{root}/visit.lock")
    return "\n".join(
        [
            "trap 'exit 1' HUP INT TERM PIPE",
            f"mkdir -p {shlex.quote(root)} && exec 9>{lock} || exit 1",
            f"flock -n 9; if [ $? = 1 ]; then echo {_BUSY}; exit; fi",
            f"trap {shlex.quote(f'{_FIXED} false >/dev/null 2>&1; rm -rf {visit}')} EXIT",
            f"mkdir {visit} || exit 1",
            f"if {_FIXED} true >&2; then echo {_HELD} fixed; else echo {_HELD}; fi",
            "cat > /dev/null",
        ]
    )


class _AdbLink:
    """An agent of this process, told of files by their paths on the phone."""

    def __init__(self, agent: Agent, visit: _Visit) -> None:
        self._agent, self._visit = agent, visit
        self._closed = False
        self.hello = unwrap(agent.hello())

    def ask(self, request: Request, timeout_s: float) -> Answer:
        """Answer one request, as `Link.ask` says."""
        phone, sources = self._visit.bench.phone, self._visit.sources
        if self._closed:
            raise NotMeasuredError(f"the agent of {phone.name} was ended")
        phone.adb.deadline = time.monotonic() + timeout_s
        here = dict(request)
        if "crops" in request:
            here["crops"] = str(sources.get(request["crops"], request["crops"]))
        with tempfile.TemporaryDirectory(prefix="landmint-adb-") as folder:
            if "points" in request:
                here["points"] = str(Path(folder) / "points.npy")
            try:
                answer = unwrap(self._agent.handle(here))
                if "points" in request:
                    phone.push(Path(here["points"]), request["points"])
                return answer
            finally:
                phone.adb.deadline = float("inf")

    def close(self) -> None:
        """End what runs there for it; never raises."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._visit.bench.phone.adb.stop()
