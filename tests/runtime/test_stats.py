"""Statistics against independent implementations and by simulation."""

import math

import numpy as np
import pytest

from landmint.runtime.stats import (
    cluster_bootstrap,
    launch_interval,
    quantile,
    samples_needed,
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
    stats = pytest.importorskip("scipy.stats")
    for t in (0.1, 0.7, 2.0, 6.0):
        assert student_cdf(t, freedom) == pytest.approx(stats.t.cdf(t, freedom), abs=1e-12)
    for share in (0.6, 0.9, 0.975, 0.995):
        expected = stats.t.ppf(share, freedom)
        assert student_quantile(share, freedom) == pytest.approx(expected, rel=1e-9)


def test_bootstrap_covers_the_mean_of_clustered_faces() -> None:
    rng = np.random.default_rng(0)
    persons = [f"p{i // 5}" for i in range(200)]
    covered = 0
    for trial in range(100):
        values = np.repeat(rng.normal(1, 0.5, 40), 5) + rng.normal(0, 0.1, 200)
        interval = cluster_bootstrap(values, persons, seed=trial, resamples=400)
        covered += interval.low <= 1 <= interval.high
    assert 86 <= covered <= 100


def test_bootstrap_over_persons_is_wider_than_over_faces() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(0, 1, 30), 10)
    persons = [f"p{i // 10}" for i in range(300)]
    faces = [f"f{i}" for i in range(300)]
    by_person, by_face = cluster_bootstrap(values, persons), cluster_bootstrap(values, faces)
    assert by_person.high - by_person.low > 2 * (by_face.high - by_face.low)
    assert by_person.estimate == pytest.approx(values.mean())
    assert cluster_bootstrap(values, persons) == by_person  # seeded


def test_bootstrap_of_one_person_promises_nothing() -> None:
    interval = cluster_bootstrap(np.array([1.0, 2.0]), ["a", "a"])
    assert (interval.low, interval.high) == (-math.inf, math.inf)


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
