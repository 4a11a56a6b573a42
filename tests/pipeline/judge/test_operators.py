"""The guilty operator is found whatever else moved, and matched though it was renamed."""

import numpy as np
import pytest

from landmint.pipeline.judge.operators import Profile, compare_operators
from landmint.runtime.engines.engine import Operator

scipy_stats = pytest.importorskip("scipy.stats")


def conv(
    name: str, ms: float | None, kind: str = "Conv", kernel: str = "jit_avx512_I8"
) -> Operator:
    return Operator(kind, "i8", ms, name=name, kernel=kernel)


def noisy_rounds(count: int, slowdown: float) -> list[tuple[Profile, Profile]]:
    """Rounds that differ by up to 30 % from each other; in each, "b" of the candidate is slower."""
    rng = np.random.default_rng(1)

    def profile(luck: float, **times_ms: float) -> Profile:
        return [conv(n, ms * luck * float(rng.normal(1, 0.01))) for n, ms in times_ms.items()]

    return [
        (profile(luck, a=1, b=2, c=3), profile(luck, a=1, b=2 * slowdown, c=3))
        for luck in rng.uniform(0.7, 1.3, count)
    ]


def test_the_guilty_operator_comes_first() -> None:
    changes = compare_operators(noisy_rounds(6, slowdown=1.3))
    assert changes[0].name == "b"
    assert [change.name for change in changes if change.is_sure] == ["b"]
    assert changes[0].added_ms == pytest.approx(0.6, rel=0.3)
    assert changes[0].candidate == "Conv i8 jit_avx512_I8"


def test_nobody_is_guilty_of_nothing() -> None:
    assert not any(change.is_sure for change in compare_operators(noisy_rounds(6, slowdown=1.0)))


def test_the_interval_is_the_paired_t_interval_corrected_for_three_operators() -> None:
    rounds = noisy_rounds(5, slowdown=1.1)
    change = next(c for c in compare_operators(rounds) if c.name == "b")
    after, before = [r[1][1].ms for r in rounds], [r[0][1].ms for r in rounds]
    bounds = scipy_stats.ttest_rel(after, before).confidence_interval(1 - 0.05 / 3)
    assert (change.low, change.high) == pytest.approx((bounds.low, bounds.high))


def test_renamed_operators_are_matched_by_kind_in_order() -> None:
    before = [conv("a", 1.0), conv("b", 1.0), conv("s", 0.5, "Softmax")]
    after = [conv("a_q", 1.0), conv("b_q", 3.0), conv("q", 0.2, "QuantizeLinear")]
    changes = {change.name: change for change in compare_operators([(before, after)])}
    assert changes["b_q"].added_ms == pytest.approx(2.0)
    assert (changes["q"].baseline, changes["q"].baseline_ms) == ("", 0)
    assert changes["s"].candidate == ""
    assert changes["s"].added_ms == pytest.approx(-0.5)
    assert not any(change.is_sure for change in changes.values()), "one round has no interval"
    total = sum(change.added_ms for change in changes.values())
    assert total == pytest.approx(4.2 - 2.5)


def test_a_quantised_operator_is_matched_with_its_float_twin() -> None:
    before = [conv("relu_nchwc", 2.0), conv("out", 1.0, "Gemm")]
    after = [conv("c_quant", 3.0, "QLinearConv"), conv("g_quant", 0.5, "QGemm")]
    changes = compare_operators([(before, after)])
    assert {c.name: c.added_ms for c in changes} == pytest.approx({"c_quant": 1.0, "g_quant": -0.5})


def test_operators_without_names_are_told_by_kind_and_place() -> None:
    changes = compare_operators([([conv("", 1), conv("", 2)], [conv("", 1), conv("", 5)])])
    assert [change.name for change in changes] == ["Conv 2", "Conv 1"]


def test_another_kernel_is_told() -> None:
    after = [conv("a", 2.0, kernel="ref_any_FP32")]
    (change,) = compare_operators([([conv("a", 1.0)], after)])
    assert (change.baseline, change.candidate) == ("Conv i8 jit_avx512_I8", "Conv i8 ref_any_FP32")


@pytest.mark.parametrize(
    "rounds",
    [
        [],
        [([], [conv("a", 1)])],
        [([conv("a", None)], [conv("a", 1)])],
        [([conv("a", 1)], [conv("a", 1)]), ([conv("a", 1)], [conv("b", 1)])],
    ],
)
def test_without_times_nobody_is_accused(rounds: list[tuple[Profile, Profile]]) -> None:
    assert compare_operators(rounds) == ()
