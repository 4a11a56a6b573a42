"""Where engines run: this host, or nothing at all; boards and phones keep the same protocol.

It knows the device layer and no stage: it neither trains nor converts, and judges nothing.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from landmint.runtime.errors import LandmintError
from landmint.targets.target import Link, Target

__all__ = ["TARGETS", "Link", "Target", "load_target"]

TARGETS: Mapping[str, str] = MappingProxyType(
    {
        "host": "landmint.targets.host:HostTarget",
        "null": "landmint.targets.null:NullTarget",
    }
)


def load_target(name: str) -> Target:
    """The target called `name`.

    Raises:
        LandmintError: there is no such target.
    """
    if name not in TARGETS:
        raise LandmintError(f"unknown target '{name}'", choices=TARGETS)
    module, attribute = TARGETS[name].split(":")
    target: Target = getattr(importlib.import_module(module), attribute)()
    return target
