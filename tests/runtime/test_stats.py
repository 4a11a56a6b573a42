"""Statistics against independent implementations and by simulation."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from landmint.runtime.stats import (
    Interval,
    holm,
    launch_interval,
    person_interval,
    proportion_bounds,
    quantile,
    quantile_bounds,
    samples_needed,
    steady_from,
    student_cdf,
    student_quantile,
)


def test_counts_of_early_stopping() -> None:
    assert samples_needed(0.90) == 64
    assert samples_needed(0.99) == 662


def test_quantile_is_a_sample() -> None:
    values = np.arange(1.0, 11.0)
    assert quantile(values, 0.5) == 5
    assert quantile(values, 0.9) == 9
    assert quantile(np.append(values, np.inf), 0.99) == np.inf


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 11, 30])
def test_student_against_scipy(freedom: int) -> None:
    for t in (0.1, 0.7, 2.0, 6.0):
        assert student_cdf(t, freedom) == pytest.approx(stats.t.cdf(t, freedom), abs=1e-12)
    for share in (0.6, 0.9, 0.975, 0.995):
        expected = stats.t.ppf(share, freedom)
        assert student_quantile(share, freedom) == pytest.approx(expected, rel=1e-9)


def test_student_with_a_broken_number_of_degrees_against_scipy() -> None:
    for freedom in (1.0, 1.05, 1.5, 2.7, 7.3, 212.5):
        for t in (0.1, 2.0, 40.0):
            assert student_cdf(t, freedom) == pytest.approx(stats.t.cdf(t, freedom), abs=1e-12)
        expected = stats.t.ppf(0.975, freedom)
        assert student_quantile(0.975, freedom) == pytest.approx(expected, rel=1e-9)


def _persons(groups: int, faces: Sequence[int]) -> list[int]:
    """The person of each face; numbers of faces are taken in turn."""
    return [person for person in range(groups) for _ in range(faces[person % len(faces)])]


def _coverage(persons: list[int], errors: str, trials: int) -> float:
    """How often the interval holds the true mean, which is 1."""
    rng = np.random.default_rng([len(persons), *persons])
    groups, faces, names = persons[-1] + 1, len(persons), list(map(str, persons))
    covered = 0
    for _ in range(trials):
        if errors == "normal":
            values = 1 + rng.normal(0, 0.1, groups)[persons] + rng.normal(0, 0.2, faces)
        else:  # spread and skewness of PFLD's and PIPNet's NME on the test faces of ytf68
            own, shot = rng.lognormal(-0.02, 0.2, groups), rng.lognormal(-0.08, 0.4, faces)
            values = own[persons] * shot
        interval = person_interval(values, names)
        covered += interval.low <= 1 <= interval.high
    return covered / trials


_TRIALS = 1000
_LEAST = 0.927
"""In 1,000 trials of an interval that covers 95 %, fewer are covered once in a thousand."""


@pytest.mark.parametrize("errors", ["normal", "like NME"])
@pytest.mark.parametrize("faces", [(10,), (1, 2, 4, 8, 16, 32)], ids=str)
@pytest.mark.parametrize("groups", [3, 8, 20, 40])
def test_the_interval_over_persons_covers(groups: int, faces: tuple[int, ...], errors: str) -> None:
    assert _coverage(_persons(groups, faces), errors, _TRIALS) >= _LEAST


@pytest.mark.parametrize("groups", [3, 8, 40])
def test_one_face_a_person_covers(groups: int) -> None:
    assert _coverage(_persons(groups, (1,)), "normal", _TRIALS) >= _LEAST
    # No mean over several faces tempers the skewness of NME: .93 at eight persons.
    assert _coverage(_persons(groups, (1,)), "like NME", _TRIALS) >= 0.91


def test_the_least_coverage_is_the_binomial_bound() -> None:
    assert stats.binom.ppf(0.001, _TRIALS, 0.95) / _TRIALS == pytest.approx(_LEAST)


FACES_OF_FIVE = np.repeat(np.arange(5), [2, 3, 5, 7, 11])
VALUES_OF_FIVE = np.array(
    [1.2, 0.9, 1.7, 1.1, 1.4, 0.8, 0.7, 1.0, 0.9, 1.2, 2.1, 1.6, 1.9, 1.8]
    + [2.4, 1.7, 2.0, 1.1, 1.3, 0.9, 1.2, 1.0, 1.5, 1.1, 0.8, 1.3, 1.2, 1.0]
)


def test_interval_over_persons_against_pyfixest_and_matrices() -> None:
    """The error is pyfixest's, the degrees of freedom are Bell and McCaffrey's in full matrices."""
    # pyfixest 0.60: feols("y ~ 1", vcov={"CRV3": "p"}, ssc=ssc(k_adj=False, G_adj=False)).
    error = 0.2538434586814791
    count = len(FACES_OF_FIVE)
    residual = np.eye(count) - np.full((count, count), 1 / count)
    moves = []
    for person in range(5):
        own = FACES_OF_FIVE == person
        inverse = np.linalg.inv(residual[np.ix_(own, own)])
        moves.append(residual[:, own] @ inverse @ np.ones(own.sum()) / count)
    eigenvalues = np.linalg.eigvalsh(np.array(moves) @ np.array(moves).T)
    freedom = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    interval = person_interval(VALUES_OF_FIVE, FACES_OF_FIVE.astype(str).tolist())
    reach = stats.t.ppf(0.975, freedom) * error
    assert interval.estimate == pytest.approx(VALUES_OF_FIVE.mean())
    assert interval.low == pytest.approx(VALUES_OF_FIVE.mean() - reach)
    assert interval.high == pytest.approx(VALUES_OF_FIVE.mean() + reach)
    assert interval.detectable == pytest.approx(reach + stats.t.ppf(0.9, freedom) * error)


def test_equal_persons_give_students_interval_over_their_means() -> None:
    """Up to the jackknife's caution, sqrt(G / (G - 1))."""
    values = np.random.default_rng(3).normal(1, 0.2, (6, 4))
    interval = person_interval(values.ravel(), [str(p) for p in range(6) for _ in range(4)])
    low, high = stats.ttest_1samp(values.mean(axis=1), 0).confidence_interval(0.95)
    assert interval.high - interval.low == pytest.approx((high - low) * math.sqrt(6 / 5))
    assert interval.estimate == pytest.approx((low + high) / 2)


def test_with_many_persons_the_bootstrap_agrees() -> None:
    """BCa over persons of scipy, where it holds: its coverage is .9 with 8 persons."""
    rng = np.random.default_rng(4)
    persons = _persons(200, (1, 2, 3))
    values = rng.lognormal(-0.02, 0.2, 200)[persons] * rng.lognormal(-0.08, 0.4, len(persons))
    sums, faces = np.bincount(persons, values), np.bincount(persons)
    bca = stats.bootstrap(
        (sums, faces),
        lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        rng=rng,
    ).confidence_interval
    interval = person_interval(values, list(map(str, persons)))
    width = interval.high - interval.low
    assert interval.low == pytest.approx(bca.low, abs=0.1 * width)
    assert interval.high == pytest.approx(bca.high, abs=0.1 * width)


def test_an_interval_over_persons_is_wider_than_over_faces() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(0, 1, 30), 10)
    persons = [f"p{i // 10}" for i in range(300)]
    faces = [f"f{i}" for i in range(300)]
    by_person, by_face = person_interval(values, persons), person_interval(values, faces)
    assert by_person.high - by_person.low > 2 * (by_face.high - by_face.low)
    assert by_person.estimate == pytest.approx(values.mean())


def test_too_few_persons_give_no_interval() -> None:
    values, persons = np.array([1.0, 2.0, 3.0, 4.0]), ["a", "a", "b", "c"]
    assert not person_interval(values, persons).is_unbounded
    interval = person_interval(values[:3], persons[:3])
    assert interval.is_unbounded
    assert interval.estimate == pytest.approx(2)
    assert (interval.high, interval.detectable) == (math.inf, math.inf)
    assert person_interval(values, ["a"] * 4).is_unbounded


def test_a_value_that_is_not_finite_makes_every_bound_infinite() -> None:
    interval = person_interval(np.array([1.0, np.nan, 2.0]), ["a", "b", "c"])
    assert interval == Interval(math.inf, math.inf, math.inf, math.inf)
    assert not interval.is_unbounded  # how wrong it is stands fast, with however few persons


def test_a_detectable_rise_over_persons_is_detected_nine_times_in_ten() -> None:
    rng = np.random.default_rng(5)
    persons = _persons(12, (4, 6))
    groups, names = 12, list(map(str, persons))

    def sample(mean: float) -> Interval:
        noise = rng.normal(0, 0.1, groups)[persons] + rng.normal(0, 0.2, len(persons))
        return person_interval(mean + noise, names)

    effect = float(np.mean([sample(0).detectable for _ in range(300)]))
    told = np.mean([sample(effect).low > 0 for _ in range(600)])
    assert 0.86 <= told <= 0.96


def test_launch_interval_covers() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(500):
        interval = launch_interval((5 * np.exp(rng.normal(0, 0.03, 4))).tolist())
        assert interval is not None
        covered += interval.low <= 5 <= interval.high
    assert 0.92 <= covered / 500 <= 0.98


def test_one_launch_gives_no_interval() -> None:
    assert launch_interval([3.0]) is None


def test_detectable_effect_is_detected_nine_times_in_ten() -> None:
    rng = np.random.default_rng(2)
    limit, launches, told = 5.0, 12, 0
    first = launch_interval((limit * np.exp(rng.normal(0, 0.02, launches))).tolist())
    assert first is not None
    for _ in range(300):
        truth = limit + first.detectable
        found = launch_interval((truth * np.exp(rng.normal(0, 0.02, launches))).tolist())
        assert found is not None
        told += found.low > limit
    assert told / 300 > 0.75  # the first sample's own spread is an estimate


def test_holm_against_the_table_of_its_steps() -> None:
    # Levels .05/4, .05/3, .05/2 and .05 for the p-values in their order; .03 stops the procedure.
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == (True, False, False, True)
    assert holm([0.01, 0.02, 0.005], 0.05) == (True, True, True)
    assert holm([0.02, 0.02], 0.03) == (False, False)
    assert holm([], 0.05) == ()


@pytest.mark.parametrize("seed", range(5))
def test_holm_against_its_adjusted_p_values(seed: int) -> None:
    """Rejected is whose adjusted p-value, a running maximum of (K - i) p, is within the level."""
    p_values = np.random.default_rng(seed).uniform(0, 0.05, 12)
    order = np.argsort(p_values)
    adjusted = np.empty(12)
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(12, 0, -1))
    assert holm(p_values.tolist(), 0.05) == tuple((adjusted <= 0.05).tolist())


def test_bounds_of_a_quantile_against_the_binomial() -> None:
    values = np.arange(1.0, 1001.0)  # a value is its rank
    for share in (0.5, 0.9, 0.99):
        for error in (0.05, 0.005):
            low, high = quantile_bounds(values, share, error)
            assert low == 1 + _largest_rank(1000, share, error)
            assert high == 1 + stats.binom.isf(error, 1000, share)
    assert quantile_bounds(values[:10], 0.99, 0.05) == pytest.approx((9, math.inf))


def _largest_rank(count: int, share: float, error: float) -> int:
    """The most k for which at most k of the values lie below the quantile with chance `error`."""
    return max(k for k in range(count) if stats.binom.cdf(k, count, share) <= error)


def test_bounds_of_a_quantile_by_simulation() -> None:
    values = np.random.default_rng(0).standard_exponential((2000, 700))
    truth = -math.log(0.01)
    bounds = np.array([quantile_bounds(row, 0.99, 0.05) for row in values])
    assert np.mean(bounds[:, 0] > truth) < 0.065
    assert np.mean(bounds[:, 1] < truth) < 0.065


@pytest.mark.parametrize(("successes", "trials"), [(0, 200), (1, 200), (95, 100), (20, 20), (3, 7)])
def test_bounds_of_a_share_against_scipy(successes: int, trials: int) -> None:
    exact = stats.binomtest(successes, trials).proportion_ci(method="exact")
    assert proportion_bounds(successes, trials) == pytest.approx((exact.low, exact.high), abs=1e-9)


def _drifting(
    seed: int, count: int, drift: float
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Correlated noise about 2, on which a drift dies away within a hundred values or so."""
    rng = np.random.default_rng(seed)
    noise = np.zeros(count)
    for i in range(1, count):
        noise[i] = 0.6 * noise[i - 1] + rng.normal(0, 0.02)
    return 2 + noise + drift * np.exp(-np.arange(count) / 30)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("drift", [0.0, -0.5, 1.0])
def test_the_steady_state_against_the_standard_errors_of_scipy(seed: int, drift: float) -> None:
    values = _drifting(seed, 1003, drift)
    means = [float(np.mean(values[i : i + 5])) for i in range(0, 1000, 5)]
    errors = [stats.sem(means[cut:], ddof=0) for cut in range(len(means) - 4)]
    expected = 5 * int(np.argmin(errors))
    assert expected < 500
    assert steady_from(values) == expected


def test_the_steady_state_begins_where_a_step_ends() -> None:
    step = np.r_[np.full(100, 2.0), np.full(200, 3.0)]
    assert steady_from(step) == 100
    assert steady_from(np.full(80, 2.0)) == 0
    assert steady_from(np.r_[np.full(180, 2.0), np.full(120, 3.0)]) is None, "too late to tell"
    assert steady_from(np.linspace(2, 3, 300)) is None, "it never settles"
    assert steady_from(np.full(49, 2.0)) is None, "too few"
