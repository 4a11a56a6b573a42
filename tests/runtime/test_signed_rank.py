"""The exact signed-rank test against scipy, and its bounds against the test itself."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from landmint.runtime.signed_rank import (
    detectable_shift,
    least_count,
    least_p,
    shift_bounds,
    signed_rank_p,
)


@pytest.mark.parametrize("count", [1, 2, 5, 12, 24, 48])
def test_p_values_are_those_of_scipy(count: int) -> None:
    rng = np.random.default_rng(count)
    for shift in (-0.5, 0.0, 0.3, 1.0):
        values = rng.normal(shift, 1, count)
        exact = scipy_stats.wilcoxon(values, alternative="greater", method="exact")
        assert signed_rank_p(values) == pytest.approx(exact.pvalue, rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_ties_and_zeros_are_counted_out(seed: int) -> None:
    """Exact p-values of scipy no ties: scipy is asked for every way to place the signs."""
    values = np.random.default_rng(seed).integers(-2, 4, 9).astype(float)
    every_sign = scipy_stats.PermutationMethod(n_resamples=2**12)
    counted = scipy_stats.wilcoxon(
        values, alternative="greater", zero_method="wilcox", method=every_sign
    )
    assert signed_rank_p(values) == pytest.approx(counted.pvalue, rel=1e-9)


def test_least_p() -> None:
    assert signed_rank_p(np.arange(1.0, 13.0)) == pytest.approx(least_p(12))
    assert signed_rank_p(np.zeros(5)) == pytest.approx(1)
    assert signed_rank_p([]) == pytest.approx(1)
    # The counts of the method's description, for a level of .01 / K.
    assert [least_count(0.01 / k) for k in (1, 10, 40)] == [7, 10, 12]


@pytest.mark.parametrize("count", [6, 12, 24, 48])
@pytest.mark.parametrize("error", [0.05, 0.05 / 3])
def test_the_bounds_invert_the_test(count: int, error: float) -> None:
    values = np.random.default_rng(count).normal(0.01, 0.02, count)
    low, estimate, high = shift_bounds(values, error)
    assert low < estimate < high
    step = 1e-9

    def rejects(centre: float, side: int) -> bool:
        found = scipy_stats.wilcoxon(side * (values - centre), alternative="greater")
        return bool(found.pvalue <= error)

    assert rejects(low - step, 1) and not rejects(low + step, 1)
    assert rejects(high + step, -1) and not rejects(high - step, -1)


def test_too_few_values_bound_nothing() -> None:
    assert shift_bounds([0.1, 0.2, 0.3], 0.05) == pytest.approx((-math.inf, 0.2, math.inf))


@pytest.mark.parametrize(("count", "level"), [(12, 0.0017), (24, 0.0017), (12, 0.05)])
def test_the_detectable_shift_is_found_as_often_as_it_says(count: int, level: float) -> None:
    shift = detectable_shift(count, level, 0.9)
    values = np.random.default_rng(7).normal(shift, 1, (1500, count))
    ranks = scipy_stats.rankdata(np.abs(values), axis=1)
    sums = np.where(values > 0, ranks, 0).sum(axis=1)
    p_values = {total: signed_rank_p(row) for total, row in zip(sums, values, strict=True)}
    found = np.mean([p_values[total] <= level for total in sums])
    assert found == pytest.approx(0.9, abs=0.03)


def test_nothing_is_detectable_with_too_few_values() -> None:
    assert detectable_shift(6, 0.01, 0.9) == math.inf
    assert detectable_shift(7, 0.01, 0.9) < 16
