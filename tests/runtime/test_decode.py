"""Decoding against landmarks that are known by construction."""

import numpy as np
import pytest

from landmint.runtime.contract import Contract, CropRule, Head, HeadKind, Output
from landmint.runtime.crop import Floats
from landmint.runtime.decode import decode, decode_heatmaps, pip_matrix
from landmint.runtime.errors import LandmintError

LANDMARKS = 68
SIZE = 128


def contract(kind: HeadKind, outputs: dict[str, tuple[int, ...]], head: Head) -> Contract:
    assert head.kind == kind
    return Contract(
        markup="68",
        input_size=SIZE,
        crop=CropRule(1.2, True),
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        head=head,
        outputs=tuple(Output(name, shape) for name, shape in outputs.items()),
    )


def gaussians(centres: Floats, size: int, sigma: float) -> Floats:
    """Heatmaps (N, L, size, size) with unquantised centres (N, L, 2) in cells."""
    cells = np.arange(size)
    x = np.exp(-((cells - centres[..., 0:1]) ** 2) / (2 * sigma**2))
    y = np.exp(-((cells - centres[..., 1:2]) ** 2) / (2 * sigma**2))
    maps: Floats = y[..., :, None] * x[..., None, :]
    return maps


@pytest.mark.parametrize(
    ("method", "worst_cells"),
    [("argmax", 0.5), ("quarter", 0.26), ("dark", 0.02), ("local_soft_argmax", 0.45)],
)
def test_heatmap_methods_find_the_centre(method: str, worst_cells: float) -> None:
    centres = np.random.default_rng(0).uniform(4, 27, (2, LANDMARKS, 2))
    points, value = decode_heatmaps(gaussians(centres, 32, 1.5), method, 1.5)
    assert np.abs(points - centres).max() <= worst_cells
    assert np.all((value > 0.7) & (value <= 1))


@pytest.mark.parametrize("method", ["argmax", "quarter", "dark", "local_soft_argmax"])
def test_a_peak_at_the_border_stays_in_the_map(method: str) -> None:
    centres = np.array([[[0.0, 0.0], [31.0, 0.0], [0.0, 31.0], [31.0, 31.0]]])
    points, _ = decode_heatmaps(gaussians(centres, 32, 1.5), method, 1.5)
    assert np.abs(points - centres).max() < 0.7


def test_dark_equals_blurring_the_whole_map() -> None:
    """The patch-wise blur must not differ from the published whole-map procedure."""
    rng = np.random.default_rng(3)
    centres = rng.uniform(6, 25, (1, 4, 2))
    maps = gaussians(centres, 32, 1.5) + rng.uniform(0, 0.02, (1, 4, 32, 32))
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 1.4**2))
    kernel /= kernel.sum()
    blurred = np.apply_along_axis(np.convolve, 2, maps, kernel, mode="same")
    log = np.log(np.apply_along_axis(np.convolve, 3, blurred, kernel, mode="same"))[0]
    points, _ = decode_heatmaps(maps, "dark", 1.5)
    for i in range(4):
        y, x = np.unravel_index(maps[0, i].argmax(), (32, 32))
        m = log[i]
        g = np.array([m[y, x + 1] - m[y, x - 1], m[y + 1, x] - m[y - 1, x]]) / 2
        xy = (m[y + 1, x + 1] - m[y - 1, x + 1] - m[y + 1, x - 1] + m[y - 1, x - 1]) / 4
        xx = (m[y, x + 2] - 2 * m[y, x] + m[y, x - 2]) / 4
        yy = (m[y + 2, x] - 2 * m[y, x] + m[y - 2, x]) / 4
        step = -np.linalg.solve(np.array([[xx, xy], [xy, yy]]), g)
        assert np.allclose(points[0, i], [x + step[0], y + step[1]])


def test_flat_maps_decode_to_something_finite() -> None:
    for method in ("argmax", "quarter", "dark", "local_soft_argmax"):
        points, value = decode_heatmaps(np.zeros((1, 2, 16, 16)), method, 1.5)
        assert np.all(np.isfinite(points)) and np.all(value == 0)


def test_heatmap_contract_in_both_layouts() -> None:
    centres = np.random.default_rng(1).uniform(4, 27, (3, LANDMARKS, 2))
    maps = gaussians(centres, 32, 1.5).astype(np.float32)
    spec = contract("heatmap", {"heatmaps": (68, 32, 32)}, Head("heatmap", "dark", 1.5))
    points, _ = decode(spec, {"heatmaps": maps})
    last, _ = decode(spec.with_layout("NHWC"), {"heatmaps": maps.transpose(0, 2, 3, 1)})
    assert np.allclose(points, (centres + 0.5) * 4 - 0.5, atol=0.1)
    np.testing.assert_allclose(last, points, atol=1e-3)


def test_coordinates_are_x_then_y() -> None:
    spec = contract("coordinates", {"coordinates": (136,)}, Head("coordinates"))
    points, confidence = decode(
        spec, {"coordinates": np.tile([0.25, 0.75], 68)[None].astype(np.float32)}
    )
    assert np.allclose(points, [0.25 * SIZE - 0.5, 0.75 * SIZE - 0.5])
    assert np.all(confidence == 1)


def ring(count: int, width: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple((i + 1 + k) % count for k in range(width)) for i in range(count))


def test_pip_recovers_landmarks_that_all_voters_agree_on() -> None:
    grid, width = 8, 10
    rng = np.random.default_rng(2)
    truth = rng.uniform(0, 1, (2, LANDMARKS, 2))
    cell = np.floor(truth * grid).astype(int)
    neighbours = ring(LANDMARKS, width)
    outputs = {
        "cls": np.zeros((2, LANDMARKS, grid, grid), np.float32),
        "x": rng.normal(size=(2, LANDMARKS, grid, grid)).astype(np.float32),
        "y": rng.normal(size=(2, LANDMARKS, grid, grid)).astype(np.float32),
        "nb_x": rng.normal(size=(2, LANDMARKS * width, grid, grid)).astype(np.float32),
        "nb_y": rng.normal(size=(2, LANDMARKS * width, grid, grid)).astype(np.float32),
    }
    for n in range(2):
        for i in range(LANDMARKS):
            column, row = cell[n, i]
            outputs["cls"][n, i, row, column] = 0.9
            outputs["x"][n, i, row, column] = truth[n, i, 0] * grid - column
            outputs["y"][n, i, row, column] = truth[n, i, 1] * grid - row
            for k, j in enumerate(neighbours[i]):
                outputs["nb_x"][n, i * width + k, row, column] = truth[n, j, 0] * grid - column
                outputs["nb_y"][n, i * width + k, row, column] = truth[n, j, 1] * grid - row
    shapes = {name: tensor.shape[1:] for name, tensor in outputs.items()}
    spec = contract("pip", shapes, Head("pip", neighbours=neighbours))
    points, confidence = decode(spec, outputs)
    assert np.allclose(points, truth * SIZE - 0.5, atol=1e-4)
    assert np.allclose(confidence, 0.9)


def test_pip_matrix_weights_votes_as_cyclic_padding_does() -> None:
    # Landmark 0 is guessed by 1 and 2, landmark 1 by 0 alone, landmark 2 by nobody.
    matrix = pip_matrix(((1,), (0,), (0,)))
    assert np.allclose(matrix[0], [1 / 3, 0, 0, 1 / 3, 0, 1 / 3])
    assert np.allclose(matrix[1], [0, 2 / 3, 1 / 3, 0, 0, 0])
    assert np.allclose(matrix[2], [0, 0, 0, 0, 1, 0])


def test_a_missing_or_misshapen_output_is_named() -> None:
    spec = contract("heatmap", {"heatmaps": (68, 32, 32)}, Head("heatmap", "dark", 1.5))
    with pytest.raises(LandmintError, match="no output 'heatmaps'"):
        decode(spec, {"other": np.zeros((1, 68, 32, 32), np.float32)})
    with pytest.raises(LandmintError, match=r"has shape \(68, 16, 16\)"):
        decode(spec, {"heatmaps": np.zeros((1, 68, 16, 16), np.float32)})
