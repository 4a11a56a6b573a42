"""Batch norm before a convolution, of a map that others read too."""

import torch
from torch import Tensor, nn


class SharedNorm(nn.BatchNorm2d):
    """A batch norm of a map that others read too: no convolution before it can take it in.

    Exported, it is a multiplication and an addition for each channel, which INT8 kernels have.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W), normalised."""
        if not torch.onnx.is_in_onnx_export():
            return super().forward(maps)
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight / (self.running_var + self.eps).sqrt()
        shift = self.bias - self.running_mean * scale
        return maps * scale[:, None, None] + shift[:, None, None]


def norm_relu_conv(
    inputs: int,
    outputs: int,
    kernel: int,
    norm: type[nn.BatchNorm2d] = SharedNorm,
    bias: bool = False,
) -> nn.Sequential:
    """Batch norm, ReLU, and a convolution that keeps the size."""
    return nn.Sequential(
        norm(inputs),
        nn.ReLU(),  # not in place: the shortcut reads the same map
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias),
    )
