"""SPIGA's parts against other people's: bilinear samples, rotations, attention, its first guess."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from landmint.runtime.errors import LandmintError
from landmint.train.config import LossConfig
from landmint.train.faces.face import FaceSet
from landmint.train.models.base import LandmarkModel
from landmint.train.models.graph_attention import GraphAttention
from landmint.train.models.spiga import SPIGA, windows
from landmint.train.tasks import task_for

MakeModel = Callable[..., LandmarkModel]
SMALL = {"input_size": 64, "backbone": "hourglass_2", "width": 0.125}


def _spiga(make_model: MakeModel) -> SPIGA:
    model = make_model("spiga", **SMALL).eval()
    assert isinstance(model, SPIGA)
    return model


def test_windows_are_bilinear_samples() -> None:
    """Some of them reach beyond the map, where its rim goes on."""
    maps, places = torch.randn(2, 3, 16, 24), torch.rand(2, 2, 5, 1)
    reach = 1 / 4
    taken = windows(maps, places, reach).reshape(2, 3, 7, 7, 5)
    for face in range(2):
        for landmark in range(5):
            x, y = places[face, :, landmark, 0]
            # Samples from the first cell's middle of a window of 12 x 8 cells to the last one's.
            across = x + torch.linspace(-5.5, 5.5, 7) / 24
            down = y + torch.linspace(-3.5, 3.5, 7) / 16
            rows, columns = torch.meshgrid(down, across, indexing="ij")
            grid = torch.stack([2 * columns - 1, 2 * rows - 1], dim=2)[None]
            wanted = F.grid_sample(
                maps[face : face + 1], grid, padding_mode="border", align_corners=False
            )
            torch.testing.assert_close(taken[face, ..., landmark], wanted[0], rtol=1e-4, atol=1e-5)


def test_the_face_is_turned_by_the_angles_of_the_labels(make_model: MakeModel) -> None:
    """R = Rz(roll) Ry(yaw) Rx(pitch), each by Rodrigues' formula."""
    model = _spiga(make_model)
    angles, larger, shift = np.array([0.2, -0.5, 0.3]), 0.1, np.array([0.05, -0.02])
    about_x, about_y, about_z = (cv2.Rodrigues(row)[0] for row in np.diag(angles))
    face = model.face.detach()[0, ..., 0].double().numpy()
    turned = (about_z @ about_y @ about_x @ face)[:2].T * (1 + larger) + shift + 0.5
    pose = torch.tensor([*angles, larger, *shift], dtype=torch.float32).reshape(1, 6, 1, 1)
    projected = model.project(pose)[0, :, :, 0].T.detach().numpy()
    np.testing.assert_allclose(projected, turned, atol=1e-5)


def test_messages_are_those_of_scaled_dot_product_attention() -> None:
    layer = GraphAttention(16, 8).eval()
    vectors = torch.randn(2, 16, 5, 1)
    with torch.no_grad():
        query, key, value = (
            part(vectors).reshape(2, 4, 4, 5).transpose(2, 3)
            for part in (layer.query, layer.key, layer.value)
        )
        heard = F.scaled_dot_product_attention(query, key, value)
        merged = layer.merge(heard.transpose(2, 3).reshape(2, 16, 5, 1))
        wanted = layer.shortcut(vectors) + layer.message(torch.cat([vectors, merged], dim=1))
        torch.testing.assert_close(layer(vectors), wanted)


def test_the_first_guess_is_the_mean_face(make_model: MakeModel) -> None:
    model = _spiga(make_model)
    angle = np.arange(68) * 2 * np.pi / 68
    circle = 0.5 + 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    with torch.no_grad():
        guess = model(torch.randn(1, 3, 64, 64))["coordinates"].reshape(68, 2)
    np.testing.assert_allclose(guess.numpy(), circle, atol=0.03)


def test_the_loss_is_smooth_l1_in_pixels_at_every_step(
    make_model: MakeModel,
    make_faces: Callable[..., FaceSet],
    batch: Callable[[int, int], dict[str, Tensor]],
) -> None:
    model, examples = _spiga(make_model), batch(2, 64)
    task = task_for(model, LossConfig(kind="cascade", pose_weight=2.0), make_faces({}))
    exact = examples["points"].transpose(1, 2)[..., None]
    three_right = exact + torch.tensor([3 / 64, 0.0])[:, None, None]
    pose = torch.zeros(2, 6, 1, 1)
    pose[:, :3, 0, 0] = examples["euler_rad"]
    features = (pose, three_right, exact, exact, torch.zeros(2, 32, 16, 16))
    outputs = {"coordinates": exact[..., 0].transpose(1, 2).flatten(1)}
    parts = {name: float(part) for name, part in task.parts(features, outputs, examples).items()}
    # |d| - 1 / 2 along x, nothing along y.
    assert parts == pytest.approx({"points": 0, "steps": 1.25, "pose": 0}, abs=1e-4)
    pose[:, 0] += torch.pi / 3
    other = task.parts(features, outputs, examples)["pose"]
    assert float(other) == pytest.approx(2 * 0.5, abs=1e-5)


def test_only_spiga_learns_by_steps(
    make_model: MakeModel, make_faces: Callable[..., FaceSet]
) -> None:
    with pytest.raises(LandmintError, match="projected face in steps"):
        task_for(make_model("pfld", input_size=64), LossConfig(kind="cascade"), make_faces({}))
