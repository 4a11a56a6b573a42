"""Profiles are taken in turns, each from a process of its own, and leave none behind."""

from pathlib import Path

import pytest

from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.latency import LatencyConfig
from landmint.targets import load_target
from landmint.targets.paired import Side
from landmint.targets.profiling import profile_in_turns
from tests.targets.scripted import ScriptedTarget

ONE, OTHER = "onnx/float32", "null/float32"


def test_both_builds_take_turns_in_fresh_processes(bundle: Bundle) -> None:
    target = ScriptedTarget({})
    target.operators = {ONE: [{"kind": "Conv", "precision": "f32", "ms": 2.0, "name": "a"}]}
    sides = Side(bundle, ONE, target), Side(bundle, OTHER, target)
    rounds = profile_in_turns(*sides, LatencyConfig(), rounds=12)
    assert len(rounds) == 12 and target.started == 24 and target.open == 0
    assert {(before[0].name, before[0].ms, after) for before, after in rounds} == {("a", 2.0, ())}
    asked = [variant for variant, request in target.requests if request == "precision"]
    firsts = asked[::2]
    assert 2 < firsts.count(ONE) < 10


def test_an_answer_without_operators_is_an_error(bundle: Bundle) -> None:
    target = ScriptedTarget({})
    target.operators = {ONE: [{"kind": "Conv", "precision": 3}]}
    side = Side(bundle, ONE, target)
    with pytest.raises(LandmintError, match="the agent told no operators"):
        profile_in_turns(side, side, LatencyConfig(), rounds=1)
    assert target.open == 0


def test_on_the_host(bundle: Bundle, tmp_path: Path) -> None:
    side = Side(bundle, ONE, load_target("host"))
    [(before, after)] = profile_in_turns(side, side, LatencyConfig(), rounds=1)
    assert [operator.kind for operator in before] == [operator.kind for operator in after]
    assert all(operator.ms is not None and operator.kernel for operator in before)
