"""Depthwise convolutions compute in float32 under autocast, and nothing else changes."""

import torch
from torch import nn

from landmint.train.depthwise import WideDepthwise


def network() -> nn.Sequential:
    torch.manual_seed(0)
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    return nn.Sequential(depthwise, nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1, groups=2))


def test_computes_in_float32_and_answers_in_the_type_given() -> None:
    depthwise, maps = network()[0], torch.randn(2, 8, 6, 6)
    expected = depthwise(maps)
    with torch.autocast("cpu", torch.bfloat16), WideDepthwise():
        assert torch.equal(depthwise(maps), expected)
        half = depthwise(maps.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, depthwise(maps.bfloat16().float()).bfloat16())


def test_only_depthwise_convolutions_change() -> None:
    layers, maps = network(), torch.ones(1, 8, 6, 6)
    plain = layers(maps)
    with WideDepthwise():
        assert torch.equal(layers(maps), plain)
        with torch.autocast("cpu", torch.bfloat16):
            kinds = [layer(maps).dtype for layer in layers]
    assert kinds == [torch.float32, torch.bfloat16, torch.bfloat16]
    assert all(type(layer) is nn.Conv2d for layer in layers)


def test_gradients_reach_the_weights() -> None:
    depthwise = network()[0]
    with torch.autocast("cpu", torch.bfloat16), WideDepthwise():
        depthwise(torch.randn(2, 8, 6, 6)).sum().backward()
    assert depthwise.weight.grad is not None and depthwise.weight.grad.dtype == torch.float32
