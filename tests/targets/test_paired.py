"""A paired visit lets two builds take turns, launch by launch, and leaves no process behind."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.hygiene import BACK_OFF_S
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.paired import PairedLaunch, paired_launches
from landmint.targets import load_target, paired
from landmint.targets.paired import PAIRS, Side, paired_visit
from tests.targets.scripted import ScriptedTarget

Crops = Callable[[int], Path]
ONE, OTHER = "onnx/float32", "null/float32"


def launch_of(*blocks: tuple[float, ...]) -> Launch:
    return Launch(1.0, WarmUp(1.0, 30, True), tuple(Block(block, sum(block)) for block in blocks))


def test_what_a_launch_tells_is_the_median_over_pairs_of_minima() -> None:
    launch = PairedLaunch(
        launch_of((2.0, 9.0), (2.0, 2.5), (4.0, 4.1)),
        launch_of((2.2, 2.3), (2.1, 80.0), (9.0, 9.1)),
    )
    assert launch.log_ratio == pytest.approx(math.log(2.2 / 2.0))
    with pytest.raises(LandmintError, match="a launch with 1 and 2 blocks has no pairs"):
        PairedLaunch(launch_of((1.0,)), launch_of((1.0,), (1.0,)))


def test_two_builds_take_turns(bundle: Bundle, write_crops: Crops) -> None:
    target = ScriptedTarget({ONE: lambda: [2.0, 3.0], OTHER: lambda: [2.5, 2.6]})
    sides = Side(bundle, ONE, target), Side(bundle, OTHER, target)
    with paired_visit(*sides, write_crops(3)) as visit:
        visit.predict()
        launches = visit.measure(3)
        assert target.open == 0
        assert visit.measure(2) == visit.launches[3:]
        baseline, candidate = visit.measurements()
    assert [launch.log_ratio for launch in launches] == pytest.approx([math.log(1.25)] * 3)
    assert target.started == 2 + 2 * 5
    blocks = [variant for variant, request in target.requests if request == "block"]
    pairs = [tuple(blocks[i : i + 2]) for i in range(0, len(blocks), 2)]
    assert len(pairs) == 5 * PAIRS and all(set(pair) == {ONE, OTHER} for pair in pairs)
    assert 0.3 < sum(pair[0] == ONE for pair in pairs) / len(pairs) < 0.7
    assert (baseline.variant, candidate.variant) == (ONE, OTHER)
    assert baseline.points is not None and baseline.points.shape == (3, 68, 2)
    assert paired_launches(baseline, candidate) == visit.launches


def test_both_builds_run_on_the_same_cores_other_ones_each_launch(
    bundle: Bundle, write_crops: Crops
) -> None:
    target = ScriptedTarget({ONE: lambda: [2.0], OTHER: lambda: [2.5]})
    sides = Side(bundle, ONE, target), Side(bundle, OTHER, target)
    with paired_visit(*sides, write_crops(3)) as visit:
        visit.measure(12)
    assert len(target.draws) == 24 and target.draws[0::2] == target.draws[1::2]
    assert len(set(target.draws)) == 12 and 0 <= min(target.draws) < 0.3 and max(target.draws) < 1


CALM, CROWDED = (), (0, 1)


def side_of(
    times_ms: Sequence[float],
    preempted: Sequence[tuple[int, ...]],
    clocks_mhz: Sequence[float] = (),
    processor_ms: float = 2.0,
) -> Launch:
    """A launch of one build: the quickest run of each block, and what the machine did."""
    clocks = clocks_mhz or (1800.0,) * len(times_ms)
    blocks = tuple(
        Block((ms, ms + 1), 2 * processor_ms, preempted=state, frequency_mhz=clock)
        for ms, state, clock in zip(times_ms, preempted, clocks, strict=True)
    )
    return Launch(1.0, WarmUp(1.0, 30, True), blocks)


def test_pairs_with_a_preempted_block_are_left_out_of_both_sides() -> None:
    launch = PairedLaunch(
        side_of((2.0, 2.1, 2.0, 9.0), (CALM, CALM, CALM, CROWDED)),
        side_of((2.2, 9.9, 2.2, 2.2), (CALM, CROWDED, CALM, CALM)),
    )
    assert len(launch.calm_pairs) == 2 and not launch.is_busy and launch.fault == ""
    assert launch.log_ratio == pytest.approx(math.log(1.1))


def test_a_busy_launch_compares_processor_time() -> None:
    """The clock cannot see 5 % more work where runs mostly wait: 40.0 against 40.1 ms."""
    baseline = side_of((40.0,) * 4, (CALM, CROWDED, CROWDED, CROWDED))
    candidate = side_of((40.1, 40.1, 44.0, 12.0), (CALM,) * 4, processor_ms=2.1)
    launch = PairedLaunch(baseline, candidate)
    assert launch.is_busy and launch.fault == ""
    assert launch.log_ratio == pytest.approx(math.log(1.05))


def test_a_low_clock_spoils_pairs_and_when_it_spoils_most_the_launch() -> None:
    times, calm = (2.0,) * 4, (CALM,) * 4
    baseline = side_of(times, calm)
    one = PairedLaunch(baseline, side_of((3.0, 2.2, 2.2, 2.2), calm, (900, 1800, 1800, 1800)))
    assert len(one.calm_pairs) == 3 and one.fault == "" and not one.is_busy
    assert one.log_ratio == pytest.approx(math.log(1.1))
    most = PairedLaunch(baseline, side_of(times, calm, (900, 900, 900, 1800)))
    assert most.fault == "the clock was low in 3 of 4 pairs"


def test_a_machine_that_stays_busy_is_measured_at_once(bundle: Bundle, write_crops: Crops) -> None:
    target = ScriptedTarget({ONE: lambda: [2.0, 3.0]})
    target.is_crowded = lambda: True
    side = Side(bundle, ONE, target)
    with paired_visit(side, side, write_crops(3)) as visit:
        launches = visit.measure(12)
        assert len(launches) == 12 and all(launch.is_busy for launch in launches)
        assert visit.spoiled == [] and visit.failure == ""
    assert target.started == 2 * 12


def test_a_spoiled_launch_is_tried_again(
    bundle: Bundle, write_crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(paired, "sleep", waits.append)
    target = ScriptedTarget({ONE: lambda: [2.0, 3.0]})
    target.is_throttled = lambda: len(waits) < 1
    side = Side(bundle, ONE, target)
    with paired_visit(side, side, write_crops(3)) as visit:
        assert len(visit.measure(2)) == 2
        assert len(visit.spoiled) == 1 and visit.failure == ""
    assert waits == [BACK_OFF_S[0]]
    assert target.open == 0 and target.started == 2 * 3


def test_a_machine_that_stays_throttled_measures_nothing(
    bundle: Bundle, write_crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(paired, "sleep", waits.append)
    target = ScriptedTarget({ONE: lambda: [2.0, 3.0]})
    target.is_throttled = lambda: True
    side = Side(bundle, ONE, target)
    with paired_visit(side, side, write_crops(3)) as visit:
        assert visit.measure(12) == ()
        assert "3 launches in a row were spoiled: the firmware held" in visit.failure
        statuses = {measurement.status for measurement in visit.measurements()}
    assert waits == list(BACK_OFF_S)
    assert statuses == {"not measured"} and target.started == 2 * 3


def test_a_side_that_fails_ends_the_comparison(bundle: Bundle, write_crops: Crops) -> None:
    target = ScriptedTarget({ONE: lambda: [2.0]})
    sides = Side(bundle, ONE, target), Side(bundle, OTHER, target)
    with paired_visit(*sides, write_crops(3)) as visit:
        assert visit.measure(12) == ()
        assert visit.failure == "the candidate: null/float32 died"
        statuses = [measurement.status for measurement in visit.measurements()]
    assert statuses == ["measured", "not measured"]
    assert target.open == 0 and target.started == 2


def test_an_interrupt_leaves_no_process(bundle: Bundle, write_crops: Crops) -> None:
    def interrupted() -> list[float]:
        raise KeyboardInterrupt

    target = ScriptedTarget({ONE: lambda: [2.0], OTHER: interrupted})
    sides = Side(bundle, ONE, target), Side(bundle, OTHER, target)
    with pytest.raises(KeyboardInterrupt), paired_visit(*sides, write_crops(3)) as visit:
        visit.measure(12)
    assert target.open == 0


def test_launches_of_other_visits_are_not_compared(bundle: Bundle, write_crops: Crops) -> None:
    target = ScriptedTarget({ONE: lambda: [2.0]})
    side = Side(bundle, ONE, target)
    with paired_visit(side, side, write_crops(3)) as visit:
        visit.measure(2)
        baseline, candidate = visit.measurements()
    other = dataclasses.replace(candidate, session="another day")
    with pytest.raises(LandmintError, match="were measured in different visits"):
        paired_launches(baseline, other)
    fewer = dataclasses.replace(candidate, launches=candidate.launches[:1])
    with pytest.raises(LandmintError, match="has 1 launches, its baseline 2"):
        paired_launches(baseline, fewer)


def test_on_the_null_target(bundle: Bundle, write_crops: Crops) -> None:
    side = Side(bundle, OTHER, load_target("null"), slowdown=0.5)
    with paired_visit(Side(bundle, OTHER, load_target("null")), side, write_crops(3)) as visit:
        [launch] = visit.measure(1)
    assert len(launch.pairs) == PAIRS and math.isfinite(launch.log_ratio)
