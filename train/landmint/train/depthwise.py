"""Depthwise convolutions in float32, for CPUs that train in bfloat16.

oneDNN has no fast backward pass for them in bfloat16: a 3x3 of stride 2 on 64 channels takes seven
times as long as in float32. On one core with AVX-512, a step of PIPNet on MobileNetV3-Large takes
about three quarters of its time with this, one of MobileFAN two thirds.
"""

import torch
from torch import Tensor, nn


class _WideDepthwise(nn.Conv2d):
    """Computes in float32 whatever autocast says; answers in the type that it was given."""

    def forward(self, maps: Tensor) -> Tensor:
        with torch.autocast(maps.device.type, enabled=False):
            return super().forward(maps.float()).to(maps.dtype)


def widen_depthwise(network: nn.Module) -> None:
    """Let every depthwise convolution of `network` compute in float32; its weights are float32."""
    for module in network.modules():
        if type(module) is nn.Conv2d and 1 < module.groups == module.in_channels:
            module.__class__ = _WideDepthwise
