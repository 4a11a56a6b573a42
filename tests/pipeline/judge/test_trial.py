"""A candidate is chosen where its intervals show that it pays, and only there."""

import math
from dataclasses import replace

from landmint.pipeline.judge.trial import Trial, choose_trial
from landmint.quantize.cures import Cure
from landmint.runtime.stats import Interval


def surely(value: float) -> Interval:
    return Interval(value, value, value, 0.0)


def trial(layers: str, nme_rise: float, latency_ms: float, float_ms: float = 2.0) -> Trial:
    speedup = surely(float_ms / latency_ms)
    over_plain = surely(-0.001 if layers else 0.0)
    cure = Cure({"float_layers": tuple(layers.split())} if layers else {})
    return Trial(cure, surely(nme_rise), over_plain, latency_ms, speedup)


def test_plain_int8_is_chosen_where_it_keeps_the_budget() -> None:
    chosen = choose_trial([trial("", 0.004, 1.0), trial("a", 0.001, 1.1)], budget=0.005)
    assert chosen is not None
    assert chosen.cure.float_layers == ()


def test_noise_keeps_no_layer_in_float() -> None:
    plain = replace(trial("", 0.001, 1.01), speedup=Interval(1.98, 1.9, 2.1, 0.1))
    assert choose_trial([plain, trial("a", 0.001, 1.0)], budget=0.005) == plain


def test_a_fallback_that_slows_the_target_is_refused() -> None:
    slow = trial("a", 0.0, latency_ms=2.5)
    assert slow.judge(0.001) == ("regression", "slower than float32 (0.80 times as fast)")
    assert choose_trial([trial("", 0.01, 1.0), slow], budget=0.001) is None


def test_what_intervals_do_not_tell_is_not_chosen() -> None:
    """Each of them would be chosen by its point estimates."""
    good = trial("a", 0.004, 1.0)
    across = Interval(0.004, 0.002, 0.006, 0.003)
    few_persons = Interval(0.004, -math.inf, math.inf, math.inf)
    unsure = {
        "the interval of its NME rise lies across the budget": replace(good, nme_rise=across),
        "not enough persons": replace(good, nme_rise=few_persons),
        "not surely faster than float32": replace(good, speedup=Interval(1.05, 0.95, 1.16, 0.2)),
        "its NME is not surely lower than that of plain INT8": replace(
            good, over_plain=Interval(-0.001, -0.003, 0.001, 0.004)
        ),
    }
    assert good.judge(0.005) == ("pass", "")
    for reason, candidate in unsure.items():
        assert candidate.judge(0.005) == ("inconclusive", reason)
        assert choose_trial([candidate], budget=0.005) is None


def test_what_surely_exceeds_the_budget_is_drift() -> None:
    reason = "its NME rises by more than the budget"
    assert trial("a", 0.006, 1.0).judge(0.005) == ("accuracy drift", reason)


def test_a_layer_in_float_may_mend_landmarks_that_are_not_finite() -> None:
    infinite = surely(math.inf)
    plain = replace(trial("", 0.0, 1.0), nme_rise=infinite, over_plain=infinite)
    mended = replace(trial("a", 0.001, 1.1), over_plain=infinite)
    assert choose_trial([plain, mended], budget=0.005) == mended
