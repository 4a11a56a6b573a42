"""The exact signed-rank test against scipy, and its bounds against the test itself."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from landmint.runtime.signed_rank import least_count, least_p, shift_bounds, signed_rank_p


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
