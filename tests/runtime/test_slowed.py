"""A slowed session gives the model's outputs, later."""

import time

import numpy as np
import pytest

from landmint.runtime import slowed
from landmint.runtime.engines.engine import Operator, Tensor
from landmint.runtime.errors import LandmintError
from landmint.runtime.slowed import LEARNING_RUNS, SlowedSession


class Model:
    """Runs on a pretended clock, on which a round of the loop takes 2 ns."""

    executed_precision = "f32"
    operators = (Operator("Conv", "f32"),)

    def __init__(self, *runs_ns: int) -> None:
        self.now = 0
        self._runs_ns = list(runs_ns)

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        self.now += self._runs_ns.pop(0)
        return {"coordinates": tensor * 2}

    def read(self) -> int:
        return self.now

    def loop(self, rounds: int) -> None:
        self.now += 2 * rounds


@pytest.mark.parametrize("share", [0.05, 0.1, 1.0])
def test_the_added_work_is_a_share_of_the_usual_run(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(3000, 1000, *[2000] * LEARNING_RUNS, 1500, 50_000)
    monkeypatch.setattr(time, "process_time_ns", model.read)
    monkeypatch.setattr(slowed, "_loop", model.loop)
    session = SlowedSession(model, share)
    took = []
    for _ in range(LEARNING_RUNS + 4):
        begin = model.now
        outputs = session.run(np.ones(3, np.float32))
        took.append(model.now - begin)
    np.testing.assert_array_equal(outputs["coordinates"], np.full(3, 2, np.float32))
    added = 2000 * share
    assert took[4:] == pytest.approx(
        [*[2000 + added] * (LEARNING_RUNS - 2), 1500 + added, 50_000 + added], abs=2
    )


def test_it_tells_what_the_model_tells() -> None:
    slowed = SlowedSession(Model(), 0.03)
    assert (slowed.executed_precision, slowed.operators) == ("f32", Model.operators)
    with pytest.raises(LandmintError, match="a slowdown of -0.1 is not positive"):
        SlowedSession(Model(), -0.1)
