"""An agent in a process of its own, held to few cores while it is timed.

The cores of a machine differ in speed by what runs beside them, on a shared one by several percent
for minutes. Builds that take turns on different cores would differ by as much; on the same core,
other work slows both alike.
"""

import os
from collections.abc import Sequence

from landmint.runtime.agent import Agent, Answer, Request
from landmint.runtime.engines.built import Builder
from landmint.runtime.machine import usable_cores


class PinnedAgent(Agent):
    """An agent whose process may be held to as many cores as an inference has threads."""

    def load(self, request: Request) -> Answer:
        """Load the model, as `Agent.load` says.

        {draw: a number from 0 to 1 that chooses the cores; without it the process keeps all}

        The cores are chosen before the engine starts its threads. An engine that builds plans keeps
        all cores: a build takes minutes on one, and the runs are another processor's.
        """
        if "draw" in request and not isinstance(self._engine, Builder):
            cores = drawn_cores(usable_cores(), self._threads, float(request["draw"]))
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, cores)
        return super().load(request)


def drawn_cores(cores: Sequence[int], count: int, draw: float) -> tuple[int, ...]:
    """So many neighbouring cores, wherever the draw falls; all of them where there are no more.

    Args:
        cores: numbers of those that may be used.
        count: how many.
        draw: from 0 to 1; the same draw gives the same cores.

    Example:
        >>> drawn_cores((0, 1, 2, 3), 2, 0.75)
        (3, 0)
    """
    first = min(int(draw * len(cores)), len(cores) - 1)
    return tuple(dict.fromkeys(cores[(first + i) % len(cores)] for i in range(count)))
