"""Where engines run: this host, or nothing at all; boards and phones keep the same protocol.

It knows the device layer and no stage: it neither trains nor converts, and judges nothing.
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
