"""The picture of the zoo: the right front, a whole SVG, and names that can be read."""

import itertools
import random
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.scripts import benchmark

ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plot() -> ModuleType:
    return benchmark("zoo_plot")


def _points(plot: ModuleType, count: int, seed: int) -> list[Any]:
    """As in the zoo: many systems share a trunk, and so nearly a latency."""
    rng = random.Random(seed)
    families = ("heatmap", "hybrid", "regression")
    return [
        plot.Point(
            f"zoo/system-{number}",
            families[number % 3],
            rng.choice((1.2, 2.6, 4.0, 14.0)) * rng.uniform(0.97, 1.05),
            rng.choice((4.1, 4.5, 6.0)) * rng.uniform(0.97, 1.1),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_nothing_dominates(plot: ModuleType, seed: int) -> None:
    """Against the definition, each point compared with each other; whole figures make ties."""
    rng = random.Random(seed)
    points = [
        plot.Point(f"zoo/{n}", "hybrid", rng.randint(1, 6), rng.randint(1, 6)) for n in range(15)
    ]

    def dominated(point: Any) -> bool:
        return any(
            other.ms <= point.ms
            and other.nme <= point.nme
            and (other.ms < point.ms or other.nme < point.nme)
            for other in points
        )

    best = plot.front(points)
    assert {p.name for p in best} == {p.name for p in points if not dominated(p)}
    assert [p.ms for p in best] == sorted(p.ms for p in best)


def test_the_front_by_hand(plot: ModuleType) -> None:
    slow, quick, beaten = (
        plot.Point(name, "heatmap", ms, nme)
        for name, ms, nme in (("slow", 9.0, 4.0), ("quick", 1.0, 5.0), ("beaten", 2.0, 5.0))
    )
    assert plot.front([slow, beaten, quick]) == [quick, slow]
    assert plot.front([]) == []


def test_the_picture_is_one_whole_svg_and_the_same_on_any_day(plot: ModuleType) -> None:
    points = _points(plot, 30, seed=0)
    text = plot.picture(points, "Measured on a machine")
    assert plot.picture(points, "Measured on a machine") == text
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    words = ["".join(node.itertext()).strip() for node in root.iter(f"{SVG}text")]
    assert {f"system-{n}" for n in range(30)} <= set(words)
    assert {"Pareto front", "heatmap", "hybrid", "regression", "Measured on a machine"} <= {*words}
    assert "date" not in text.lower()
    for color, _ in plot._LOOKS.values():
        assert color in text
    assert len({color for color, _ in plot._LOOKS.values()}) == 3


@pytest.mark.parametrize("seed", range(3))
def test_no_name_lies_on_another_or_on_a_marker(plot: ModuleType, seed: int) -> None:
    points = _points(plot, 60, seed)
    figure = plot.draw(points, "")
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in axes.texts}
    assert len(boxes) == 60
    for (name, box), (other, second) in itertools.combinations(boxes.items(), 2):
        assert not box.overlaps(second), (name, other)
    for name, box in boxes.items():
        assert axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1), name
        assert not any(
            box.contains(*axes.transData.transform((point.ms, point.nme))) for point in points
        ), name


@pytest.mark.parametrize("count", (0, 1))
def test_few_points_make_a_picture_too(plot: ModuleType, count: int) -> None:
    text = plot.picture(_points(plot, count, seed=0), "")
    ET.fromstring(text)
    assert ("nothing has been measured yet" in text) == (count == 0)
