"""Coupled U-Nets: what a block computes, and which block reads what which has learnt."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from landmint.train.models.base import LandmarkModel
from landmint.train.models.coupled_unet import CoupledUNet

MakeModel = Callable[..., LandmarkModel]
BLOCKS = 9  # four down, the neck, four up


def coupled(make_model: MakeModel, count: int) -> Any:
    model = make_model("cunet", input_size=64, backbone=f"unet_{count}", width=0.125)
    assert isinstance(model, CoupledUNet)
    return model


def normed(maps: Tensor, layer: Any) -> Tensor:
    """Norm, ReLU, convolution of a layer, by torch's functions."""
    norm, _, convolution = layer
    mean, variance = norm.running_mean, norm.running_var
    maps = F.relu(F.batch_norm(maps, mean, variance, norm.weight, norm.bias, eps=norm.eps))
    return F.conv2d(maps, convolution.weight, convolution.bias, padding="same")


def test_a_block_learns_from_what_is_joined_and_sums_up_all_of_it(make_model: MakeModel) -> None:
    block = coupled(make_model, 2).eval().stages[1].blocks[0]
    maps, before = torch.randn(1, 16, 8, 8), torch.randn(1, 8, 8, 8)
    joined = torch.cat([maps, before], dim=1)
    new = normed(normed(joined, block.learn[0]), block.learn[1])
    both = torch.cat([joined, new], dim=1)
    wanted = (new, normed(both, block.adapt[0]), normed(both, block.adapt[1]))
    for computed, expected in zip(block([maps, before]), wanted, strict=True):
        torch.testing.assert_close(computed, expected)


def test_a_block_reads_the_same_block_of_the_unet_before_alone(make_model: MakeModel) -> None:
    model = coupled(make_model, 4).eval()
    inputs = [block.learn[0][0].num_features for stage in model.stages for block in stage.blocks]
    first = [16] * 5 + [32] * 4
    assert inputs == first + 3 * [n + 8 for n in first], "the first one has nothing to read"

    third = model.stages[2]
    maps = torch.randn(1, 16, 16, 16)
    sides = [16, 8, 4, 2, 1, 2, 4, 8, 16]
    learnt = [torch.randn(1, 8, n, n, requires_grad=True) for n in sides]
    neck, last, _ = third(maps, learnt)
    assert neck.shape == (1, 16, 1, 1) and last.shape == maps.shape
    reached = torch.autograd.grad(neck.sum(), learnt, allow_unused=True)
    assert [g is not None and bool(g.any()) for g in reached] == [True] * 5 + [False] * 4


def test_every_unet_draws_and_the_next_sees_what_entered_and_left(make_model: MakeModel) -> None:
    model = coupled(make_model, 2).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        entered = model.stem(images)
        _, refined, learnt = model.stages[0](entered, ())
        assert len(learnt) == BLOCKS
        again = normed(torch.cat([refined, entered], dim=1), model.between[0])
        _, last, _ = model.stages[1](again, learnt)
        drawn, fed = model.features(images)
        torch.testing.assert_close(drawn, normed(refined, model.heads[0]))
        torch.testing.assert_close(fed, last)
        torch.testing.assert_close(model(images)["heatmaps"], normed(last, model.heads[1]))
