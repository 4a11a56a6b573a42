"""Targets: the places where engines run and are measured. Here are this host and a dry run.

Targets for boards and phones keep the same protocol. A target knows only the device layer: it does
not train, convert or judge.
"""

from landmint.runtime.registry import Registry
from landmint.targets.target import Link, Target

__all__ = ["TARGETS", "Link", "Target", "load_target"]

TARGETS = Registry(
    {
        "host": "landmint.targets.host:HostTarget",
        "null": "landmint.targets.null:NullTarget",
    },
    kind="target",
    group="landmint.targets",
)


def load_target(name: str) -> Target:
    """The target called `name`.

    Raises:
        LandmintError: there is no such target, or the package that adds it is broken.
    """
    target: Target = TARGETS.load(name)()
    return target
