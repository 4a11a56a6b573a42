"""GhostOne: what its modules compute, and that a device's form computes the same."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landmint.train.models.base import LandmarkModel, tap_shapes
from landmint.train.models.complexity import complexity
from landmint.train.models.deployed import deployed

MakeModel = Callable[..., LandmarkModel]


@pytest.fixture
def network(make_model: MakeModel) -> Any:
    """A narrow network in eval mode, whose batch norms have seen something."""
    model = make_model("ghostone", input_size=64, width=0.25)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (module.bias, module.running_mean):
                assert values is not None
                nn.init.normal_(values, std=0.1)
    return model.eval()


def test_the_merged_network_computes_the_same_and_the_model_stays(network: Any) -> None:
    images = torch.randn(2, 3, 64, 64)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    merged = deployed(network)
    assert not [m for m in merged.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for ours, wanted in zip(merged.features(images), network.features(images), strict=True):
            torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(network.state_dict()[name], v) for name, v in before.items())
    smaller = sum(p.numel() for p in merged.parameters())
    assert complexity(network).parameters == smaller
    assert smaller < sum(p.numel() for p in network.parameters())


def branches(maps: Tensor, block: Any, groups: int, stride: int = 1) -> Tensor:
    """A convolution, that of one cell and the input itself, each with its norm; no ReLU."""

    def normed(values: Tensor, norm: Any) -> Tensor:
        mean, variance = norm.running_mean, norm.running_var
        return F.batch_norm(values, mean, variance, norm.weight, norm.bias, eps=norm.eps)

    convolutions = [*block.conv_kxk, *([block.conv_scale] if block.conv_scale else [])]
    each = [
        normed(
            F.conv2d(
                maps,
                part.conv.weight,
                stride=stride,
                padding=part.conv.weight.shape[2] // 2,
                groups=groups,
            ),
            part.bn,
        )
        for part in convolutions
    ]
    if block.identity is not None:
        each.append(normed(maps, block.identity))
    return torch.stack(each).sum(dim=0)


def test_half_of_a_ghost_is_made_of_the_other_half(network: Any) -> None:
    narrow, _, wide = network.rows[1][:3]  # a bottleneck: a Ghost, the stride, a Ghost
    maps = torch.randn(1, 16, 8, 8)
    primary = F.relu(branches(maps, narrow.primary, 1))
    cheap = F.relu(branches(primary, narrow.cheap, primary.shape[1]))
    with torch.no_grad():
        computed = narrow(maps)
        torch.testing.assert_close(computed, torch.cat([primary, cheap], dim=1))
        linear = branches(computed, wide.primary, 1)
        both = torch.cat([linear, branches(linear, wide.cheap, linear.shape[1])], dim=1)
        torch.testing.assert_close(wide(computed), both)


def test_five_scales_are_pooled(network: Any) -> None:
    shapes = tap_shapes(network)
    assert shapes == ((16, 32, 32), (24, 16, 16), (24, 8, 8), (40, 4, 4), (136, 1, 1))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        *maps, pooled = network.features(images)
    start = 0
    for each in maps:
        mean = each.mean(dim=(2, 3))
        torch.testing.assert_close(pooled[:, start : start + mean.shape[1], 0, 0], mean)
        start += mean.shape[1]
    assert pooled.shape[1] - start == 32
