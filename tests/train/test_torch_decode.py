"""Torch and numpy read the same landmarks out of the same outputs."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from landmint.runtime.contract import OFFSETS, Contract, CropRule, Head, Output
from landmint.runtime.decode import decode
from landmint.train.torch_decode import decoder_for

Maps = NDArray[np.float32]
LANDMARKS, VOTES, SIZE, GRID = 68, 3, 64, (12, 16)
NEIGHBOURS = tuple(tuple((i * 7 + k + 1) % LANDMARKS for k in range(VOTES)) for i in range(68))
_PIP = {
    name: LANDMARKS * (VOTES if "nb" in name else 1) for name in ("cls", "x", "y", "nb_x", "nb_y")
}
_HEATMAPS = {"heatmaps": (LANDMARKS, *GRID)}
HEADS: Mapping[str, tuple[Head, Mapping[str, tuple[int, ...]]]] = {
    "coordinates": (Head("coordinates"), {"coordinates": (2 * LANDMARKS,)}),
    "coordinates, confidence": (
        Head("coordinates"),
        {"coordinates": (2 * LANDMARKS,), "confidence": (LANDMARKS,)},
    ),
    "argmax": (Head("heatmap", "argmax", 1.5), _HEATMAPS),
    "quarter": (Head("heatmap", "quarter", 1.5), _HEATMAPS),
    "dark": (Head("heatmap", "dark", 1.5), _HEATMAPS),
    "dark, narrow": (Head("heatmap", "dark", 0.7), _HEATMAPS),
    "dark, wider than the map": (Head("heatmap", "dark", 3.0), _HEATMAPS),
    "local_soft_argmax": (Head("heatmap", "local_soft_argmax", 1.5), _HEATMAPS),
    "local_soft_argmax, wide and soft": (
        Head("heatmap", "local_soft_argmax", 1.5, tau=2.5, radius=3),
        _HEATMAPS,
    ),
    "local_soft_argmax, wide": (
        Head("heatmap", "local_soft_argmax", 1.5, tau=3.0, radius=4),
        _HEATMAPS,
    ),
    "centroid": (Head("heatmap", "centroid", 1.5, radius=3), _HEATMAPS),
    "centroid of the whole map": (Head("heatmap", "centroid", 1.5, radius=64), _HEATMAPS),
    "centroid, confidence": (
        Head("heatmap", "centroid", 1.5, radius=3),
        {**_HEATMAPS, "confidence": (LANDMARKS,)},
    ),
    "pip": (
        Head("pip", neighbours=NEIGHBOURS),
        {name: (channels, *GRID) for name, channels in _PIP.items()},
    ),
    "offset": (
        Head("offset", sigma=1.5, radius=1),
        {name: (LANDMARKS, *GRID) for name in ("scores", *OFFSETS)},
    ),
    "offset, one map for all": (
        Head("offset", sigma=1.5, radius=0),
        {"scores": (LANDMARKS, *GRID)} | {name: (1, *GRID) for name in OFFSETS},
    ),
    "nested": (
        Head("nested", sigma=1.5),
        {"heatmaps": (LANDMARKS, *GRID), "inner": (LANDMARKS, 8, 8)},
    ),
    "simcc": (
        Head("simcc", sigma=2.8, radius=5),
        {"simcc_x": (LANDMARKS, 128), "simcc_y": (LANDMARKS, 96)},
    ),
}


def peaks(shape: tuple[int, ...], rng: np.random.Generator) -> Maps:
    """Noisy Gaussians, whose centres may lie at the border of a map or beyond it."""
    if len(shape) < 3:
        return rng.random(shape, dtype=np.float32)
    if len(shape) == 3:  # vectors of bins
        away = np.arange(shape[2]) - rng.uniform(-1, shape[2], (*shape[:2], 1))
        vectors = np.exp(-(away**2) / (2 * 2.8**2)) + rng.normal(0, 0.02, shape)
        return vectors.astype(np.float32)
    rows, columns = np.arange(shape[2])[:, None], np.arange(shape[3])
    centre_y, centre_x = (rng.uniform(-1, n, (*shape[:2], 1, 1)) for n in shape[2:])
    squares = (rows - centre_y) ** 2 + (columns - centre_x) ** 2
    maps = np.exp(-squares / (2 * 1.5**2)) + rng.normal(0, 0.02, shape)
    return maps.astype(np.float32)


def corners(shape: tuple[int, ...], rng: np.random.Generator) -> Maps:
    """One high cell, in a corner, on an edge or one or two cells away from it."""
    maps = np.zeros(shape, dtype=np.float32)
    if len(shape) == 4:
        places = rng.choice([0, 1, 2, -3, -2, -1], (2, *shape[:2]))
        np.put_along_axis(
            maps.reshape(*shape[:2], -1),
            (places[0] % shape[2] * shape[3] + places[1] % shape[3])[..., None],
            1.0,
            axis=2,
        )
    return maps


KINDS: Mapping[str, Callable[[tuple[int, ...], np.random.Generator], Maps]] = {
    "peaks": peaks,
    "corners": corners,
    "noise": lambda shape, rng: rng.normal(size=shape).astype(np.float32),
    "far below zero": lambda shape, rng: (rng.normal(size=shape) - 30).astype(np.float32),
    "far above zero": lambda shape, rng: (20 * rng.normal(size=shape)).astype(np.float32),
    "three levels, so that many peaks are equal": lambda shape, rng: rng.integers(
        0, 3, shape
    ).astype(np.float32),
    "flat": lambda shape, rng: np.full(shape, 0.25, dtype=np.float32),
    "empty": lambda shape, rng: np.zeros(shape, dtype=np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", HEADS)
def test_torch_decodes_as_numpy_does(head: str, kind: str) -> None:
    settings, shapes = HEADS[head]
    contract = Contract(
        markup="68",
        input_size=SIZE,
        crop=CropRule((1.2, 1.2), True),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        head=settings,
        outputs=tuple(Output(name, shape) for name, shape in shapes.items()),
    )
    rng = np.random.default_rng(0)
    outputs = {name: KINDS[kind]((3, *shape), rng) for name, shape in shapes.items()}
    points_px, confidence = decode(contract, outputs)
    with torch.no_grad():
        points, peaks = decoder_for(settings)(*map(torch.from_numpy, outputs.values()))
    assert points.dtype == peaks.dtype == torch.float32
    np.testing.assert_allclose(SIZE * points.numpy() - 0.5, points_px, rtol=1e-5, atol=2e-4)
    # SimCC's is a sum of exponentials, in 32 bits; the others' are the outputs' own values.
    np.testing.assert_allclose(peaks.numpy(), confidence, rtol=2e-5)
