"""Minutes without a pause: a board that heats up and throttles, one that dies, this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from landmint.runtime.agent import Answer
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import LatencyConfig
from landmint.runtime.measurement import Measurement, read_measurements
from landmint.runtime.sustained import Sustained, summarise_sustained
from landmint.targets import Target, load_target, sustained
from landmint.targets.measure import measure_bundle
from landmint.targets.sustained import check_minutes
from tests.targets.scripted import ScriptedTarget

Crops = Callable[[int], Path]
QUICK = LatencyConfig(
    launches=1, samples=4, seconds=0.2, block_ms=1, block_runs=3, warm_ms=5, timeout_s=600
)
VARIANT = "onnx/float32"
HOT_C = 80.0


class Board:
    """Heats up while it runs and cools while it rests; its clock falls when it is hot."""

    def __init__(self, target: ScriptedTarget) -> None:
        self.heat_c, self.now_s = 55.0, 7e6
        self.rested: list[float] = []
        target.times = {VARIANT: lambda: [2.0] * 5}
        target.temperature_c = lambda: self.heat_c
        target.moments = self.moments()

    def moments(self) -> Iterator[Answer]:
        while True:
            hot = self.heat_c >= HOT_C
            clock_mhz = 1500.0 if hot else 2400.0
            begun_s = self.now_s
            samples = [2.0 * 2400 / clock_mhz] * 500
            self.now_s += sum(samples) / 1000
            self.heat_c = min(HOT_C, self.heat_c + 0.25)
            told = {"begun_s": begun_s, "samples_ms": samples, "frequency_mhz": clock_mhz}
            yield told | {"temperature_c": self.heat_c, "throttled": ["throttled"] * hot}

    def rest(self, seconds: float) -> None:
        self.rested.append(self.heat_c)
        self.heat_c = 40 + (self.heat_c - 40) * 0.8


def measured(
    target: Target, bundle: Bundle, crops: Path, folder: Path, minutes: float
) -> Measurement:
    measure_bundle(target, bundle, (VARIANT,), crops, QUICK, folder, minutes=minutes)
    (stored,) = read_measurements(folder)
    return stored


@pytest.fixture
def target() -> ScriptedTarget:
    return ScriptedTarget({})


@pytest.fixture
def board(target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board(target)
    monkeypatch.setattr(sustained, "sleep", board.rest)
    return board


def _run(raw: Measurement) -> Sustained:
    assert raw.sustained is not None
    return raw.sustained


def test_a_board_that_heats_up_and_throttles(
    target: ScriptedTarget, board: Board, bundle: Bundle, write_crops: Crops, tmp_path: Path
) -> None:
    raw = measured(target, bundle, write_crops(2), tmp_path / "m", 10)
    run = _run(raw)
    told = summarise_sustained(run)
    assert raw.status == "measured" and raw.latency is not None and not run.cut
    assert told is not None and told.throttled_by == "the firmware: throttled"
    seconds = float(run.begun_s[np.flatnonzero(run.throttled)[0]])
    assert told.throttled_s == pytest.approx(seconds) and 60 < seconds < 200
    assert 600 <= told.seconds < 602, "as long as was asked for, by the board's own clock"
    steady = told.phase("steady")
    assert steady is not None and seconds <= steady.begun_s < seconds + 8
    assert steady.p50_ms / told.phases[0].p50_ms == pytest.approx(1.6)
    assert target.open == 0
    assert ("onnx/float32", "sustain") == target.requests[-1]


def test_it_tells_how_far_it_is(
    target: ScriptedTarget, board: Board, bundle: Bundle, write_crops: Crops, tmp_path: Path
) -> None:
    shown: list[tuple[int, int, str]] = []

    class Shown:
        def at(self, done: int, total: int, note: str = "") -> None:
            shown.append((done, total, note))

        def step(self, note: str) -> None: ...

    crops = write_crops(2)
    measure_bundle(target, bundle, (VARIANT,), crops, QUICK, tmp_path / "m", Shown(), minutes=0.1)
    assert shown[-3:-1] == [
        (5, 6, "onnx/float32: 2.00 ms, 43 C"),
        (6, 6, "onnx/float32: 2.00 ms, 43 C"),
    ]


def test_before_it_the_board_rests_until_it_no_longer_cools(
    target: ScriptedTarget, board: Board, bundle: Bundle, write_crops: Crops, tmp_path: Path
) -> None:
    run = _run(measured(target, bundle, write_crops(2), tmp_path / "m", 0.1))
    assert board.rested[0] == pytest.approx(55)
    assert board.rested[-2] - board.rested[-1] >= sustained.STILL_C
    assert run.temperature_c[0] < 43
    verbs = [verb for _, verb in target.requests]
    assert verbs[verbs.index("sustain") - 1] == "load", "cold is the first run after loading"


def test_a_board_that_never_cools_is_not_waited_for_for_ever(
    target: ScriptedTarget, board: Board, bundle: Bundle, write_crops: Crops, tmp_path: Path
) -> None:
    endless = iter(range(10**6, 0, -10))
    target.temperature_c = lambda: float(next(endless))
    measured(target, bundle, write_crops(2), tmp_path / "m", 0.1)
    assert len(board.rested) == sustained.MOST_RESTS


def test_a_board_that_tells_no_temperature_does_not_rest(
    target: ScriptedTarget, board: Board, bundle: Bundle, write_crops: Crops, tmp_path: Path
) -> None:
    target.temperature_c = lambda: None
    measured(target, bundle, write_crops(2), tmp_path / "m", 0.1)
    assert board.rested == []


def test_what_ran_before_a_crash_is_kept(
    target: ScriptedTarget, board: Board, bundle: Bundle, write_crops: Crops, tmp_path: Path
) -> None:
    moments = board.moments()
    target.moments = (next(moments) for _ in range(90))
    raw = measured(target, bundle, write_crops(2), tmp_path / "m", 10)
    assert raw.status == "measured" and raw.latency is not None, "the rest is whole"
    assert _run(raw).cut == "onnx/float32 died" and len(_run(raw).runs) == 90
    assert target.open == 0
    target.moments = iter(())
    raw = measured(target, bundle, write_crops(2), tmp_path / "m", 10)
    assert _run(raw).cut == "onnx/float32 died" and len(_run(raw).runs) == 0


def test_a_date_that_jumps_moves_nothing(
    target: ScriptedTarget, board: Board, bundle: Bundle, write_crops: Crops, tmp_path: Path
) -> None:
    first = _run(measured(target, bundle, write_crops(2), tmp_path / "a", 2))
    board.now_s += 3600  # between two runs: another zero of the board's clock
    board.heat_c = 55.0
    second = _run(measured(target, bundle, write_crops(2), tmp_path / "b", 2))
    np.testing.assert_allclose(first.begun_s, second.begun_s)


@pytest.mark.parametrize("name", ["host", "null"])
def test_a_short_run_of_this_machine(
    name: str,
    bundle: Bundle,
    write_crops: Crops,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sustained, "sleep", lambda seconds: None)
    run = _run(measured(load_target(name), bundle, write_crops(3), tmp_path / "m", 0.025))
    told = summarise_sustained(run)
    assert told is not None and not run.cut
    assert 1 <= len(run.runs) <= 2 and told.seconds >= 1.5
    assert (run.samples_ms > 0).all() and told.phases[0].name == "cold"


def test_what_cannot_be_timed_is_refused(bundle: Bundle) -> None:
    class Untimed(ScriptedTarget):
        no_times = "an emulator runs it"

    check_minutes(Untimed({}), 0)
    check_minutes(ScriptedTarget({}), 30)
    with pytest.raises(LandmintError, match="cannot be timed on scripted\n.*an emulator runs it"):
        check_minutes(Untimed({}), 30)
    for minutes in (-1.0, float("nan"), float("inf")):
        with pytest.raises(LandmintError, match="minutes\n.*cannot last for so long"):
            check_minutes(ScriptedTarget({}), minutes)
