"""Findings of all kinds of targets: from what a device layer says, and what stops a visit.

`python -m landmint.runtime machine` and `engines` are asked by the target itself.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.machine import Machine
from landmint.targets.profile import Profile
from landmint.targets.target import Finding

_SIGNS = 300


def machine_findings(profile: Profile, printed: str) -> tuple[Finding, ...]:
    """Findings on the machine, from what `machine` printed."""
    try:
        machine = Machine.from_json(_content(printed))
    except (KeyError, TypeError, ValueError):
        return (Finding("device layer", "it does not start", "landmint doctor", stops=True),)
    try:
        profile.check_architecture(machine.architecture)
        fit = Finding("processor", f"{machine.name}, {machine.architecture}")
    except LandmintError as error:
        fit = Finding("processor", error.fact, f"{error.reason}; {error.remedy}", stops=True)
    python = Finding("Python", machine.python)
    governor = Finding("governor", machine.governor or "not told")
    return (fit, Finding("cores", str(machine.cores)), python, governor)


def engine_findings(profile: Profile, printed: str) -> tuple[Finding, ...]:
    """Findings on the engines that fit the profile, from what `engines` printed."""
    try:
        engines = _content(printed)
    except ValueError:
        return ()
    return tuple(
        _engine_finding(name, state)
        for name, state in engines.items()
        if name != "null" and (not profile.engines or name in profile.engines)
    )


def disk_finding(free_mib: int | None, profile: Profile) -> Finding:
    """Whether there is room where landmint keeps its files."""
    needed = profile.limits.free_disk_mib
    if free_mib is None:
        return Finding("disk", "free space is not told")
    if free_mib < needed:
        remedy = f"make room for {needed} MiB there"
        return Finding("disk", f"{free_mib} MiB are free", remedy, stops=True)
    return Finding("disk", f"{free_mib} MiB are free")


def refuse(name: str, findings: Iterable[Finding]) -> None:
    """Refuse a target on which nothing can be measured.

    Raises:
        NotMeasuredError: a finding stops it; the message has all that do.
    """
    stops = [finding for finding in findings if finding.stops]
    if stops:
        raise NotMeasuredError(
            f"{name} cannot measure",
            reason="; ".join(f"{finding.what}: {finding.state}" for finding in stops),
            remedy="; ".join(finding.remedy for finding in stops if finding.remedy),
        )


def _engine_finding(name: str, state: Any) -> Finding:
    if not isinstance(state, Mapping):
        return Finding(name, "not understood")
    if "version" in state:
        return Finding(name, str(state["version"])[:_SIGNS])
    return Finding(name, str(state.get("missing"))[:_SIGNS], str(state.get("remedy"))[:_SIGNS])


def _content(printed: str) -> dict[str, Any]:
    """The object of JSON in the last line.

    Raises:
        ValueError: there is none.
    """
    lines = printed.strip().splitlines()
    content = json.loads(lines[-1] if lines else "")
    if not isinstance(content, dict):
        raise ValueError("no object")
    return content
