"""Drift between two builds, against scipy's t-tests and a case worked out by hand."""

import dataclasses

import numpy as np
import pytest

from landmint.pipeline.judge.drift import judge_drift
from landmint.runtime.accuracy import Floats
from landmint.runtime.markup import get_markup
from tests.labels import labelled

scipy_stats = pytest.importorskip("scipy.stats")
MARKUP = get_markup("68")
FACES = 30


TRUTH = labelled(tuple(f"p{i}" for i in range(FACES)))


def off_by(distances: Floats) -> Floats:
    """Landmarks (N, 68, 2) so many px (N, 68) to the right of the labels."""
    return np.asarray(TRUTH.points + distances[..., None] * np.array([1.0, 0.0]))


def example(rise: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Landmarks of a baseline and a candidate, and their errors (N, 68) in percent."""
    rng = np.random.default_rng(3)
    baseline = rng.gamma(4, 1, (FACES, 68))
    face, landmark = rng.normal(rise, 0.3, (FACES, 1)), rng.normal(0, 0.2, (FACES, 68))
    candidate = np.abs(baseline + face + landmark)
    return off_by(baseline), off_by(candidate), baseline, candidate


def t_bounds(candidate: Floats, baseline: Floats, confidence: float) -> tuple[float, float]:
    """Scipy's interval, wider by sqrt(n / (n - 1)): the jackknife does not scale that away."""
    bounds = scipy_stats.ttest_rel(candidate, baseline).confidence_interval(confidence)
    middle, half = (bounds.low + bounds.high) / 2, (bounds.high - bounds.low) / 2
    half *= np.sqrt(FACES / (FACES - 1))
    return middle - half, middle + half


@pytest.mark.parametrize("rise", [0.0, 0.3, 1.0])
def test_with_one_face_a_person_it_is_the_paired_t_test(rise: float) -> None:
    before, after, baseline, candidate = example(rise)
    drift = judge_drift(before, after, TRUTH, budget=0.3)
    bounds = t_bounds(candidate.mean(axis=1), baseline.mean(axis=1), 0.95)
    assert (drift.rise.low, drift.rise.high) == pytest.approx(bounds)
    rises = (candidate - baseline).mean(axis=1)
    keeps = scipy_stats.ttest_1samp(rises, 0.3, alternative="less").pvalue <= 0.025
    breaks = scipy_stats.ttest_1samp(rises, 0.3, alternative="greater").pvalue <= 0.025
    expected = {(True, False): "pass", (False, True): "accuracy drift"}
    assert drift.status == expected.get((bool(keeps), bool(breaks)), "inconclusive")


def test_parts_are_corrected_for_their_number() -> None:
    before, after, baseline, candidate = example(0.1)
    drift = judge_drift(before, after, TRUTH, budget=0.3)
    assert set(drift.by_region) == set(MARKUP.regions)
    for region, landmarks in MARKUP.regions.items():
        chosen = list(landmarks)
        sides = candidate[:, chosen].mean(axis=1), baseline[:, chosen].mean(axis=1)
        told = drift.by_region[region]
        bounds = t_bounds(*sides, 1 - 0.05 / len(MARKUP.regions))
        assert (told.low, told.high) == pytest.approx(bounds)
    told = drift.by_landmark[8]
    bounds = t_bounds(candidate[:, 8], baseline[:, 8], 1 - 0.05 / 68)
    assert (told.low, told.high) == pytest.approx(bounds)


def test_a_case_worked_out_by_hand() -> None:
    """Four persons with rises of 0, 1, 2 and 3 points: mean 1.5, error sqrt(5) / 3, t = 3.1824."""
    truth = labelled(tuple("abcd"))
    after = truth.points + np.arange(4.0)[:, None, None] * np.array([1.0, 0.0])
    drift = judge_drift(truth.points, after, truth, budget=4.0)
    assert drift.rise.estimate == pytest.approx(1.5)
    assert drift.rise.high == pytest.approx(1.5 + 3.18245 * 0.745356, abs=1e-4)
    assert (drift.status, drift.reason) == ("pass", "")
    assert judge_drift(truth.points, after, truth, budget=3.0).status == "inconclusive"


def test_two_faces_of_one_person_are_not_two_persons() -> None:
    before, after, _, _ = example(0.1)
    alone = judge_drift(before, after, TRUTH, budget=0.3)
    persons = tuple(f"p{i}" for i in range(FACES)) * 2
    doubled = labelled(persons)
    doubled = dataclasses.replace(doubled, points=np.tile(TRUTH.points, (2, 1, 1)))
    twice = judge_drift(np.tile(before, (2, 1, 1)), np.tile(after, (2, 1, 1)), doubled, budget=0.3)
    assert (twice.rise.low, twice.rise.high) == pytest.approx((alone.rise.low, alone.rise.high))
    assert (twice.faces, twice.persons) == (2 * FACES, FACES)
    assert twice.persons_needed == alone.persons_needed
    assert twice.faces_needed == 2 * (alone.faces_needed or 0)


@pytest.mark.parametrize("budget", [0.05, 0.1, 0.3])
def test_the_persons_needed_are_those_of_the_noncentral_t(budget: float) -> None:
    """The fewest persons with whom a candidate as good as its baseline passes nine times in ten."""
    before, after, baseline, candidate = example(0.0)
    needed = judge_drift(before, after, TRUTH, budget).persons_needed
    spread = (candidate - baseline).mean(axis=1).std(ddof=1)

    def power(count: int) -> float:
        edge = scipy_stats.t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1))
        return float(scipy_stats.nct.sf(edge, count - 1, budget / spread * np.sqrt(count)))

    assert needed is not None
    assert power(needed + 1) >= 0.9 > power(needed - 2)


def test_where_the_error_rose_is_named_the_worst_first() -> None:
    before, _, baseline, _ = example(0.0)
    candidate = baseline.copy()
    candidate[:, list(MARKUP.regions["mouth"])] += 0.2
    candidate[:, 37] += 3.0
    drift = judge_drift(before, off_by(candidate), TRUTH, budget=0.3)
    assert drift.worse_regions == ("eyes", "mouth")
    assert drift.worse_landmarks[0] == 37
    assert set(drift.worse_landmarks) == {37, *MARKUP.regions["mouth"]}


def test_a_landmark_that_is_not_finite() -> None:
    before, after, _, _ = example(0.0)
    broken = after.copy()
    broken[4, 5, 0] = np.nan
    drift = judge_drift(before, broken, TRUTH, budget=1.0)
    assert drift.status == "accuracy drift" and "not finite" in drift.reason
    assert drift.persons_needed is None
    for candidate in (after, broken):
        unknown = judge_drift(broken, candidate, TRUTH, budget=1.0)
        assert unknown.status == "not measured" and "the baseline" in unknown.reason


def test_too_few_persons_tell_nothing() -> None:
    truth = labelled(("a", "b", "b"))
    drift = judge_drift(truth.points, truth.points + 0.01, truth, budget=1.0)
    assert (drift.status, drift.persons_needed) == ("inconclusive", None)
    same = judge_drift(truth.points, truth.points, truth, budget=1.0)
    assert same.status == "pass", "every landmark of every face is the same"


def test_an_equal_build_passes_any_budget_and_nothing_passes_none() -> None:
    before, after, _, _ = example(0.0)
    same = judge_drift(before, before, TRUTH, budget=0.0)
    assert same.status == "pass" and same.worse_landmarks == ()
    assert judge_drift(before, after, TRUTH, budget=0.0).persons_needed is None
