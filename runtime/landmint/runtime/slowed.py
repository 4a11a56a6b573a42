"""A session that does more work than it must: what the gate is tested with.

Nothing but the gate's self-test asks for it.
"""

import time
from collections.abc import Mapping
from statistics import median

from landmint.runtime.engines.engine import EngineSession, Operator, Tensor, entrance_of
from landmint.runtime.errors import LandmintError
from landmint.runtime.quantised import Quantised

LEARNING_RUNS = 20
"""Runs in which the added work is fitted; a warm-up has more."""
_FIRST_ROUNDS = 10_000


class SlowedSession:
    """A session whose every run is longer by a share of the model's usual run.

    The added work is real: a loop of so many rounds as fill that time. How long a run and a round
    take is learned in the first runs, in processor time: on a busy machine a run may be several
    times as long by the clock, and the loop is then interrupted as the model is. After a model has
    run, a loop is slower than a loop alone; so it is timed where it is used. Both times are
    medians: other work makes most runs and most rounds longer than the quickest, by shares of
    their own.
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
        self.entrance = entrance_of(session)
        """That of the model."""
        self._share = share
        self._run_ns: list[float] = []
        self._round_ns: list[float] = []
        self._rounds = _FIRST_ROUNDS

    @property
    def executed_precision(self) -> str:
        """That of the model."""
        return self._session.executed_precision

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Those of the model."""
        return self._session.operators

    def run(self, tensor: Tensor) -> Mapping[str, Tensor | Quantised]:
        """Run one face, then work on for the share."""
        if len(self._run_ns) == LEARNING_RUNS:  # no clock is read any more: that takes time, too
            outputs = self._session.run(tensor)
            _loop(self._rounds)
            return outputs
        begin = time.process_time_ns()
        outputs = self._session.run(tensor)
        end = time.process_time_ns()
        _loop(self._rounds)
        self._learn(end - begin, (time.process_time_ns() - end) / self._rounds)
        return outputs

    def _learn(self, run_ns: float, round_ns: float) -> None:
        """Fit the number of rounds to the usual run and the usual round."""
        self._run_ns.append(run_ns)
        self._round_ns.append(max(round_ns, 1.0))  # a coarse clock may tell 0
        share = self._share * median(self._run_ns) / median(self._round_ns)
        self._rounds = max(1, round(share))


def _loop(rounds: int) -> None:
    for _ in range(rounds):
        pass
