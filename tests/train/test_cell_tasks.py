"""Targets and losses of heads that find cells, against numpy and sums by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from landmint.runtime.decode import decode
from landmint.train.cell_tasks import _disk, _focal, _patch, _udp
from landmint.train.config import LossConfig, LossKind
from landmint.train.faces.face import FaceSet
from landmint.train.models.base import LandmarkModel
from landmint.train.targets import offsets_from_cells
from landmint.train.tasks import task_for

MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
MakeBatch = Callable[[int, int], dict[str, Tensor]]


def test_offsets_lead_from_every_cell_to_every_landmark() -> None:
    points = torch.rand(2, 3, 2)
    away = offsets_from_cells(points, (4, 6)).numpy()
    for face, landmark, row, column in np.ndindex(2, 3, 4, 6):
        wanted = points[face, landmark].numpy() * [6, 4] - [column + 0.5, row + 0.5]
        assert away[face, landmark, row, column] == pytest.approx(wanted, abs=1e-5)


def test_the_disk_and_the_patch_are_where_the_papers_have_them() -> None:
    away = offsets_from_cells(torch.tensor([[[0.52, 0.48]]]), (10, 10))
    scores = torch.full((1, 1, 10, 10), 0.5)
    inside, _ = _disk(scores, away, 1.5)
    wanted = np.hypot(*(away[0, 0].numpy().transpose(2, 0, 1))) <= 1.5
    assert np.array_equal(inside[0, 0].numpy() > 0, wanted)
    patch, _ = _patch(scores, away, 1.5)
    assert int(patch.sum()) == 16


def test_focal_loss_is_centernets() -> None:
    """Law and Deng's formula, written out, with a Gaussian about the landmark's own cell."""
    away = offsets_from_cells(torch.tensor([[[0.42, 0.73]]]), (8, 8))
    scores = torch.rand(1, 1, 8, 8) * 0.8 + 0.1
    own, loss = _focal(scores, away, 1.5)
    column, row = int(0.42 * 8), int(0.73 * 8)
    assert own[0, 0].nonzero().tolist() == [[row, column]]
    for i, j in np.ndindex(8, 8):
        p = float(scores[0, 0, i, j])
        y = math.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * 1.5**2))
        wanted = (
            -((1 - p) ** 2) * math.log(p)
            if (i, j) == (row, column)
            else -((1 - y) ** 4) * p**2 * math.log(1 - p)
        )
        assert float(loss[0, 0, i, j]) == pytest.approx(wanted, rel=1e-4)


def test_udp_squares_the_errors_of_a_linear_map() -> None:
    """Of values before the sigmoid; a score near 0 is drawn up harder than one halfway."""
    away = offsets_from_cells(torch.tensor([[[0.42, 0.73]]]), (8, 8))
    values = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    inside, loss = _udp((6 * (values - 0.5)).sigmoid(), away, 1.75)
    disk = np.hypot(*(away[0, 0].numpy().transpose(2, 0, 1))) <= 1.75
    wanted = (values[0, 0].numpy() - disk) ** 2 / (np.pi * 1.75**2)
    np.testing.assert_allclose(loss[0, 0].numpy(), wanted, rtol=1e-6)
    np.testing.assert_array_equal(inside[0, 0].numpy(), disk)
    pulls = []
    for start in (0.0, -9.0):
        logits = torch.full((1, 1, 8, 8), start, requires_grad=True)
        torch.autograd.backward(_udp(logits.sigmoid(), away, 1.75)[1].sum())
        assert logits.grad is not None
        pulls.append(float(-logits.grad[inside > 0].mean()))
    assert pulls[1] > pulls[0] > 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [("grmi", "disk"), ("grmi", "udp"), ("grmi", "laplace"), ("centernet", "focal")],
)
def test_the_right_offsets_cost_least_and_missing_landmarks_nothing(
    name: str, kind: LossKind, make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    model = make_model(name, input_size=64, backbone="mobilenetv2_050", stride=4)
    task = task_for(model, LossConfig(kind=kind), make_faces({}))
    points = batch(2, 64)["points"]
    points[:, 5] = math.nan
    away = offsets_from_cells(points.nan_to_num(nan=0.5), (16, 16))
    scores = (away.abs() <= 0.5).all(dim=-1).float()
    maps = model.contract.outputs[1].shape[0]
    exact = {"scores": scores, "offset_x": away[..., 0], "offset_y": away[..., 1]}
    layers = [module for module in task.modules() if isinstance(module, torch.nn.Conv2d)]
    features = tuple(torch.zeros(2, layer.in_channels, 16, 16) for layer in layers)

    def cost(outputs: dict[str, Tensor]) -> dict[str, float]:
        with torch.no_grad():
            parts = task.parts(features, outputs, {"points": points})
        return {part: float(value) for part, value in parts.items()}

    right = cost(exact)
    if maps > 1:
        moved = {**exact, "offset_x": exact["offset_x"] + 0.3}
        assert cost(moved)["offsets"] > right["offsets"] + 0.01
    assert cost({**exact, "scores": scores.roll(3, dims=3)})["scores"] > right["scores"] + 0.1
    silent = {key: value.clone() for key, value in exact.items()}
    silent["scores"][:, 5] = 0.7
    silent["offset_x"][:, 5] += 9
    assert cost(silent) == pytest.approx(right, rel=1e-5)


def test_inner_cells_are_learned_where_the_landmark_lies(
    make_model: MakeModel, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    """What the loss wants most decodes to the landmark, within half an inner cell."""
    model = make_model("hih", input_size=64, backbone="residual_1", width=0.0625)
    task = task_for(model, LossConfig(), make_faces({}))
    points = batch(1, 64)["points"].clamp(0.05, 0.95)
    outputs = {"heatmaps": torch.zeros(1, 68, 16, 16), "inner": torch.zeros(1, 68, 8, 8)}
    for values in outputs.values():
        values.requires_grad_()
    torch.autograd.backward(
        torch.stack(list(task.parts((torch.zeros(1),), outputs, {"points": points}).values())).sum()
    )
    downhill = {
        name: -values.grad.numpy() for name, values in outputs.items() if values.grad is not None
    }
    found, _ = decode(model.contract, downhill)
    assert np.abs((found + 0.5) / 64 - points.numpy()).max() * 16 <= 1 / 16 + 1e-3
