"""A session that does more work than it must: what the gate is tested with.

Nothing but the gate's self-test asks for it.
"""

import time

from landmint.runtime.engines.engine import EngineSession, Operator, Tensor
from landmint.runtime.errors import LandmintError

_CALIBRATION_ROUNDS, _CALIBRATION_LOOPS = 20, 10_000


class SlowedSession:
    """A session whose every run is longer by a share of the model's quickest run so far.

    The added work is real: a loop of so many rounds as fill that time on an idle processor. On a
    busy machine it takes longer, as the model itself does. The model's own time is that of the
    processor: by the clock, every run may be several times as long there.
    """

    def __init__(self, session: EngineSession, share: float) -> None:
        """Slow a session down.

        Args:
            session: the model.
            share: such as 0.05 for runs that are 5 % longer.

        Raises:
            LandmintError: the share is not positive.
        """
        if not share > 0:
            raise LandmintError(f"a slowdown of {share} is not positive")
        self._session = session
        self._loops_per_ns = share / min(_timed_loops() for _ in range(_CALIBRATION_ROUNDS))
        self._quickest_ns: float = float("inf")

    @property
    def executed_precision(self) -> str:
        """That of the model."""
        return self._session.executed_precision

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Those of the model."""
        return self._session.operators

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run one face, then work on for the share."""
        begin = time.process_time_ns()
        outputs = self._session.run(tensor)
        self._quickest_ns = min(self._quickest_ns, time.process_time_ns() - begin)
        _loop(round(self._loops_per_ns * self._quickest_ns))
        return outputs


def _loop(rounds: int) -> None:
    for _ in range(rounds):
        pass


def _timed_loops() -> float:
    """Nanoseconds that one round takes."""
    begin = time.process_time_ns()
    _loop(_CALIBRATION_LOOPS)
    return (time.process_time_ns() - begin) / _CALIBRATION_LOOPS
