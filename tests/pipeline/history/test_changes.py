"""Changes of level: found where they are, by ruptures and by another method, and not elsewhere."""

import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats

from landmint.pipeline.history.changes import MIN_SESSIONS, find_changes


def _series(levels: Sequence[float], each: int, noise: float, seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    logs = np.log(np.repeat(levels, each)) + rng.normal(0, noise, len(levels) * each)
    return [float(value) for value in np.exp(logs)]


def _best_split(values: Sequence[float]) -> int:
    """The split at which the Mann-Whitney test is surest: another method, another library."""
    splits = range(3, len(values) - 2)
    p_value = {
        k: scipy.stats.mannwhitneyu(values[:k], values[k:], method="exact").pvalue for k in splits
    }
    return min(splits, key=p_value.__getitem__)


@pytest.mark.parametrize("ratio", [1.05, 1.3, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_a_step_stands_where_another_method_finds_it(ratio: float, seed: int) -> None:
    values = _series([2.0, 2.0 * ratio], 12, 0.01, seed)
    (change,) = find_changes(values)
    assert change.index == _best_split(values) == 12
    assert change.ratio == pytest.approx(ratio, rel=0.015)


def test_steps_up_and_down() -> None:
    values = _series([2.0, 2.4, 2.4, 2.1], 6, 0.008)
    changes = find_changes(values)
    assert [change.index for change in changes] == [6, 18]
    assert [change.ratio for change in changes] == pytest.approx([1.2, 2.1 / 2.4], rel=0.015)
    edges = [0, 6, 18, 24]
    for (a, b), (_, c) in pairwise(pairwise(edges)):
        assert scipy.stats.mannwhitneyu(values[a:b], values[b:c]).pvalue < 0.01


def test_a_change_by_hand() -> None:
    values = [2.00, 2.02, 1.99, 2.01, 2.00, 2.20, 2.22, 2.19, 2.21]
    (change,) = find_changes(values)
    assert change.index == 5
    assert change.ratio == pytest.approx(2.205 / 2.00, rel=1e-4)


@pytest.mark.parametrize("noise", ["normal", "heavy tails"])
def test_series_that_do_not_change_seldom_show_a_change(noise: str) -> None:
    rng = np.random.default_rng(3)
    draws = rng.normal(size=(100, 16)) if noise == "normal" else rng.standard_t(3, (100, 16))
    alarms = sum(bool(find_changes(np.exp(0.01 * row).tolist())) for row in draws)
    assert alarms <= 4  # 2 in 100: five or more would be a chance of 5 %


def test_an_odd_session_is_no_change() -> None:
    values = _series([2.0], 20, 0.01)
    values[9] *= 1.5
    assert find_changes(values) == ()


def test_what_is_too_small_or_too_short_is_not_named() -> None:
    assert find_changes([2.0] * 10 + [2.01] * 10) == ()
    assert find_changes([2.0] * 10) == ()
    assert find_changes([2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0][: MIN_SESSIONS - 1]) == ()


def test_ruptures_is_asked_for_only_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(ModuleNotFoundError, match="ruptures"):
        find_changes([2.0] * MIN_SESSIONS)
