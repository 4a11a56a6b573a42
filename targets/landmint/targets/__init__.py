"""Targets: the places where engines run and are measured, each told by a profile.

A profile (`landmint.targets.profile`) says what a device is and names the transport that reaches
it; the transports stand here. A target knows only the device layer: it does not train, convert or
judge.
"""

from collections.abc import Callable
from pathlib import Path

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.progress import Progress
from landmint.runtime.registry import Registry
from landmint.targets.profile import SUFFIX, Profile, profile_files, read_profile
from landmint.targets.target import Link, Target

__all__ = [
    "ADDED",
    "SET_UPS",
    "TRANSPORTS",
    "Link",
    "Profile",
    "Target",
    "check_target",
    "find_profile",
    "known_targets",
    "load_target",
    "set_up_target",
    "transport_of",
]

TRANSPORTS = Registry(
    {
        "local": "landmint.targets.host:host_target",
        "null": "landmint.targets.null:NullTarget",
        "ssh": "landmint.targets.ssh:SshTarget",
        "labgrid": "landmint.targets.labgrid:LabgridTarget",
        "emulated": "landmint.targets.emulated.target:EmulatedTarget",
        "adb": "landmint.targets.adb.target:AdbTarget",
    },
    kind="transport",
    group="landmint.transports",
)
"""Functions or classes that take a `Profile` and return a `Target`."""

SET_UPS = Registry(
    {"emulated": "landmint.targets.emulated.target:set_up_profile"},
    kind="transport to set up",
    group="landmint.set_ups",
)
"""Functions that prepare this machine for a transport; others need nothing prepared. They take a
`Profile` and a `Progress`, and return what there is then, in a line for people."""

ADDED = Registry({}, kind="target", group="landmint.targets")
"""Targets of other packages, which need no profile: functions or classes without arguments."""


def load_target(given: str) -> Target:
    """The target that somebody names; nothing is reached yet.

    Args:
        given: the name of a profile or of another package's target, or a profile's file; an
            address may follow after a colon, such as "rpi5:pi@raspberrypi.local".

    Raises:
        LandmintError: there is no such target, its profile is wrong, or the package that adds it
            is broken.
        NotMeasuredError: this landmint cannot reach such devices.
    """
    if given in ADDED:
        target: Target = ADDED.load(given)()
        return target
    profile = find_profile(given)
    return transport_of(profile)(profile)


def set_up_target(given: str, progress: Progress) -> str:
    """Prepare this machine for the target that somebody names; returns a line for people.

    Raises:
        LandmintError: there is no such target, or its profile is wrong.
        NotMeasuredError: something is missing here that landmint does not fetch.
    """
    profile = find_profile(given)
    if profile.transport not in SET_UPS:
        return f"{profile.name} needs nothing to be prepared here"
    line: str = SET_UPS.load(profile.transport)(profile, progress)
    return line


def find_profile(given: str) -> Profile:
    """The profile that somebody names, as in `load_target`, with the address that they gave.

    Raises:
        LandmintError: there is none, or it is wrong.
    """
    name, _, address = given.partition(":")
    file = Path(name) if name.endswith(SUFFIX) else profile_files().get(name)
    if file is None:
        raise LandmintError(f"unknown target '{name}'", choices=known_targets())
    return read_profile(file, address)


def transport_of(profile: Profile) -> Callable[[Profile], Target]:
    """What makes a target of a profile.

    Raises:
        NotMeasuredError: there is no such transport.
    """
    if profile.transport not in TRANSPORTS:
        raise NotMeasuredError(
            f"{profile.name} is reached by {profile.transport}",
            reason="this landmint has no such transport",
            choices=known_targets(),
        )
    make: Callable[[Profile], Target] = TRANSPORTS.load(profile.transport)
    return make


def known_targets() -> tuple[str, ...]:
    """Names of the targets that can be reached: of profiles with a transport, and of packages.

    A profile that cannot be read is among them: what is wrong with it is told when it is used.
    """
    return (*(name for name, file in profile_files().items() if _has_way(file)), *ADDED)


def check_target(given: str) -> str:
    """What somebody names as a target, if it is one; a file is read only when it is used.

    Raises:
        LandmintError: it is none, or cannot be reached.
    """
    name = given.partition(":")[0]
    if name.endswith(SUFFIX) or name in known_targets():
        return given
    transport_of(find_profile(given))
    return given


def _has_way(file: Path) -> bool:
    try:
        return read_profile(file).transport in TRANSPORTS
    except LandmintError:
        return True
