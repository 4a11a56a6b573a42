"""Decoding against landmarks that are known by construction."""

from typing import Any

import cv2
import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.special

from landmint.runtime.contract import (
    OFFSETS,
    SIMCC_OUTPUTS,
    Contract,
    CropRule,
    Head,
    HeadKind,
    Output,
)
from landmint.runtime.crop import Floats
from landmint.runtime.decode import DARK_REACH_CELLS, decode, decode_heatmaps, pip_votes
from landmint.runtime.errors import LandmintError

LANDMARKS = 68
SIZE = 128


def contract(kind: HeadKind, outputs: dict[str, tuple[int, ...]], head: Head) -> Contract:
    assert head.kind == kind
    return Contract(
        markup="68",
        input_size=SIZE,
        crop=CropRule((1.2, 1.2), True),
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        head=head,
        outputs=tuple(Output(name, shape) for name, shape in outputs.items()),
    )


def heatmap_head(method: Any, sigma: float = 1.5) -> Head:
    return Head("heatmap", method, sigma)


def gaussians(centres: Floats, size: int, sigma: float) -> Floats:
    """Heatmaps (N, L, size, size) with unquantised centres (N, L, 2) in cells."""
    cells = np.arange(size)
    x = np.exp(-((cells - centres[..., 0:1]) ** 2) / (2 * sigma**2))
    y = np.exp(-((cells - centres[..., 1:2]) ** 2) / (2 * sigma**2))
    maps: Floats = y[..., :, None] * x[..., None, :]
    return maps


@pytest.mark.parametrize(
    ("method", "worst_cells"),
    [
        ("argmax", 0.5),
        ("quarter", 0.26),
        ("dark", 0.02),
        ("local_soft_argmax", 0.45),
        ("centroid", 0.45),
    ],
)
def test_heatmap_methods_find_the_centre(method: str, worst_cells: float) -> None:
    centres = np.random.default_rng(0).uniform(4, 27, (2, LANDMARKS, 2))
    points, value = decode_heatmaps(gaussians(centres, 32, 1.5), heatmap_head(method))
    assert np.abs(points - centres).max() <= worst_cells
    assert np.all((value > 0.7) & (value <= 1))


@pytest.mark.parametrize("method", ["argmax", "quarter", "dark", "local_soft_argmax", "centroid"])
def test_a_peak_at_the_border_stays_in_the_map(method: str) -> None:
    centres = np.array([[[0.0, 0.0], [31.0, 0.0], [0.0, 31.0], [31.0, 31.0]]])
    points, _ = decode_heatmaps(gaussians(centres, 32, 1.5), heatmap_head(method))
    assert np.abs(points - centres).max() < 0.75


def whole_map_dark(heatmap: Floats, sigma: float, reach: float) -> Floats:
    """DARK with its bound, by OpenCV on the whole map (H, W): x, y.

    Published code rescales the blurred map to its old maximum, which adds a constant to the log.
    """
    taps = {1.0: (3, 0.8), 1.5: (7, 1.4), 2.0: (11, 2.0)}[sigma]
    kernel = cv2.getGaussianKernel(*taps)
    border = cv2.BORDER_CONSTANT
    blurred = cv2.sepFilter2D(heatmap, cv2.CV_64F, kernel, kernel, borderType=border)
    log = np.log(np.maximum(blurred, 1e-10))

    slope, curve = np.array([-0.5, 0, 0.5]), np.array([0.25, 0, -0.5, 0, 0.25])
    none = np.ones(1)

    def at_peak(along: Floats, down: Floats) -> float:
        return float(cv2.sepFilter2D(log, cv2.CV_64F, along, down)[y, x])

    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    peak = np.array([x, y], dtype=np.float64)
    if not (2 <= x < heatmap.shape[1] - 2 and 2 <= y < heatmap.shape[0] - 2):
        return peak
    mixed = at_peak(slope, slope)
    hessian = np.array([[at_peak(curve, none), mixed], [mixed, at_peak(none, curve)]])
    if scipy.linalg.eigvalsh(hessian).max() >= 0:
        return peak
    step = scipy.linalg.solve(-hessian, [at_peak(slope, none), at_peak(none, slope)])
    moved: Floats = peak + np.clip(step, -reach, reach)
    return moved


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("noise", [0.02, 0.3, 3.0])
def test_dark_is_what_opencv_and_scipy_make_of_the_whole_map(sigma: float, noise: float) -> None:
    rng = np.random.default_rng(3)
    maps = gaussians(rng.uniform(1, 30, (1, 60, 2)), 32, sigma)
    maps += rng.normal(0, noise, maps.shape)
    points, _ = decode_heatmaps(maps, heatmap_head("dark", sigma))
    expected = [whole_map_dark(heatmap, sigma, DARK_REACH_CELLS) for heatmap in maps[0]]
    np.testing.assert_allclose(points[0], expected, atol=1e-6)


def test_dark_does_not_leave_the_cells_about_the_peak() -> None:
    maps = np.random.default_rng(0).normal(size=(50, 20, 32, 32))
    points, _ = decode_heatmaps(maps, heatmap_head("dark"))
    peaks, _ = decode_heatmaps(maps, heatmap_head("argmax"))
    assert np.abs(points - peaks).max() <= 1.5
    assert np.all((points >= 0) & (points <= 31))


def test_dark_takes_no_step_where_the_log_map_curves_up() -> None:
    """There a Taylor step seeks a trough or a saddle, not a peak."""
    cells = np.arange(33.0)
    hills = np.exp(-((np.abs(cells - 15.6) - 5) ** 2) / 4.0)
    heatmap = hills[:, None] * hills[None, :]
    heatmap[17, 17] = 1.1  # one wrong cell, between the hills
    points, _ = decode_heatmaps(heatmap[None, None], heatmap_head("dark", 2.0))
    np.testing.assert_allclose(points[0, 0], [17, 17])


def test_bounding_the_step_costs_nothing_on_noisy_peaks() -> None:
    """Of wide and noisy peaks the highest cell is often a neighbour of the right one."""
    rng = np.random.default_rng(5)
    centres = rng.uniform(6, 25, (4, 500, 2))
    maps = 0.3 * gaussians(centres, 32, 2.0) + rng.normal(0, 0.03, (4, 500, 32, 32))
    errors = {
        method: np.linalg.norm(
            decode_heatmaps(maps, heatmap_head(method))[0] - centres, axis=2
        ).mean()
        for method in ("argmax", "dark")
    }
    assert errors["dark"] < 0.3 * errors["argmax"]


def test_flat_maps_decode_to_something_finite() -> None:
    for method in ("argmax", "quarter", "dark", "local_soft_argmax", "centroid"):
        points, value = decode_heatmaps(np.zeros((1, 2, 16, 16)), heatmap_head(method))
        assert np.all(np.isfinite(points)) and np.all(value == 0)


def soft_mean(heatmap: Floats, tau: float, radius: int) -> Floats:
    """Bulat et al., BMVC 2021, equation 4, by scipy's softmax over a window of the map: x, y."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    rows, columns = np.mgrid[: heatmap.shape[0], : heatmap.shape[1]]
    near = (abs(rows - y) <= radius) & (abs(columns - x) <= radius)
    weights = scipy.special.softmax(tau * heatmap[near])
    return np.array([weights @ columns[near], weights @ rows[near]])


@pytest.mark.parametrize(("tau", "radius"), [(10.0, 2), (3.0, 1), (40.0, 4)])
def test_local_soft_argmax_takes_tau_and_radius_from_the_head(tau: float, radius: int) -> None:
    rng = np.random.default_rng(4)
    maps = gaussians(rng.uniform(0, 31, (1, 40, 2)), 32, 1.5) + rng.normal(0, 0.1, (1, 40, 32, 32))
    head = Head("heatmap", "local_soft_argmax", 1.5, tau=tau, radius=radius)
    points, _ = decode_heatmaps(maps, head)
    expected = [soft_mean(heatmap, tau, radius) for heatmap in maps[0]]
    np.testing.assert_allclose(points[0], expected, atol=1e-9)


@pytest.mark.parametrize(("radius", "size"), [(3, 32), (64, 32)])
def test_a_centroid_is_scipys_centre_of_mass(radius: int, size: int) -> None:
    """Of the window about the peak; of the whole map where the window covers it."""
    rng = np.random.default_rng(5)
    maps = gaussians(rng.uniform(0, 31, (1, 20, 2)), size, 1.5) + rng.normal(0, 0.02, (20, 32, 32))
    points, _ = decode_heatmaps(maps, Head("heatmap", "centroid", 1.5, radius=radius))
    for heatmap, (x, y) in zip(np.maximum(maps[0], 0), points[0], strict=True):
        row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
        near = np.zeros_like(heatmap)
        window = tuple(slice(max(0, i - radius), i + radius + 1) for i in (row, column))
        near[window] = heatmap[window]
        assert scipy.ndimage.center_of_mass(near) == pytest.approx((y, x), abs=1e-9)


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


def votes_of(outputs: dict[str, Any], face: int, neighbours: Any) -> list[list[Floats]]:
    """PIPNet's votes for each landmark, cell by cell in plain loops, in shares of the crop."""
    votes: list[list[Floats]] = [[] for _ in neighbours]
    for i, row in enumerate(neighbours):
        scores = outputs["cls"][face, i]
        y, x = np.unravel_index(scores.argmax(), scores.shape)
        height, width = scores.shape
        for k, landmark in [(None, i), *enumerate(row)]:
            name, channel = ("", i) if k is None else ("nb_", i * len(row) + k)
            right = x + float(outputs[f"{name}x"][face, channel, y, x])
            down = y + float(outputs[f"{name}y"][face, channel, y, x])
            votes[landmark].append(np.array([right / width, down / height]))
    return votes


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_pip_is_the_mean_of_the_votes_that_plain_loops_collect(layout: Any) -> None:
    """Of random maps that differ in height and width, with equal peaks; a ring votes evenly."""
    rng, width = np.random.default_rng(11), 3
    neighbours = ring(LANDMARKS, width)
    outputs: dict[str, Any] = {
        name: rng.integers(-128, 128, (2, LANDMARKS * maps, 4, 8)).astype(np.float32) / 50
        for name, maps in (("cls", 1), ("x", 1), ("y", 1), ("nb_x", width), ("nb_y", width))
    }
    shapes = {name: tensor.shape[1:] for name, tensor in outputs.items()}
    spec = contract("pip", shapes, Head("pip", neighbours=neighbours)).with_layout(layout)
    last = {
        name: np.ascontiguousarray(maps.transpose(0, 2, 3, 1)) for name, maps in outputs.items()
    }
    points, confidence = decode(spec, last if layout == "NHWC" else outputs)
    for face in range(2):
        means = [np.mean(votes, axis=0) for votes in votes_of(outputs, face, neighbours)]
        np.testing.assert_allclose(points[face], np.array(means) * SIZE - 0.5, atol=1e-9)
    np.testing.assert_allclose(confidence, outputs["cls"].max(axis=(2, 3)))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("faces", [1, 3])
def test_heatmaps_of_few_levels_keep_the_first_of_equal_peaks(layout: Any, faces: int) -> None:
    """As INT8 outputs are, at borders too; against scipy's softmax over each map's window."""
    levels = np.random.default_rng(12).integers(0, 6, (faces, LANDMARKS, 8, 16))
    maps = (levels / 7).astype(np.float32)
    head = Head("heatmap", "local_soft_argmax", 1.5)
    spec = contract("heatmap", {"heatmaps": maps.shape[1:]}, head).with_layout(layout)
    last = np.ascontiguousarray(maps.transpose(0, 2, 3, 1))
    points, _ = decode(spec, {"heatmaps": last if layout == "NHWC" else maps})
    cells = [
        [soft_mean(m.astype(np.float64), head.tau, head.radius) for m in face] for face in maps
    ]
    expected = (np.array(cells) + 0.5) / [16, 8] * SIZE - 0.5
    np.testing.assert_allclose(points, expected, atol=1e-9)


def test_pip_votes_are_repeated_as_cyclic_padding_does() -> None:
    # Landmark 0 is guessed by 1 and 2, landmark 1 by 0 alone, landmark 2 by nobody. Its own vote
    # comes first, and others' are repeated to the longest list.
    votes = pip_votes(((1,), (0,), (0,)))
    assert votes.tolist() == [[0, 3, 5], [2, 1, 1], [4, 4, 4]]


BINS, SIGMA = 2 * SIZE, 4.0


def vectors_of(places: Floats) -> Floats:
    """Gaussians (N, L, BINS) of unrounded places (N, L) in [0, 1]."""
    away = np.arange(BINS) + 0.5 - BINS * places[..., None]
    vectors: Floats = np.exp(-(away**2) / (2 * SIGMA**2))
    return vectors


def offset_outputs(truth: Floats, side: int, disk: float, maps: int) -> dict[str, Any]:
    """G-RMI's targets for landmarks (L, 2) in [0, 1], cell by cell: in the disk alone."""
    shape = (1, LANDMARKS, side, side)
    scores, offsets = np.zeros(shape), np.zeros((2, 1, maps, side, side))
    for i, row, column in np.ndindex(*shape[1:]):
        away = truth[i] * side - 0.5 - (column, row)
        if np.hypot(*away) <= disk:
            scores[0, i, row, column] = np.exp(-np.hypot(*away) / 9)
            offsets[:, 0, i % maps, row, column] = away
    return {"scores": scores, "offset_x": offsets[0], "offset_y": offsets[1]}


def offset(side: int, radius: int, maps: int) -> Contract:
    shapes = {name: (maps, side, side) for name in OFFSETS}
    head = Head("offset", sigma=1.5, radius=radius)
    return contract("offset", {"scores": (LANDMARKS, side, side), **shapes}, head)


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_an_offset_head_gives_back_what_was_encoded(radius: int) -> None:
    truth = np.random.default_rng(7).uniform(0, 1, (LANDMARKS, 2))
    points, confidence = decode(
        offset(16, radius, LANDMARKS), offset_outputs(truth, 16, 1.5, LANDMARKS)
    )
    np.testing.assert_allclose((points[0] + 0.5) / SIZE, truth, atol=1e-9)
    assert (confidence > 0.8).all()


def test_one_map_of_offsets_serves_landmarks_apart() -> None:
    cells = np.random.default_rng(8).permutation(256)[:LANDMARKS]
    truth = (np.stack([cells % 16, cells // 16], axis=1) + 0.3) / 16
    outputs = offset_outputs(truth, 16, 0.4, 1)
    points, _ = decode(offset(16, 0, 1), outputs)
    np.testing.assert_allclose((points[0] + 0.5) / SIZE, truth, atol=1e-9)


def test_votes_are_those_of_the_cells_that_score_half_the_peak() -> None:
    """By hand: the peak says 1 right, a neighbour of .6 says 3 right, one of .4 is not heard."""
    outputs = offset_outputs(np.full((LANDMARKS, 2), 0.5), 16, 0.0, LANDMARKS)
    for place, score, away in ((7, 1.0, 1.0), (8, 0.6, 3.0), (6, 0.4, 9.0)):
        outputs["scores"][:, :, 5, place] = score
        outputs["offset_x"][:, :, 5, place] = away
    points, _ = decode(offset(16, 1, LANDMARKS), outputs)
    wanted = ((7 + 1.0 + 8 + 3.0) / 2 + 0.5) / 16 * SIZE - 0.5
    np.testing.assert_allclose(points[0, :, 0], wanted)


def test_eight_bits_move_an_offset_by_a_fortieth_of_a_cell() -> None:
    """Reference: .11 px at stride 4 and a disk of 3.5 cells."""
    truth = np.random.default_rng(9).uniform(0, 1, (LANDMARKS, 2))
    outputs = offset_outputs(truth, 32, 3.5, LANDMARKS)
    scale = 3.5 / 127
    outputs = {
        k: np.round(v / scale) * scale if k in OFFSETS else np.round(v * 255) / 255
        for k, v in outputs.items()
    }
    points, _ = decode(offset(32, 0, LANDMARKS), outputs)
    moved_px = np.abs((points[0] + 0.5) / SIZE - truth) * 32 * 4
    assert moved_px.max() <= 4 * scale / 2 + 1e-9 < 0.06


def test_a_nested_head_gives_back_the_middle_of_the_inner_cell() -> None:
    rng = np.random.default_rng(10)
    truth = rng.uniform(0, 1, (LANDMARKS, 2))
    outer, inner = np.zeros((1, LANDMARKS, 16, 16)), np.zeros((1, LANDMARKS, 8, 8))
    for i, (x, y) in enumerate(truth * 16):
        outer[0, i, int(y), int(x)] = 0.9
        inner[0, i, int(y % 1 * 8), int(x % 1 * 8)] = 3
    shapes: dict[str, tuple[int, ...]] = {"heatmaps": (LANDMARKS, 16, 16)}
    shapes["inner"] = (LANDMARKS, 8, 8)
    points, confidence = decode(
        contract("nested", shapes, Head("nested", sigma=1.5)), {"heatmaps": outer, "inner": inner}
    )
    away = np.abs((points[0] + 0.5) / SIZE - truth) * 16
    assert away.max() <= 1 / 16
    assert away.mean() == pytest.approx(1 / 32, rel=0.15), "a 128th of four pixels, on average"
    np.testing.assert_allclose(confidence, 0.9)


def simcc() -> Contract:
    shapes: dict[str, tuple[int, ...]] = {name: (LANDMARKS, BINS) for name in SIMCC_OUTPUTS}
    return contract("simcc", shapes, Head("simcc", sigma=SIGMA, tau=10.0, radius=6))


def simcc_outputs(truth: Floats) -> dict[str, Any]:
    return {f"simcc_{axis}": vectors_of(truth[..., i]) for i, axis in enumerate("xy")}


def test_simcc_recovers_landmarks_between_bins() -> None:
    truth = np.random.default_rng(6).uniform(0.05, 0.95, (3, LANDMARKS, 2))
    points, confidence = decode(simcc(), simcc_outputs(truth))
    assert np.abs(points - (truth * SIZE - 0.5)).max() < 0.01, "of half a pixel a bin"
    assert np.all((confidence > 0.9) & (confidence <= 1))


def test_simcc_keeps_a_landmark_at_the_border_in_the_crop() -> None:
    truth = np.random.default_rng(7).choice([0.0, 0.001, 0.999, 1.0], (1, LANDMARKS, 2))
    points, _ = decode(simcc(), simcc_outputs(truth))
    assert np.abs(points - (truth * SIZE - 0.5)).max() < 0.75


def test_simcc_of_a_mirrored_face_is_mirrored() -> None:
    truth = np.random.default_rng(8).uniform(0, 1, (1, LANDMARKS, 2))
    outputs = simcc_outputs(truth)
    points, _ = decode(simcc(), outputs)
    outputs["simcc_x"] = outputs["simcc_x"][..., ::-1]
    mirrored, _ = decode(simcc(), outputs)
    np.testing.assert_allclose(mirrored[..., 0], SIZE - 1 - points[..., 0], atol=1e-9)
    np.testing.assert_allclose(mirrored[..., 1], points[..., 1])


def test_simcc_hardly_moves_when_its_vectors_are_rounded_to_8_bits() -> None:
    """All vectors share one scale, and their range is wider than what any of them needs."""
    rng = np.random.default_rng(9)
    truth = rng.uniform(0.05, 0.95, (4, LANDMARKS, 2))
    exact = {k: v + rng.normal(0, 0.02, v.shape) for k, v in simcc_outputs(truth).items()}
    levels = {name: np.round((v + 0.3) / 1.6 * 255) / 255 * 1.6 - 0.3 for name, v in exact.items()}
    points, _ = decode(simcc(), exact)
    rounded, _ = decode(simcc(), levels)
    assert np.linalg.norm(rounded - points, axis=2).mean() < 0.05


def test_simcc_is_scipys_softmax_over_a_window() -> None:
    """Of vectors that mean nothing too: one far below zero, where published code finds no peak."""
    rng = np.random.default_rng(10)
    vectors = rng.normal(-5, 0.3, (1, LANDMARKS, BINS)).astype(np.float32)
    points, confidence = decode(simcc(), {"simcc_x": vectors, "simcc_y": vectors})
    for i, vector in enumerate(vectors[0]):
        near = np.abs(np.arange(BINS) - vector.argmax()) <= 6
        weights = scipy.special.softmax(10 * vector[near].astype(np.float64))
        place = (weights @ np.arange(BINS)[near] + 0.5) / BINS
        np.testing.assert_allclose(points[0, i], place * SIZE - 0.5, atol=1e-9)
        mass = scipy.special.softmax(10 * vector.astype(np.float64))[near].sum()
        np.testing.assert_allclose(confidence[0, i], mass, atol=1e-9)


def test_a_missing_or_misshapen_output_is_named() -> None:
    spec = contract("heatmap", {"heatmaps": (68, 32, 32)}, Head("heatmap", "dark", 1.5))
    with pytest.raises(LandmintError, match="no output 'heatmaps'"):
        decode(spec, {"other": np.zeros((1, 68, 32, 32), np.float32)})
    with pytest.raises(LandmintError, match=r"has shape \(68, 16, 16\)"):
        decode(spec, {"heatmaps": np.zeros((1, 68, 16, 16), np.float32)})
