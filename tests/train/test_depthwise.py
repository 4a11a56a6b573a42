"""Depthwise convolutions compute in float32 under autocast, and nothing else changes."""

import copy

import torch
from torch import nn

from landmint.train.depthwise import widen_depthwise


def network() -> nn.Sequential:
    torch.manual_seed(0)
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    return nn.Sequential(depthwise, nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1, groups=2))


def test_computes_in_float32_and_answers_in_the_type_given() -> None:
    wide, maps = network(), torch.randn(2, 8, 6, 6)
    expected = wide[0](maps)
    widen_depthwise(wide)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(wide[0](maps), expected)
        half = wide[0](maps.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, wide[0](maps.bfloat16().float()).bfloat16())


def test_only_depthwise_convolutions_change() -> None:
    plain, wide = network(), network()
    widen_depthwise(wide)
    assert [type(layer) is nn.Conv2d for layer in wide] == [False, True, True]
    assert plain.state_dict().keys() == copy.deepcopy(wide).state_dict().keys()
    assert torch.equal(plain(torch.ones(1, 8, 6, 6)), wide(torch.ones(1, 8, 6, 6)))
