"""Figures: deterministic inline SVG that stays small and says in words what it shows."""

import re

import numpy as np
import pytest

from landmint.pipeline.report import figures
from landmint.pipeline.report.faces import displacement_svg, face_svg
from landmint.pipeline.report.palette import look_of
from landmint.pipeline.report.pictures import mean_face
from landmint.runtime.accuracy import Difference
from landmint.runtime.crop import Box
from landmint.runtime.markup import get_markup
from landmint.runtime.stats import Interval

MARKUP = get_markup("68")


def _shape() -> "figures.Floats":
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def test_text_in_a_figure_is_not_shortened() -> None:
    svg = figures.tradeoff([figures.Trade("onnx/int8", 1.23456, 0.0004, 0.0, 0.001)])
    assert "≤ 0.001" in svg
    assert "onnx/int8" in svg


def test_two_drawings_are_the_same_bytes() -> None:
    samples = {"onnx/int8": np.linspace(1, 2, 500), "tflite/int8": np.linspace(2, 5, 500)}
    assert figures.latency_spread(samples) == figures.latency_spread(samples)


@pytest.mark.parametrize("count", [1, 2, 7, 5000])
def test_cumulative_curve_keeps_its_ends_and_its_size(count: int) -> None:
    errors = np.random.default_rng(0).lognormal(1.4, 0.5, count)
    errors[0] = np.inf  # a broken face must not break the picture
    svg = figures.cumulative_errors({"onnx/int8": errors}, 10.0)
    assert "NaN" not in svg and "nan" not in svg and "inf " not in svg
    assert len(svg) < 40_000


def test_labels_never_share_a_place() -> None:
    trades = [figures.Trade(f"onnx/form{i}", 1.0 + 0.01 * i, 0.0001, 0.0, 0.0002) for i in range(9)]
    svg = figures.tradeoff(trades)
    places = re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>onnx/form', svg)
    assert len(set(places)) == 9


def test_variants_of_one_format_share_a_hue_and_differ_in_shape() -> None:
    plain, small = look_of("tflite/float32"), look_of("tflite/int8")
    assert plain.color == small.color
    assert plain.marker != small.marker and plain.line != small.line
    assert look_of("onnx/int8").color != small.color


def test_displacement_is_drawn_to_scale() -> None:
    unit = Interval(0.01, 0.01, 0.01, 0.0)
    difference = Difference(
        unit, unit, np.full(68, 0.01), np.tile([0.01, 0.0], (68, 1)), np.full(5, 0.01)
    )
    svg = displacement_svg(_shape(), difference, MARKUP, "onnx/int8", 10)
    radii = {float(r) for r in re.findall(r' r="([\d.]+)"', svg)}
    assert radii == {10.0}  # 1 % of the eye distance, ten times, where 2 of them are 200 units
    assert "1.000 % of the inter-ocular distance" in svg


def test_mean_face_ignores_place_and_size() -> None:
    shape = _shape()
    points = np.stack([shape * 10 + 5, shape * 30 - 7])
    assert np.allclose(mean_face(points, np.array([10.0, 30.0])), shape)


def test_landmarks_lie_where_they_are_in_the_picture() -> None:
    image = np.zeros((100, 120, 3), dtype=np.uint8)
    box = Box(30, 20, 40, 40)
    middle = np.tile([50.0, 40.0], (68, 1))
    svg = face_svg(image, box, {"truth": middle}, MARKUP, "a face")
    assert "M103.5 103.5h0" in svg  # the box's middle is the crop's
    assert svg.count("data:image/jpeg;base64,") == 1


def test_a_few_slow_runs_do_not_squeeze_the_rest() -> None:
    values = np.concatenate([np.linspace(1, 1.2, 98), [90.0, 100.0]])
    svg = figures.latency_spread({"onnx/int8": values})
    assert "2.0% of the runs lie beyond" in svg
