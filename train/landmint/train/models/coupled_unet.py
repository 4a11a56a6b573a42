"""Coupled U-Nets: each block also reads what the same block of the U-Net before has learnt.

Tang et al., "Quantized densely connected U-Nets for efficient landmark localization", ECCV 2018,
with couplings of order one: to the U-Net before, no further. Maps are joined before they
are normalised, so that in INT8 every batch norm of a joined map stays an operator of its own.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import conv_bn_relu, scaled, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.shared_norm import SharedNorm, norm_relu_conv
from landmint.train.models.staged import Staged

_STRIDE = 4  # input pixels per heatmap cell
_DEPTH = 4  # halvings within a U-Net
NECK_STRIDE = 64
"""Input pixels per cell of a U-Net's smallest map: _STRIDE times two to the power of _DEPTH."""
WIDTH = 128
"""Published channels of every map."""
_GROWTH = 32  # channels that a block learns


class CoupledUNet(Staged):
    """Heatmaps (L, S/4, S/4), drawn after every U-Net.

    Taps: what every U-Net but the last draws, then the map that feeds the last one's head.
    """

    BACKBONES: ClassVar = tuple(f"unet_{count}" for count in (8, 4, 2, 1))
    STRIDES: ClassVar = (_STRIDE,)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build stem and U-Nets."""
        super().__init__(config, contract)
        width, growth = scaled(WIDTH, config.width), scaled(_GROWTH, config.width)
        count = int(self.backbone_of(config).removeprefix("unet_"))
        self.stem = nn.Sequential(
            conv_bn_relu(3, width, 7, stride=2, padding=3),
            nn.MaxPool2d(2),
        )
        self.stages = nn.ModuleList(_UNet(width, growth, coupled=t > 0) for t in range(count))
        self.between = nn.ModuleList(norm_relu_conv(2 * width, width, 1) for _ in range(count - 1))
        points = contract.landmarks.points
        self.heads = nn.ModuleList(
            nn.Sequential(SharedNorm(width), nn.ReLU(), start_small(nn.Conv2d(width, points, 1)))
            for _ in range(count)
        )

    def passes(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Smallest map (B, C, S/64, S/64) and last map (B, C, S/4, S/4) of each U-Net in turn."""
        entered: Tensor = self.stem(images)
        learnt: Sequence[Tensor] = ()
        for t, stage in enumerate(self.stages):
            neck, refined, learnt = stage(entered, learnt)
            yield neck, refined
            if t < len(self.between):
                entered = self.between[t](torch.cat([refined, entered], dim=1))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Drawings of the early U-Nets, then the last one's map."""
        *early, last = (refined for _, refined in self.passes(images))
        return (*(self.draw(t, refined) for t, refined in enumerate(early)), last)

    @classmethod
    def divisor_of(cls, config: ModelConfig) -> int:
        """The stride of a U-Net's smallest map."""
        return NECK_STRIDE


class _UNet(nn.Module):
    """Down and up again; the blocks are in the order in which maps pass them."""

    def __init__(self, width: int, growth: int, coupled: bool) -> None:
        super().__init__()
        down = (_Block(width, width, growth, coupled, adapters=2) for _ in range(_DEPTH))
        neck = _Block(width, width, growth, coupled, adapters=1)
        up = (_Block(2 * width, width, growth, coupled, adapters=1) for _ in range(_DEPTH))
        self.blocks = nn.ModuleList([*down, neck, *up])
        self.pool = nn.MaxPool2d(2)
        self.rise = nn.Upsample(scale_factor=2)

    def forward(
        self, maps: Tensor, before: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Smallest map, last map, and what each block has learnt.

        Args:
            maps: (B, C, H, W).
            before: what each block of the U-Net before has learnt; nothing for the first one.
        """
        learnt: list[Tensor] = []
        skips: list[Tensor] = []
        neck = maps
        for i, block in enumerate(self.blocks):
            if i > _DEPTH:
                maps = torch.cat([self.rise(maps), skips.pop()], dim=1)
            new, ahead, *beside = block([maps, *before[i : i + 1]])
            learnt.append(new)
            skips += beside
            maps = self.pool(ahead) if i < _DEPTH else ahead
            neck = maps if i == _DEPTH else neck
        return neck, maps, learnt


class _Block(nn.Module):
    """A dense layer, and 1x1 convolutions that sum up what it has read and learnt."""

    def __init__(self, inputs: int, width: int, growth: int, coupled: bool, adapters: int) -> None:
        super().__init__()
        inputs += growth * coupled
        self.learn = nn.Sequential(
            norm_relu_conv(inputs, width, 1),
            norm_relu_conv(width, growth, 3, nn.BatchNorm2d),
        )
        self.adapt = nn.ModuleList(
            norm_relu_conv(inputs + growth, width, 1) for _ in range(adapters)
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What it learns from maps that are joined, then one map of each adapter."""
        joined = torch.cat([*maps], dim=1)
        new: Tensor = self.learn(joined)
        both = torch.cat([joined, new], dim=1)
        return (new, *(adapter(both) for adapter in self.adapt))
