"""LUVLi's network: what its taps are, and what its confidence means."""

import math
from collections.abc import Callable

import pytest
import torch

from landmint.runtime.decode import decode
from landmint.train.config import LossConfig
from landmint.train.faces.face import FaceSet
from landmint.train.losses import encode_heatmaps
from landmint.train.models.base import LandmarkModel
from landmint.train.models.luvli import LUVLi
from landmint.train.tasks import task_for

MakeModel = Callable[..., LandmarkModel]
MakeFaces = Callable[..., FaceSet]
L = 68


@pytest.fixture
def network(make_model: MakeModel) -> LUVLi:
    """Two narrow U-Nets whose spread is 2 cells along x and half of one along y."""
    model = make_model("luvli", input_size=128, backbone="unet_2", width=0.125).eval()
    assert isinstance(model, LUVLi)
    with torch.no_grad():
        model.spread.weight.zero_()
        factors = torch.tensor([2 - 1.05, 0.3, math.log(0.5 - 0.05)])  # of ELU + 1 + .05
        model.spread.bias.copy_(factors.repeat_interleave(L))
    return model


def test_every_unet_states_a_spread_and_the_last_ones_area_is_the_confidence(
    network: LUVLi,
) -> None:
    with torch.no_grad():
        features = network.features(torch.randn(3, 3, 128, 128))
        outputs = network.head(features)
        spreads = network.spreads(features)
    assert [tuple(maps.shape[1:]) for maps in features] == [
        (L, 32, 32),
        *[(16, 2, 2)] * 2,
        (16, 32, 32),
    ]
    assert len(spreads) == 2
    for spread in spreads:
        torch.testing.assert_close(spread, torch.tensor([2, 0.3, 0.5]).expand(3, L, 3))
    torch.testing.assert_close(outputs["confidence"], torch.full((3, L), 1 / (1 + 2 * 0.5)))
    _, confidence = decode(network.contract, {k: v.numpy() for k, v in outputs.items()})
    assert confidence == pytest.approx(0.5)


def test_the_likelihood_is_of_the_centroid_in_cells_over_all_unets(
    network: LUVLi, make_faces: MakeFaces
) -> None:
    task = task_for(network, LossConfig(kind="spread_nll"), make_faces({}))
    points = torch.rand(2, L, 2) * 0.2 + 0.4
    truth = encode_heatmaps(points, (32, 32), 1.5)
    moved = encode_heatmaps(points + torch.tensor([2 / 32, 0]), (32, 32), 1.5)
    with torch.no_grad():
        features = network.features(torch.randn(2, 3, 128, 128))
    features = (truth, *features[1:])
    labels = points.clone()
    labels[0] = math.nan  # a face that nobody labelled
    parts = task.parts(features, {"heatmaps": moved}, {"points": labels})
    # The early map is right; the last lies 2 cells off along x: (2 / 2, 0.3 * 1 / 0.5).
    constant = math.log(2 * math.pi / 3) + math.log(2 * 0.5)
    wanted = constant + math.sqrt(3 * (1 + 0.6**2)) / 2
    assert float(parts["spread"].detach()) == pytest.approx(0.1 * wanted / 2, rel=0.01)


def test_a_missing_landmark_teaches_its_spread_nothing(
    make_model: MakeModel, make_faces: MakeFaces
) -> None:
    model = make_model("luvli", input_size=64, backbone="unet_2", width=0.125)
    assert isinstance(model, LUVLi)
    task = task_for(model, LossConfig(kind="spread_nll"), make_faces({}))
    points = torch.rand(2, L, 2)
    points[:, 5] = math.nan
    task(model, {"images": torch.randn(2, 3, 64, 64), "points": points})["loss"].backward()
    gradient = model.spread.bias.grad
    assert gradient is not None
    taught = gradient.reshape(3, L).abs().sum(dim=0) > 0
    assert not taught[5] and int(taught.sum()) == L - 1
