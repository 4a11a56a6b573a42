"""Each rule draws the range that its definition says, and the entropy rule what others draw."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector
from scipy import stats

from landmint.quantize.decide.calibrators import (
    CALIBRATORS,
    Seen,
    _divergence,
    entropy,
    min_max,
    percentile,
    settle,
)
from landmint.quantize.decide.ranges import BINS, LEVELS, Range, is_dead, outermost

Doubles = NDArray[np.float64]

EXTREMES = np.stack([np.arange(-10.0, 1.0), np.arange(20.0, 31.0)], axis=1)


def seen(extremes: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Seen:
    return Seen(extremes, np.empty(0))


def spread(*values: tuple[float, float]) -> Seen:
    """A tensor on [-1, 100] with so much mass at each of some values."""
    counts = np.zeros(BINS)
    for value, mass in values:
        counts[min(int((value + 1) / 101 * BINS), BINS - 1)] += mass
    return Seen(np.array([[-1.0, 100.0]]), counts)


def test_percentile_spans_a_share_of_the_faces_and_zero() -> None:
    assert min_max(seen(EXTREMES), 0.9) == (-10.0, 30.0)
    assert percentile(seen(EXTREMES), 1.0) == (-10.0, 30.0)
    assert percentile(seen(EXTREMES), 0.9) == (-9.0, 29.0)
    assert percentile(seen(EXTREMES + 100), 1.0) == (0.0, 130.0)
    assert percentile(seen(EXTREMES - 100), 1.0) == (-110.0, 0.0)


@pytest.mark.parametrize("name", ["mse", "entropy"])
def test_rare_outliers_are_cut_and_frequent_ones_kept(name: str) -> None:
    body = [(x, 1000 * np.exp(-((x / 8) ** 2) / 2)) for x in np.linspace(-1, 30, 3000)]
    far = [(x, 1000 * np.exp(-(((x - 90) / 3) ** 2) / 2)) for x in np.linspace(80, 99.9, 2000)]
    rule = CALIBRATORS[name]  # type: ignore[index]
    assert rule(spread(*body, (99.9, 0.01)), 0.9)[1] < 50
    assert rule(spread(*body, *far), 0.9)[1] > 90


@pytest.mark.parametrize("name", sorted(CALIBRATORS))
def test_a_dead_tensor_has_levels_all_the_same(name: str) -> None:
    dead = Seen(np.zeros((3, 2)), np.zeros(BINS))
    assert not is_dead(settle(dead, name, 0.9))  # type: ignore[arg-type]


def drawn(distribution: Any, low: float, high: float, zeros: float = 0) -> Seen:
    """A tensor of a million values of a distribution, and so many zeros."""
    edges = np.linspace(low, high, BINS + 1)
    counts = np.rint(1e6 * np.diff(distribution.cdf(edges)))
    counts += zeros * np.histogram(0.0, BINS, (low, high))[0]
    return Seen(np.array([[low, high]]), counts)


# What NVIDIA's calibrator answers on the same histograms of magnitudes. Model Optimizer 0.47.0
# wants torch and its friends, so that it is no dependency. As unsigned where no value is negative:
#   calibrator = HistogramCalibrator(num_bits=8, unsigned=True, torch_hist=False)
#   calibrator._calib_hist, calibrator._calib_bin_edges = counts.astype(int), edges
#   calibrator.compute_amax("entropy")
MODEL_OPTIMIZER = {
    "half normal": (drawn(stats.halfnorm(), 0, 4.8), 4.059),
    "ReLU of a normal": (drawn(stats.halfnorm(), 0, 4.8, 1e6), 4.059),
    "one value in ten, exponential": (drawn(stats.expon(), 0, 12, 9e6), 9.363),
    "gamma": (drawn(stats.gamma(3), 0, 18), 14.423),
    "uniform": (drawn(stats.uniform(0, 6), 0, 6), 6.0),
    "normal": (drawn(stats.norm(), -4.8, 4.8), 4.078),
    "Laplace": (drawn(stats.laplace(), -12, 12), 9.363),
}


@pytest.mark.parametrize("name", MODEL_OPTIMIZER)
def test_entropy_draws_the_range_of_model_optimizer(name: str) -> None:
    seen, greatest = MODEL_OPTIMIZER[name]
    low, high = entropy(seen, 0.9)
    assert high == pytest.approx(greatest, rel=0.03)
    assert low == pytest.approx(-greatest if seen.extremes[0, 0] < 0 else 0, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ReLU of a normal", "normal"])
def test_entropy_draws_the_range_of_onnx_runtime_but_for_zeros(name: str) -> None:
    """ONNX Runtime's calibrator knows ranges about zero only, and smears the zeros of a ReLU."""
    seen, _ = MODEL_OPTIMIZER[name]
    low, high = outermost(seen.extremes)
    counts = seen.counts if low < 0 else np.concatenate([np.zeros(BINS), seen.counts])
    edges = np.linspace(-high, high, len(counts) + 1)
    histogram = (counts.astype(np.int64), edges, np.float64(low), np.float64(high))
    levels = LEVELS if low < 0 else 2 * LEVELS
    collector = HistogramCollector("entropy", True, len(counts), levels, None, None)
    theirs = collector.get_entropy_threshold(histogram, levels)[1]
    found = entropy(seen, 0.9)[1]
    if name == "ReLU of a normal":
        assert theirs < 0.8 * found
    else:
        assert found == pytest.approx(theirs, rel=0.08)


def snr_db(values: Doubles, span: Range) -> float:
    """Of values on the 256 levels of a range."""
    low, high = span
    step = (high - low) / (LEVELS - 1)
    zero = np.rint(-low / step)
    levels = np.clip(np.rint(values / step) + zero, 0, LEVELS - 1) - zero
    return float(10 * np.log10(np.sum(values**2) / np.sum((levels * step - values) ** 2)))


def test_the_zeros_of_a_relu_do_not_narrow_its_range() -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=200_000), 0)
    extremes = np.array([[0.0, values.max()]])
    seen = Seen(extremes, np.histogram(values, BINS, outermost(extremes))[0].astype(np.float64))
    assert snr_db(values, entropy(seen, 0.9)) > 45.5
    assert snr_db(values, CALIBRATORS["mse"](seen, 0.9)) > 45.5


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 5.0), (-5.0, 0.0), (-0.375, 5.0), (-5.0, 5.0), (-5.0, 0.001)]
)
def test_zeros_do_not_count_wherever_zero_lies(low: float, high: float) -> None:
    few, many = (drawn(stats.norm(0, 1), low, high, zeros) for zeros in (0, 1e7))
    assert entropy(many, 0.9) == pytest.approx(entropy(few, 0.9), rel=0.02)


@pytest.mark.parametrize("span", [(-0.3, 2.0), (-0.375, 4.0), (-0.2, 5.0), (0.0, 3.0)])
def test_the_divergence_is_that_of_migacz_on_the_levels_of_the_range(span: Range) -> None:
    seen = drawn(stats.norm(0.5, 1.2), -0.375, 5.0)
    counts = np.where(np.arange(BINS) % 7 == 5, 0, seen.counts)  # bins that hold nothing
    low, high = span
    step = (high - low) / (LEVELS - 1)
    kept = [i for i, centre in enumerate(seen.centres) if low <= centre <= high]
    reference = [counts[i] for i in kept]
    reference[0] += counts[: kept[0]].sum()
    reference[-1] += counts[kept[-1] + 1 :].sum()
    levels = [round(seen.centres[i] / step) for i in kept]
    candidate = []
    for i, level in zip(kept, levels, strict=True):
        merged = [counts[j] for j, other in zip(kept, levels, strict=True) if other == level]
        candidate.append(sum(merged) / np.count_nonzero(merged) if counts[i] else 0)
    expected = stats.entropy(reference, candidate)
    assert _divergence(Seen(seen.extremes, counts), span) == pytest.approx(expected, rel=1e-6)
