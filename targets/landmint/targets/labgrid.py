"""The transport "labgrid": a place of a laboratory, as labgrid's environment file describes it.

labgrid says where the board is and with which key it is reached, and switches it off and on; the
rest is that of the transport "ssh". Host keys are checked, which labgrid's own connections do not.
https://labgrid.readthedocs.io
"""

import contextlib
import re
import shlex
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from landmint.runtime.errors import NotMeasuredError
from landmint.targets.profile import Profile
from landmint.targets.ssh import SshSettings, SshTarget
from landmint.targets.ssh_connection import Connection, NoAnswerError

_RETRY_S = 5.0
_WORD = re.compile(r"[A-Za-z0-9_.:%-]+")
_USERS = "~/.ssh/config"


@dataclass(frozen=True)
class LabgridSettings(SshSettings):
    """What `settings` of a profile says to this transport, beside what ssh takes."""

    role: str = "main"
    """Which target of the environment file."""
    cycle: bool = False
    """Whether a board that does not answer is switched off and on, by its power driver."""
    boot_s: float = 120
    """Longest wait for a board to answer after that."""


@dataclass(frozen=True)
class Way:
    """How ssh reaches a place."""

    address: str
    """Such as "ssh://pi@10.0.0.7:22"."""
    key: str = ""
    """File of the private key; those of the user when empty."""
    proxy: tuple[str, ...] = ()
    """Command through which the exporter passes the connection on; empty for none."""

    def config(self, included: str) -> str:
        """A file of ssh's configuration that goes this way, else by what is included."""
        lines = ["Host *"]
        if self.key:
            lines += [f'IdentityFile "{self.key}"', "IdentitiesOnly yes"]
        if self.proxy:
            lines.append(f"ProxyCommand {shlex.join(self.proxy).replace('%', '%%')}")
        return "\n".join([*lines, f'Include "{included}"', ""])


class LabgridTarget(SshTarget):
    """A board of a laboratory; its place is looked up when it is needed."""

    settings_kind = LabgridSettings

    def __init__(self, profile: Profile) -> None:
        """Read the settings, as `SshTarget` does; its address is the environment file."""
        super().__init__(profile)
        self._folder = Path(tempfile.mkdtemp(prefix="landmint-labgrid-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def _connect(self) -> Connection:
        settings = self._settings
        assert isinstance(settings, LabgridSettings)
        try:
            return self._reach()
        except NoAnswerError:
            if not settings.cycle:
                raise
        with _labgrid(self._profile.address, f"cycles the power of {settings.role}"):
            self._place.get_driver("PowerProtocol").cycle()
        end = time.monotonic() + settings.boot_s
        while True:
            try:
                return self._reach()
            except NoAnswerError:
                if time.monotonic() > end:
                    raise
                time.sleep(_RETRY_S)

    def _reach(self) -> Connection:
        way = self._way
        config = self._folder / "config"
        config.write_text(way.config(self._settings.config or _USERS), encoding="utf-8")
        return Connection(self.name, way.address, str(config))

    @cached_property
    def _place(self) -> Any:
        """The target of labgrid, all its drivers made and none active."""
        settings, file = self._settings, self._profile.address
        assert isinstance(settings, LabgridSettings)
        with _labgrid(file, f"gives {settings.role}"):
            from labgrid import Environment

            place = Environment(file).get_target(settings.role)
        if place is None:
            raise NotMeasuredError(
                f"{file} has no target '{settings.role}'", remedy="name another as `settings.role`"
            )
        return place

    @cached_property
    def _way(self) -> Way:
        with _labgrid(self._profile.address, "tells how to reach the place"):
            driver = self._place.get_driver("SSHDriver", activate=False)
            self._place.await_resources([driver.networkservice])
            return _way_of(driver)


def _way_of(driver: Any) -> Way:
    """From labgrid's SSHDriver and its resource NetworkService."""
    from labgrid.util.proxy import proxymanager

    service = driver.networkservice
    user, address = driver.username or service.username, str(service.address)
    for word in (user, address):
        if not _WORD.fullmatch(word):
            raise ValueError(f"{word!r} is neither a user nor an address")
    host, _, interface = address.partition("%")
    proxy = proxymanager.get_command(service, host, service.port, interface or None) or ()
    key = driver.target.env.config.resolve_path(driver.keyfile) if driver.keyfile else ""
    place = f"[{address}]" if ":" in address else address
    return Way(f"ssh://{user}@{place}:{service.port}", key, tuple(proxy))


@contextlib.contextmanager
def _labgrid(file: str, what: str) -> Iterator[None]:
    """Turn what labgrid raises into one message.

    Raises:
        NotMeasuredError: labgrid is not installed, or refused.
    """
    try:
        yield
    except ImportError as error:
        raise NotMeasuredError(
            "labgrid cannot be imported here",
            reason=str(error),
            remedy="pip install 'landmint[labgrid]'",
        ) from None
    except NotMeasuredError:
        raise
    except Exception as error:  # labgrid and its drivers raise types of their own
        raise NotMeasuredError(
            f"labgrid does not do it: {file} {what}",
            reason=" ".join(f"{type(error).__name__}: {error}".split())[:400],
            remedy="try `labgrid-client` with the same file; a place of a coordinator has to be "
            "acquired first",
        ) from None
