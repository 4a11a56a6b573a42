"""Each loss against a value worked out by hand, its gradient, and what it must not do."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor
from torch.autograd import gradcheck

from landmint.runtime.contract import Decode, Head
from landmint.runtime.decode import decode_heatmaps
from landmint.train import losses

RANDOM = np.random.default_rng(0)


def doubles(*shape: int) -> Tensor:
    return torch.from_numpy(RANDOM.random(shape)).requires_grad_()


def test_heatmaps_are_gaussians_around_unrounded_centres() -> None:
    maps = losses.encode_heatmaps(torch.tensor([[[0.31, 0.7]]]), (8, 16), sigma=1.5)
    assert maps.shape == (1, 1, 8, 16)
    x, y = 0.31 * 16 - 0.5, 0.7 * 8 - 0.5
    for row, column in ((0, 0), (5, 4), (7, 15)):
        expected = math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * 1.5**2))
        assert float(maps[0, 0, row, column]) == pytest.approx(expected, rel=1e-4)


def test_a_point_on_a_cells_centre_peaks_at_one() -> None:
    maps = losses.encode_heatmaps(torch.tensor([[[2.5 / 8, 3.5 / 8]]]), (8, 8), sigma=1.0)
    assert [float(maps.max()), float(maps[0, 0, 3, 2])] == pytest.approx([1, 1])


@pytest.mark.parametrize(("method", "limit"), [("dark", 0.02), ("local_soft_argmax", 0.06)])
def test_decoding_finds_what_was_encoded(method: Decode, limit: float) -> None:
    points = torch.from_numpy(0.2 + 0.6 * RANDOM.random((4, 20, 2)))
    maps = losses.encode_heatmaps(points, (32, 32), sigma=1.5).numpy().astype(np.float64)
    cells, _ = decode_heatmaps(maps, Head("heatmap", method, 1.5))
    assert np.abs(cells - (points.numpy() * 32 - 0.5)).max() < limit


def test_heatmap_mse_by_hand() -> None:
    maps, target = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[0.5, 0.0]]]])
    assert float(losses.heatmap_mse(maps, target)) == pytest.approx((0.25 + 1) / 2)


def test_adaptive_wing_by_hand() -> None:
    # One map of one row: the peak and its neighbour are foreground, the fourth cell is not.
    target = torch.tensor([[[[1.0, 0.1, 0.0, 0.0]]]])
    guess = torch.tensor([[[[0.9, 0.9, 0.3, 0.2]]]])

    def curved(y: float, d: float) -> float:
        return 14 * math.log(1 + d ** (2.1 - y))

    def straight(y: float, d: float) -> float:
        p = 2.1 - y
        a: float = 14 * (1 / (1 + 0.5**p)) * p * 0.5 ** (p - 1)
        return a * d - (0.5 * a - 14 * math.log(1 + 0.5**p))

    expected = (11 * curved(1, 0.1) + 11 * straight(0.1, 0.8) + curved(0, 0.3) + curved(0, 0.2)) / 4
    assert float(losses.adaptive_wing(guess, target)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
def test_adaptive_wing_and_its_slope_are_continuous_at_theta(y: float) -> None:
    for epsilon in (1.0, 0.7):  # epsilon other than 1 tells theta / epsilon from theta / omega
        loss, slope = [], []
        for delta in (0.5 - 1e-7, 0.5 + 1e-7):
            target = torch.full((1, 1, 1, 1), y, dtype=torch.float64)
            guess = (target - delta).requires_grad_()
            value = losses.adaptive_wing(guess, target, epsilon=epsilon, theta=0.5)
            (gradient,) = torch.autograd.grad(value, guess)
            loss.append(float(value.detach()))
            slope.append(float(gradient))
        assert loss[0] == pytest.approx(loss[1], rel=1e-5)
        assert slope[0] == pytest.approx(slope[1], rel=1e-5)


def test_adaptive_wing_has_finite_gradients_where_it_is_zero() -> None:
    target = torch.tensor([[[[1.0, 0.0]]]])
    guess = target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.adaptive_wing(guess, target), guess)
    assert not gradient.any()


def test_wing_by_hand() -> None:
    points = torch.tensor([[[0.0, 0.0], [3.0, 30.0]]])
    near, far = 10 * math.log(1 + 3 / 2), 30 - (10 - 10 * math.log(1 + 10 / 2))
    loss = losses.wing(points, torch.zeros(1, 2, 2))
    assert float(loss) == pytest.approx((near + far) / 4, rel=1e-6)
    weighted = losses.wing(points, torch.zeros(1, 2, 2), torch.tensor([[1.0, 0.5]]))
    assert float(weighted) == pytest.approx((near + far) / 8, rel=1e-6)


def test_wing_is_continuous_at_its_width() -> None:
    below, above = (
        float(losses.wing(torch.full((1, 1, 2), x), torch.zeros(1, 1, 2)))
        for x in (9.9999, 10.0001)
    )
    assert below == pytest.approx(above, rel=1e-4)


def test_wing_in_pixels_is_no_plain_l1() -> None:
    """On [0, 1] it would be: 5 x L1, equal slopes for small and large errors."""
    error = torch.tensor([[[0.5, 8.0]]], requires_grad=True)
    (slope,) = torch.autograd.grad(losses.wing(error, torch.zeros(1, 1, 2)), error)
    assert float(slope[0, 0, 0]) > 3 * float(slope[0, 0, 1])


def pip_outputs(points: Tensor, neighbours: Tensor, grid: int) -> dict[str, Tensor]:
    """Outputs that say exactly `points`, in every cell."""
    batch, landmarks = points.shape[:2]
    step = torch.arange(grid)
    corner_x, corner_y = step.view(1, 1, 1, grid), step.view(1, 1, grid, 1)
    cell = (points * grid).floor().long()
    scores = torch.zeros(batch, landmarks, grid, grid)
    for b in range(batch):
        for i in range(landmarks):
            scores[b, i, cell[b, i, 1], cell[b, i, 0]] = 1
    near = points[:, neighbours].flatten(1, 2) * grid
    own = points * grid
    return {
        "cls": scores,
        "x": (own[..., 0, None, None] - corner_x).expand(-1, -1, grid, grid),
        "y": (own[..., 1, None, None] - corner_y).expand(-1, -1, grid, grid),
        "nb_x": (near[..., 0, None, None] - corner_x).expand(-1, -1, grid, grid),
        "nb_y": (near[..., 1, None, None] - corner_y).expand(-1, -1, grid, grid),
    }


NEIGHBOURS = torch.tensor([[1, 2], [0, 2], [1, 0]])
THREE = torch.tensor([[[0.10, 0.30], [0.60, 0.55], [0.99, 0.01]]])
TARGETS = losses.pip_targets(THREE, NEIGHBOURS, (8, 8))


def test_pip_targets_by_hand() -> None:
    assert TARGETS.cell.tolist() == [[2 * 8 + 0, 4 * 8 + 4, 0 * 8 + 7]]
    torch.testing.assert_close(TARGETS.offsets[0, 0], torch.tensor([0.8, 0.4]))
    # Landmark 1 seen from the cell of landmark 0: beyond it, so larger than 1.
    torch.testing.assert_close(TARGETS.neighbours[0, 0, 0], torch.tensor([4.8, 4.4 - 2]))


def test_a_point_outside_counts_to_the_nearest_cell() -> None:
    targets = losses.pip_targets(torch.tensor([[[-0.1, 1.2]] * 3]), NEIGHBOURS, (8, 8))
    assert targets.cell[0, 0] == 7 * 8
    torch.testing.assert_close(targets.offsets[0, 0], torch.tensor([-0.8, 9.6 - 7]))


def test_pip_loss_of_the_truth_is_zero_and_decodes_to_it() -> None:
    parts = losses.pip_loss(pip_outputs(THREE, NEIGHBOURS, 8), TARGETS)
    assert {name: round(float(part), 6) for name, part in parts.items()} == {
        "cls": 0,
        "offsets": 0,
        "neighbours": 0,
    }


def test_pip_loss_by_hand() -> None:
    outputs = pip_outputs(THREE, NEIGHBOURS, 8)
    outputs["cls"] = torch.zeros_like(outputs["cls"])
    outputs["x"] = outputs["x"] + 0.3
    outputs["nb_y"] = outputs["nb_y"].clone()
    outputs["nb_y"][:, 0] += 0.6  # one vote of six
    parts = losses.pip_loss(outputs, TARGETS)
    assert float(parts["cls"]) == pytest.approx(1 / 64)
    assert float(parts["offsets"]) == pytest.approx(0.3, rel=1e-5)
    assert float(parts["neighbours"]) == pytest.approx(0.6 / 6, rel=1e-5)
    only_last = losses.pip_loss(outputs, TARGETS, weight=torch.tensor([[0.0, 0.0, 1.0]]))
    assert float(only_last["neighbours"]) == 0
    assert float(only_last["offsets"]) == pytest.approx(0.1, rel=1e-5)


def test_pip_reading_is_what_stands_at_the_cells() -> None:
    random = torch.Generator().manual_seed(0)
    cell = torch.randint(0, 20, (2, 3), generator=random)
    maps = {n: torch.randn(2, 3, 4, 5, generator=random) for n in ("x", "y")}
    maps |= {n: torch.randn(2, 6, 4, 5, generator=random) for n in ("nb_x", "nb_y")}
    reading = losses.pip_reading(maps, cell)
    for b, i in itertools.product(range(2), range(3)):
        row, column = divmod(int(cell[b, i]), 5)
        own = [maps[n][b, i, row, column] for n in ("x", "y")]
        assert reading.offsets[b, i].tolist() == own
        for k in range(2):
            vote = [maps[n][b, 2 * i + k, row, column] for n in ("nb_x", "nb_y")]
            assert reading.neighbours[b, i, k].tolist() == vote


def test_pip_regression_counts_only_at_the_landmarks_cell() -> None:
    outputs = {k: v.clone() for k, v in pip_outputs(THREE, NEIGHBOURS, 8).items()}
    outputs["x"][0, 0, 7, 7] = 99  # not the cell of landmark 0
    assert float(losses.pip_loss(outputs, TARGETS)["offsets"]) < 1e-5


def test_curriculum_loss_by_hand() -> None:
    """One labelled face, one pseudo-labelled; two landmarks, a 2 x 2 map, pooled to 1 x 2."""
    neighbours = torch.tensor([[1], [0]])
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.75]], [[0.9, 0.2], [0.1, 0.9]]])
    outputs = {name: torch.full((2, 2, 2, 2), 0.5) for name in ("cls", "x", "y", "nb_x", "nb_y")}
    coarse = torch.tensor([0.25, 0.5]).expand(2, 2, 1, 2).clone()
    pseudo = torch.tensor([0.0, 1.0])
    found = losses.curriculum_loss(outputs, coarse, points, neighbours, pseudo)
    # Labelled: 8 cells, each half off. Pseudo: landmark 0 stands right, landmark 1 left.
    squares = 8 * 0.25 + (0.25**2 + 0.5**2) + (0.75**2 + 0.5**2)
    assert float(found["cls"]) == pytest.approx(squares / (8 + 4))
    # The labelled face's offsets are exact; each neighbour is a cell off, right or left.
    assert float(found["offsets"]) == 0
    neighbour = 2 * (abs(1.5 - 0.5) + abs(-0.5 - 0.5)) / 2
    assert float(found["neighbours"]) == pytest.approx(neighbour)


def test_curriculum_loss_of_labelled_faces_alone_is_the_plain_one() -> None:
    random = torch.Generator().manual_seed(0)
    points = torch.rand(3, 4, 2, generator=random)
    neighbours = torch.tensor([[1], [2], [3], [0]])
    outputs = {
        name: torch.randn(3, 4, 4, 4, generator=random)
        for name in ("cls", "x", "y", "nb_x", "nb_y")
    }
    coarse = torch.randn(3, 4, 2, 2, generator=random)
    plain = losses.pip_loss(outputs, losses.pip_targets(points, neighbours, (4, 4)))
    found = losses.curriculum_loss(outputs, coarse, points, neighbours, torch.zeros(3))
    assert {k: float(v) for k, v in found.items()} == pytest.approx(
        {k: float(v) for k, v in plain.items()}
    )
    none = losses.curriculum_loss(outputs, coarse, points, neighbours, torch.ones(3))
    assert float(none["offsets"]) == float(none["neighbours"]) == 0
    assert float(none["cls"]) > 0


def test_heatmap_mass_is_where_the_peak_is_and_sums_to_one() -> None:
    maps = losses.encode_heatmaps(torch.tensor([[[0.31, 0.70]]]), (64, 64), 1.5)
    mass = losses.heatmap_mass(maps + 0.01, (8, 8))  # a background that holds 74 % of the sum
    assert float(mass.sum()) == pytest.approx(1)
    assert float(mass[0, 0, 5, 2]) > 0.9
    split = losses.heatmap_mass(
        losses.encode_heatmaps(torch.tensor([[[0.5, 0.3]]]), (64, 64), 1.5), (8, 8)
    )
    torch.testing.assert_close(split[0, 0, :, 3], split[0, 0, :, 4])


def test_pose_error_takes_radians() -> None:
    angles = torch.tensor([[math.pi, 0.0, 0.0], [0.1, 0.1, 0.1]])
    expected = torch.tensor([2.0, 3 * (1 - math.cos(0.1))])
    torch.testing.assert_close(losses.pose_error(angles, torch.zeros(2, 3)), expected)
    torch.testing.assert_close(
        losses.pose_error(angles + 2 * math.pi, torch.zeros(2, 3)), expected, atol=1e-5, rtol=0
    )


def test_rare_attributes_weigh_more_and_no_face_weighs_nothing() -> None:
    flags = torch.zeros(100, 6)
    flags[:10, 0] = 1  # a tenth
    flags[10:12, 3] = 1  # a fiftieth
    weights = losses.attribute_weights(flags)
    faces = losses.face_weights(flags, weights)
    assert float(faces.mean()) == pytest.approx(1, rel=1e-5)
    plain, tenth, fiftieth = faces[50], faces[0], faces[10]
    assert 0 < plain < tenth < fiftieth
    # Inverse frequency: 1 / 0.88, 1 / 0.1, 1 / 0.02.
    assert float(tenth / plain) == pytest.approx(8.8, rel=1e-5)
    assert float(fiftieth / tenth) == pytest.approx(5, rel=1e-5)


def test_without_any_attribute_all_faces_weigh_the_same() -> None:
    flags = torch.zeros(5, 6)
    weights = losses.attribute_weights(flags)
    torch.testing.assert_close(losses.face_weights(flags, weights), torch.ones(5))


def test_a_single_face_does_not_rule() -> None:
    flags = torch.zeros(100_000, 6)
    flags[0, 2] = 1
    faces = losses.face_weights(flags, losses.attribute_weights(flags))
    assert float(faces[0] / faces[1]) == pytest.approx(100, rel=1e-3)


def test_squared_distance_by_hand() -> None:
    points = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    assert losses.squared_distance(points, torch.zeros(1, 2, 2)).tolist() == [26]
    weight = torch.tensor([[0.1, 1.0]])
    assert float(losses.squared_distance(points, torch.zeros(1, 2, 2), weight)) == pytest.approx(
        3.5
    )


def test_relative_mse_is_one_for_zeros_whatever_the_scale() -> None:
    target = torch.randn(2, 3, 4, 4)
    for scale in (1e-2, 1e2):
        loss = losses.relative_mse(torch.zeros_like(target), scale * target)
        assert float(loss) == pytest.approx(1, rel=1e-5)
    assert float(losses.relative_mse(target, target)) == pytest.approx(0, abs=1e-9)


def test_patch_affinity_by_hand() -> None:
    # Two patches along a row: (1, 0) and (1, 1) as vectors of one channel and two cells.
    maps = torch.tensor([[[[1.0, 0.0, 1.0, 1.0]]]])
    affinity = losses.patch_affinity(maps, 2)
    cosine = 1 / math.sqrt(2)
    torch.testing.assert_close(affinity, torch.tensor([[[1.0, cosine], [cosine, 1.0]]]))


def test_bin_divergence_is_scipys() -> None:
    vectors, wanted = torch.randn(2, 3, 32), losses.encode_bins(torch.rand(2, 3), 32, 2.0)
    ours, theirs = (
        scipy.special.softmax(10 * v.double().numpy(), axis=2) for v in (vectors, wanted)
    )
    weight = np.array([[1.0, 0.5, 0], [1, 1, 1]])
    expected = (scipy.stats.entropy(theirs, ours, axis=2) * weight).mean()
    value = losses.bin_divergence(vectors, wanted, 10.0, torch.from_numpy(weight))
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_a_landmark_far_outside_of_the_crop_asks_for_doubt() -> None:
    """Every bin is then as likely as any other, which decoding shows as a low confidence."""
    wanted = losses.encode_bins(torch.tensor([[3.0]]), 64, 2.0)
    even = losses.bin_divergence(torch.zeros(1, 1, 64), wanted, 10.0)
    assert float(even) == pytest.approx(0, abs=1e-9)


def test_bins_are_one_side_of_a_heatmap() -> None:
    points = torch.rand(2, 3, 2)
    maps = losses.encode_heatmaps(points, (12, 16), 1.5)
    across = losses.encode_bins(points[..., 0], 16, 1.5)
    row = maps.amax(dim=2) / maps.amax(dim=(2, 3))[..., None]
    torch.testing.assert_close(row, across / across.amax(dim=2, keepdim=True))


def test_patch_affinity_ignores_channels_and_scale() -> None:
    maps = torch.randn(2, 4, 16, 16)
    affinity = losses.patch_affinity(maps, 8)
    assert affinity.shape == (2, 64, 64)
    doubled = torch.cat([maps, maps], dim=1) * 3
    torch.testing.assert_close(losses.patch_affinity(doubled, 8), affinity, atol=1e-5, rtol=1e-5)
    assert losses.patch_affinity(torch.randn(1, 2, 12, 12), 8).shape == (1, 16, 16)


TARGET = torch.from_numpy(RANDOM.random((2, 3, 4, 4)))
POINTS = torch.from_numpy(0.1 + 0.8 * RANDOM.random((2, 3, 2)))
WEIGHT = torch.from_numpy(RANDOM.random((2, 3)))


def _pip(cls: Tensor, x: Tensor, nb_y: Tensor) -> Tensor:
    outputs = {"cls": cls, "x": x, "y": x * 2, "nb_x": nb_y * 3, "nb_y": nb_y}
    parts = losses.pip_loss(outputs, losses.pip_targets(POINTS, NEIGHBOURS, (4, 4)), weight=WEIGHT)
    return torch.stack(list(parts.values()))


GRADIENTS: dict[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "mse": (lambda m: losses.heatmap_mse(m, TARGET), ((2, 3, 4, 4),)),
    "adaptive wing": (lambda m: losses.adaptive_wing(m, TARGET), ((2, 3, 4, 4),)),
    "wing": (lambda p: losses.wing(p * 40, POINTS * 40, WEIGHT), ((2, 3, 2),)),
    "pip": (_pip, ((2, 3, 4, 4), (2, 3, 4, 4), (2, 6, 4, 4))),
    "bins": (lambda v: losses.bin_divergence(v, TARGET[..., 0], 10.0, WEIGHT), ((2, 3, 4),)),
    "pose": (lambda a: losses.pose_error(a, torch.zeros(2, 3).double()), ((2, 3),)),
    "distance": (lambda p: losses.squared_distance(p, POINTS, WEIGHT), ((2, 3, 2),)),
    "relative": (lambda m: losses.relative_mse(m, TARGET), ((2, 3, 4, 4),)),
    "affinity": (lambda m: losses.patch_affinity(m, 2), ((2, 3, 4, 4),)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_those_of_the_values(name: str) -> None:
    loss, shapes = GRADIENTS[name]
    assert gradcheck(loss, tuple(doubles(*shape) for shape in shapes))


def test_losses_of_half_precision_outputs_are_computed_in_full() -> None:
    maps, target = torch.rand(1, 2, 8, 8).bfloat16(), torch.rand(1, 2, 8, 8)
    for loss in (losses.heatmap_mse(maps, target), losses.adaptive_wing(maps, target)):
        assert loss.dtype == torch.float32
