"""A draw chooses the cores of a launch."""

import numpy as np
import pytest

from landmint.runtime.pinned import drawn_cores


@pytest.mark.parametrize(
    ("cores", "count", "draw", "expected"),
    [
        ((0, 1), 1, 0.0, (0,)),
        ((0, 1), 1, 0.49, (0,)),
        ((0, 1), 1, 0.5, (1,)),
        ((4, 6, 7), 1, 1.0, (7,)),
        ((0, 1, 2, 3), 2, 0.75, (3, 0)),
        ((0, 1), 8, 0.7, (1, 0)),
        ((5,), 1, 0.3, (5,)),
    ],
)
def test_a_draw_chooses_cores(
    cores: tuple[int, ...], count: int, draw: float, expected: tuple[int, ...]
) -> None:
    assert drawn_cores(cores, count, draw) == expected


def test_each_core_is_as_likely() -> None:
    draws = np.random.default_rng(0).random(3000)
    chosen = [drawn_cores((0, 2, 4), 1, draw)[0] for draw in draws]
    counts = [chosen.count(core) for core in (0, 2, 4)]
    assert sum(counts) == 3000 and min(counts) > 900
