"""LAB: what sees the contours, what teaches them, and what a network without them is told."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from landmint.runtime.errors import LandmintError
from landmint.train.config import LossConfig
from landmint.train.faces.face import FaceSet
from landmint.train.models.base import LandmarkModel, tap_shapes
from landmint.train.targets import boundary_maps
from landmint.train.tasks import task_for

MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
MakeBatch = Callable[[int, int], dict[str, Tensor]]
CONFIG = LossConfig(kind="wing", boundary_weight=2)


@pytest.fixture
def network(make_model: MakeModel) -> Any:
    """Two narrow stacks and a narrow regressor."""
    return make_model("lab", input_size=64, backbone="residual_2", width=0.125)


def test_every_stack_draws_each_contour_and_one_vector_is_read(network: Any) -> None:
    contours = len(network.contract.landmarks.contours)
    assert tap_shapes(network) == ((contours, 16, 16), (contours, 16, 16), (32, 1, 1))


def test_the_picture_is_seen_under_each_contour(network: Any) -> None:
    """By the first layer: colours, then gray times the contour on 4 x 4 pixels a cell."""
    images, contours = torch.randn(1, 3, 64, 64), torch.rand(1, 9, 16, 16)
    seen: list[Tensor] = []
    network.regressor.enter.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.eval().regressor(images, contours)
    risen = contours.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    wanted = torch.cat([images, images.mean(dim=1, keepdim=True) * risen], dim=1)
    torch.testing.assert_close(seen[0], wanted)


def test_landmarks_teach_the_stacks_nothing_and_contours_the_regressor(
    network: Any, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    task = task_for(network, CONFIG, make_faces({}))
    examples = batch(2, 64)
    features = network.features(examples["images"])
    parts = task.parts(features, network.head(features), examples)
    stacks, regressor = network.heads[-1].weight, network.regressor.enter[0].weight
    for part, (learns, rests) in {
        "points": (regressor, stacks),
        "boundaries": (stacks, regressor),
    }.items():
        taught = torch.autograd.grad(
            parts[part], [learns, rests], allow_unused=True, retain_graph=True
        )
        assert taught[0] is not None and bool(taught[0].any()), part
        assert taught[1] is None, part


def test_contours_cost_their_weight_when_empty_and_nothing_when_right(
    network: Any, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    task, examples = task_for(network, CONFIG, make_faces({})), batch(2, 64)
    examples["points"][0, :30] = math.nan
    truth = boundary_maps(examples["points"], network.contract.landmarks.contours, (16, 16))
    with torch.no_grad():
        *_, vector = network.features(examples["images"])
        outputs = network.head((vector,))
        parts = task.parts((torch.zeros_like(truth), truth, vector), outputs, examples)
    assert float(parts["boundaries"]) == pytest.approx(2 * (1 + 0) / 2, rel=1e-5)


def test_a_network_without_contours_is_refused(
    make_model: MakeModel, make_faces: MakeFaces
) -> None:
    with pytest.raises(LandmintError, match="it draws no contours"):
        task_for(make_model("pfld", input_size=64, width=0.25), CONFIG, make_faces({}))
