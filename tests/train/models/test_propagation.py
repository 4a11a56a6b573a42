"""PropagationNet: its pool, how far its gate reaches, and its loss on rare faces."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from landmint.train.config import LossConfig
from landmint.train.faces.face import FaceSet
from landmint.train.losses import adaptive_wing
from landmint.train.models.base import LandmarkModel
from landmint.train.models.propagation import BlurPool, PropagationNet
from landmint.train.targets import boundary_maps
from landmint.train.tasks import task_for

MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
MakeBatch = Callable[[int, int], dict[str, Tensor]]


@pytest.fixture
def network(make_model: MakeModel) -> Any:
    """Two narrow stacks."""
    model = make_model("propagation", input_size=64, backbone="hourglass_2", width=0.125).eval()
    assert isinstance(model, PropagationNet)
    return model


def test_the_pool_is_scipys_maximum_and_a_binomial_filter_between_two_cells() -> None:
    maps = np.random.default_rng(0).random((12, 16))
    greatest = scipy.ndimage.maximum_filter(maps, 3, mode="constant")
    kernel = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    padded = np.pad(greatest, 1)
    wanted = [
        [(padded[y : y + 4, x : x + 4] * kernel).sum() for x in range(0, 16, 2)]
        for y in range(0, 12, 2)
    ]
    pooled = BlurPool(2)(torch.from_numpy(maps)[None, None])[0, 0]
    np.testing.assert_allclose(pooled.numpy(), wanted, atol=1e-12)


def test_a_closed_gate_leaves_the_next_stack_the_heatmaps_alone(network: Any) -> None:
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        network.gates[0].layers[-1].bias.fill_(-1e4)
        heatmaps, contours, last = network.features(images)
        assert contours.shape == (1, len(network.contract.landmarks.contours), 16, 16)
        maps = network.stem(images)
        entered = maps + network.back[0].bias[:, None, None] + network.seen[0](heatmaps)
        torch.testing.assert_close(last, network.stacks[1](network.enter[1](entered)))


def test_contours_are_drawn_from_heatmaps_alone(network: Any) -> None:
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        network.heads[0].weight.zero_()
        maps, of_negative = (network.features(values)[1] for values in (images, -images))
    torch.testing.assert_close(maps, of_negative)


def test_early_contours_are_taught_one_by_one(
    network: Any, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    config = LossConfig(kind="focal_wing", boundary_weight=2)
    task, examples = task_for(network, config, make_faces({}, {})), batch(2, 64)
    with torch.no_grad():
        features = network.features(examples["images"])
        outputs = network.head(features)
        each = boundary_maps(examples["points"], network.contract.landmarks.contours, (16, 16))
        right = task.parts((features[0], each, features[2]), outputs, examples)["boundaries"]
        off = task.parts((features[0], each.flip(1), features[2]), outputs, examples)["boundaries"]
        wanted = 2 / 68 * float(adaptive_wing(each.flip(1), each)) / 2
    assert float(off - right) == pytest.approx(wanted, rel=1e-3)


def test_faces_of_rare_attributes_count_more(
    network: Any, make_faces: MakeFaces, batch: MakeBatch
) -> None:
    task = task_for(
        network,
        LossConfig(kind="focal_wing"),
        make_faces({"blur": 1}, {}, {}, {}),
    )
    plain, blurred = batch(2, 64), batch(2, 64)
    blurred["attributes"][:, 5] = 1  # the last name in ATTRIBUTES
    with torch.no_grad():
        features = network.features(plain["images"])
        outputs = network.head(features)
        rare, common = (
            float(task.parts(features, outputs, each)["heatmaps"]) for each in (blurred, plain)
        )
    assert rare / common == pytest.approx(3, rel=1e-4)  # (1 / 0.25) / (1 / 0.75)
