"""HIH: a heatmap for the cell, and a small one for the place within it.

Lan et al., "HIH: towards more accurate face alignment via heatmap in heatmap", arXiv 2104.03100,
section 3, with the convolutional head. An inner map's cells are fractions of one cell of the outer
map: the head classifies by what its layers have seen, not by where.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract, Head, Output
from landmint.runtime.markup import get_markup
from landmint.train.models.base import Shape, conv_bn_relu, scaled, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.hourglass import Hourglass

INNER = 8
"""Cells along a side of an inner map."""
_WIDTH = 384


class HIH(Hourglass):
    """Heatmaps (L, S/4, S/4), and inner ones (L, 8, 8)."""

    BACKBONES: ClassVar = tuple(
        f"{block}_{stacks}" for block in ("residual", "hourglass") for stacks in (4, 2, 1)
    )

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build stacks and both heads."""
        super().__init__(config, contract)
        inputs, width = scaled(256, config.width), scaled(_WIDTH, config.width)
        side = contract.outputs[0].shape[1]
        halvings = (side // INNER).bit_length() - 1
        pools = max(0, halvings - 2)
        strides = [1 + (i < halvings - pools) for i in range(2)]
        self.inner = nn.Sequential(
            conv_bn_relu(inputs, width, 1),
            *(nn.MaxPool2d(2) for _ in range(pools)),
            *(_Residual(width, stride) for stride in strides),
            conv_bn_relu(width, width, 1),
            start_small(nn.Conv2d(width, contract.landmarks.points, 1)),
        )

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Heatmaps (B, L, S/4, S/4) of the last stack, and logits (B, L, 8, 8) of inner cells."""
        return {**super().head(features), "inner": self.inner(features[-1])}

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A nested head."""
        side, points = config.input_size // cls.stride_of(config), get_markup(config.markup).points
        sides = {"heatmaps": side, "inner": INNER}
        outputs = tuple(Output(name, (points, n, n)) for name, n in sides.items())
        return Head("nested", sigma=config.heatmap_sigma), outputs


class _Residual(nn.Module):
    """Two 3x3 convolutions around a 1x1 one, all of them after the input's ReLU."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn_relu(width, width, 3, stride, padding=1),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(width, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = self.layers(maps)
        shortcut: Tensor = self.shortcut(maps)
        return torch.relu(changed + shortcut)
