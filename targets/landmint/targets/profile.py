"""Profiles: one TOML file for each device, which says how it is reached and what fits it.

landmint's own lie in `profiles/`; a user's in a folder of theirs, or anywhere by their path. What a
profile says is carried out by its transport. Nothing is reached here.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.typed_json import MismatchError, read_as

T = TypeVar("T")
SHIPPED = Path(__file__).parent / "profiles"
"""The folder of landmint's own profiles."""
SUFFIX = ".toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
_CORES = re.compile(r"(\d+(-\d+)?(,\d+(-\d+)?)*)?")
_BASE = "base"


@dataclass(frozen=True)
class Limits:
    """What a device must have, or must not exceed, for a visit to begin."""

    free_disk_mib: int = 0
    """Space that must be free there before anything is installed."""
    start_below_c: float | None = None
    """Hottest that the processor may be when a visit begins; a visit waits for it to cool."""


@dataclass(frozen=True)
class Hygiene:
    """How a device is prepared for a visit; afterwards it is as it was."""

    governor: str = ""
    """Frequency governor that is set for the visit, where that is allowed; empty to leave it."""


@dataclass(frozen=True)
class Profile:
    """A device: how it is reached, and what fits it."""

    name: str
    """What the target is called: the file's name without its suffix."""
    about: str
    """A line for people: what it is."""
    transport: str
    """Registry name of the way to reach it."""
    address: str = ""
    """Where it is, as the transport writes it, such as "pi@raspberrypi.local" for ssh."""
    architectures: tuple[str, ...] = ()
    """What `uname -m` may say there; empty for anything."""
    engines: tuple[str, ...] = ()
    """Registry names of the engines that fit it; empty for all."""
    threads: int | None = None
    """Most threads of one inference; None for any number."""
    cores: str = ""
    """Numbers of the cores that agents may use, such as "2-3"; empty for all."""
    limits: Limits = Limits()
    """What it must have, or must not exceed."""
    hygiene: Hygiene = Hygiene()
    """How it is prepared."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What its transport alone knows."""

    def __post_init__(self) -> None:
        """Refuse a name or cores that other programs would read as something else.

        Raises:
            MismatchError: they have another form.
        """
        if not _NAME.fullmatch(self.name):
            raise MismatchError(f"the name {self.name!r} has other signs than letters, . _ and -")
        if not _CORES.fullmatch(self.cores):
            raise MismatchError(f'cores = "{self.cores[:80]}" is not such as "2-3" or "0,2"')

    def check_architecture(self, architecture: str) -> None:
        """Refuse a machine that the profile is not for.

        Raises:
            NotMeasuredError: its architecture is another.
        """
        if self.architectures and architecture not in self.architectures:
            raise NotMeasuredError(
                f"the machine of {self.name} is {architecture[:80]}",
                reason=f"the profile is for {' and '.join(self.architectures)}",
                remedy="choose the profile of this machine; see `landmint targets`",
            )

    def check_start(self, engine: str, threads: int) -> None:
        """Refuse what does not fit the device.

        Raises:
            LandmintError: more threads than it allows.
            NotMeasuredError: an engine that is not meant for it.
        """
        if self.threads is not None and threads > self.threads:
            raise LandmintError(
                f"{threads} threads",
                reason=f"an inference on {self.name} gets {self.threads} at most",
                remedy="ask for fewer, or write a profile with more",
            )
        if self.engines and engine not in (*self.engines, "null"):
            raise NotMeasuredError(
                f"{engine} is not meant for {self.name}",
                reason=f"its profile names {', '.join(self.engines)}",
            )


def own_folder() -> Path:
    """The folder of the user's own profiles, which need not be there."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "landmint" / "targets"


def profile_files() -> dict[str, Path]:
    """The file of each profile by its name; a user's stands in for landmint's of the same name."""
    files = [*sorted(SHIPPED.glob(f"*{SUFFIX}")), *sorted(own_folder().glob(f"*{SUFFIX}"))]
    return {path.stem: path for path in files}


def read_profile(path: Path, address: str = "") -> Profile:
    """Read a profile.

    It may name another as its `base`, one of landmint's own, and then says only what differs.

    Args:
        path: its file.
        address: where the device is, if that is not where the profile says.

    Raises:
        LandmintError: it cannot be read, or a key is missing, unknown or of another type.
    """
    try:
        given = {"name": path.stem, **({"address": address} if address else {})}
        return read_as(Profile, {**_content(path), **given}, "the profile")
    except MismatchError as error:
        raise LandmintError(
            f"{path} is no profile",
            reason=str(error),
            remedy="docs/targets.md has all keys",
        ) from None


def read_settings(kind: type[T], profile: Profile) -> T:
    """What a profile says to its transport alone, as the dataclass `kind`.

    Raises:
        LandmintError: a key is missing, unknown or of another type.
    """
    try:
        return read_as(kind, profile.settings, "settings")
    except MismatchError as error:
        raise LandmintError(
            f"the profile {profile.name} is wrong",
            reason=str(error),
            remedy="docs/targets.md has all keys",
        ) from None


def _content(path: Path) -> dict[str, Any]:
    """What a file says, on top of what its base says; tables are joined key by key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LandmintError(f"cannot read the profile {path}", reason=str(error)) from None
    base = content.pop(_BASE, None)
    if base is None:
        return content
    bases = {file.stem: file for file in sorted(SHIPPED.glob(f"*{SUFFIX}"))}
    if not isinstance(base, str) or base not in bases:
        raise LandmintError(f"{path} has the base {base!r}"[:200], choices=bases)
    merged = _content(bases[base])
    for key, value in content.items():
        known = merged.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            value = {**known, **value}
        merged[key] = value
    return merged
