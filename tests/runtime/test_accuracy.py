"""Metrics against figures worked out by hand, and against what must hold for any errors."""

import dataclasses

import numpy as np
import pytest

from landmint.runtime import accuracy
from landmint.runtime.accuracy import Truth
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup

MARKUP = get_markup("68")


def make_truth(faces: int = 40) -> Truth:
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 180, (faces, 68, 2))
    points[:, MARKUP.eye_corners[0]] = (60, 80)
    points[:, MARKUP.eye_corners[1]] = (160, 80)  # every inter-ocular distance is 100 px
    boxes = np.tile([20.0, 20.0, 50.0, 200.0], (faces, 1))
    persons = tuple(f"p{i // 4}" for i in range(faces))
    return Truth("68", tuple(f"f{i}" for i in range(faces)), persons, points, boxes)


def test_a_known_shift_is_a_known_error() -> None:
    truth = make_truth()
    found = accuracy.summarise(truth.points + np.array([3.0, 4.0]), truth)
    assert found.errors["inter_ocular"].nme == pytest.approx(0.05)
    assert found.errors["box"].nme == pytest.approx(5 / 100)
    assert found.errors["inter_ocular"].failure_rate == {0.08: 0.0, 0.10: 0.0}
    assert found.errors["inter_ocular"].auc[0.10] == pytest.approx(0.5)
    assert found.errors["inter_ocular"].percentiles == pytest.approx(
        dict.fromkeys((90, 95, 99), 0.05)
    )
    assert found.eyes_nme == pytest.approx(0.05)
    assert set(found.by_region) == set(MARKUP.regions)
    np.testing.assert_allclose(found.by_landmark, 0.05)


def test_markup_19_knows_the_box_alone() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 180, (3, 19, 2))
    points[:, 11] = points[:, 6]  # a profile: one outer eye corner hides the other
    truth = Truth("19", tuple("abc"), tuple("abc"), points, np.tile([0.0, 0, 50, 200], (3, 1)))
    found = accuracy.summarise(points + np.array([3.0, 4.0]), truth)
    assert found.main.nme == pytest.approx(0.05)
    assert found.errors == {"box": found.main}
    moved = accuracy.difference(points + np.array([3.0, 4.0]), points, truth)
    assert moved.displacement.estimate == pytest.approx(0.05)


def test_pupil_normaliser_is_the_distance_of_the_eyes_means() -> None:
    truth = make_truth(1)
    left = truth.points[0, 36:42].mean(axis=0)
    right = truth.points[0, 42:48].mean(axis=0)
    size = accuracy.normalisers(truth.points, truth.boxes, MARKUP, "inter_pupil")
    assert size[0] == pytest.approx(np.linalg.norm(left - right))


def test_region_and_landmark_errors_add_up() -> None:
    truth = make_truth()
    moved = truth.points.copy()
    moved[:, list(MARKUP.regions["mouth"])] += (10, 0)
    found = accuracy.summarise(moved, truth)
    assert found.by_region == pytest.approx(
        {"contour": 0, "brows": 0, "nose": 0, "eyes": 0, "mouth": 0.10}
    )
    assert found.by_landmark.mean() == pytest.approx(found.errors["inter_ocular"].nme)
    assert found.eyes_nme == 0


def test_auc_is_at_least_one_minus_relative_error() -> None:
    nme = np.array([0.01, 0.05, 0.09])
    assert accuracy.auc(nme, 0.1) == pytest.approx(1 - nme.mean() / 0.1)  # no failures: equal
    assert accuracy.auc(np.append(nme, 0.5), 0.1) > 1 - np.append(nme, 0.5).mean() / 0.1
    assert accuracy.failure_rate(np.array([0.05, 0.1, 0.2]), 0.1) == pytest.approx(1 / 3)


def test_auc_is_the_area_under_the_curve() -> None:
    nme = np.random.default_rng(1).gamma(2, 0.03, 500)
    grid, share = accuracy.cumulative_errors(nme, 0.1, steps=100_001)
    assert np.trapezoid(share, grid) / 0.1 == pytest.approx(accuracy.auc(nme, 0.1), abs=1e-4)


def test_nan_is_a_failure_never_dropped() -> None:
    truth = make_truth()
    predicted = truth.points.copy()
    predicted[3, 5, 0] = np.nan
    found = accuracy.summarise(predicted, truth)
    errors = found.errors["inter_ocular"]
    assert errors.nme == np.inf
    assert errors.failure_rate[0.10] == pytest.approx(1 / 40)
    assert errors.auc[0.10] == pytest.approx(39 / 40)
    assert errors.percentiles == {90: 0.0, 95: 0.0, 99: np.inf}
    assert found.not_finite == 1
    assert found.interval.high == np.inf
    with np.errstate(all="raise"):
        assert accuracy.difference(predicted, predicted, truth).nme_rise.estimate == np.inf
    difference = accuracy.difference(predicted, truth.points, truth)
    assert difference.nme_rise.estimate == np.inf


def test_the_rise_is_paired() -> None:
    truth = make_truth(200)
    rng = np.random.default_rng(2)
    reference = truth.points + rng.normal(0, 8, truth.points.shape)
    variant = reference + np.array([0.3, 0.4])
    found = accuracy.difference(variant, reference, truth)
    assert found.displacement.estimate == pytest.approx(0.005)
    assert found.displacement.low == pytest.approx(0.005)
    assert abs(found.nme_rise.estimate) < 0.001
    # Pairing: far narrower than the interval of the NME itself.
    own = accuracy.summarise(variant, truth).interval
    rise = found.nme_rise
    assert rise.high - rise.low < (own.high - own.low) / 2
    np.testing.assert_allclose(found.offsets, np.tile([0.003, 0.004], (68, 1)), atol=1e-12)


def test_shapes_must_agree() -> None:
    truth = make_truth()
    with pytest.raises(LandmintError, match="each face needs every landmark"):
        accuracy.summarise(truth.points[:-1], truth)
    with pytest.raises(LandmintError, match="every face needs 68 points"):
        dataclasses.replace(truth, persons=truth.persons[1:])
    with pytest.raises(LandmintError, match="must be finite"):
        dataclasses.replace(truth, points=np.where(truth.points > 170, np.inf, truth.points))


def test_a_normaliser_of_zero_names_the_face() -> None:
    truth = make_truth()
    points = truth.points.copy()
    points[7, 36] = points[7, 45]
    with pytest.raises(LandmintError, match="face 7 has an inter_ocular size of zero"):
        accuracy.normalisers(points, truth.boxes, MARKUP, "inter_ocular")


def test_missing_landmarks_are_no_part_of_a_mean() -> None:
    """As numpy's own masked arrays take means."""
    whole = make_truth()
    rng = np.random.default_rng(1)
    predicted = whole.points + rng.normal(0, 3, whole.points.shape)
    predicted[5, 7] = np.nan  # a prediction that failed, on a landmark that is there
    missing = rng.random((40, 68)) < 0.2
    missing[:, MARKUP.eye_corners] = False
    missing[5, 7], missing[3, list(MARKUP.regions["eyes"])[1:3]] = False, True
    missing[:, 9] = True
    points = np.where(missing[..., None], np.nan, whole.points)
    truth = dataclasses.replace(whole, points=points)

    shares = np.hypot(*np.moveaxis(predicted - whole.points, -1, 0)) / 100
    masked = np.ma.masked_array(np.where(np.isnan(shares), np.inf, shares), missing)
    summary = accuracy.summarise(predicted, truth)
    np.testing.assert_allclose(summary.per_face, masked.mean(axis=1).data)
    assert np.isinf(summary.main.nme) and summary.not_finite == 1
    assert np.isnan(summary.by_landmark[9])
    np.testing.assert_allclose(
        np.delete(summary.by_landmark, 9), np.delete(masked.mean(axis=0).data, 9)
    )
    mouth = masked[:, list(MARKUP.regions["mouth"])].mean(axis=1)
    assert summary.by_region["mouth"] == pytest.approx(float(mouth.mean()))
    # Another network's landmarks are never missing: there NaN is a failure.
    assert np.isinf(accuracy.difference(whole.points, predicted, truth).per_face[5])


def test_a_face_without_the_corners_of_its_eyes_cannot_be_judged() -> None:
    truth = make_truth(3)
    points = truth.points.copy()
    points[1, MARKUP.eye_corners[0]] = np.nan
    with pytest.raises(LandmintError, match="face f1 cannot be judged"):
        dataclasses.replace(truth, points=points)
