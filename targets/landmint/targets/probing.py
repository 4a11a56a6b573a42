"""What a target's device layer says of the device, as findings.

`python -m landmint.runtime machine` and `engines` are asked by the target itself.
"""

import json
from collections.abc import Mapping
from typing import Any

from landmint.runtime.errors import LandmintError
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
