"""FAN: stacked hourglasses of hierarchical, parallel and multi-scale blocks, a teacher.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV
2017, section 3.1; the block is that of their "Binarized convolutional landmark localizers", ICCV
2017, figure 1e. Every stack draws heatmaps; the next one sees them.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract, Head, Output
from landmint.train.models.base import LandmarkModel, Shape, heatmap_head, start_small
from landmint.train.models.config import ModelConfig

_STRIDE = 4  # input pixels per heatmap cell
_DEPTH = 4  # halvings within an hourglass
_COARSEST = 64  # stride of its smallest map: _STRIDE times two to the power of _DEPTH
_WIDTH = 256


class FAN(LandmarkModel):
    """Heatmaps (L, S/4, S/4) from two or four hourglasses.

    Taps: the heatmaps of every stack but the last, then the map that feeds the last one's.
    """

    BACKBONES: ClassVar = ("fan_4", "fan_2", "fan_1")
    STRIDES: ClassVar = (_STRIDE,)
    IMITATES: ClassVar = (-1,)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build stem and stacks."""
        super().__init__(config, contract)
        points = contract.landmarks.points
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            _Block(64, 128),
            nn.AvgPool2d(2),
            _Block(128, 128),
            _Block(128, _WIDTH),
        )
        count = int(self.backbone_of(config).removeprefix("fan_"))
        self.stacks = nn.ModuleList(_Stack() for _ in range(count))
        self.heads = nn.ModuleList(start_small(nn.Conv2d(_WIDTH, points, 1)) for _ in range(count))
        self.back = nn.ModuleList(nn.Conv2d(_WIDTH, _WIDTH, 1) for _ in range(count - 1))
        self.seen = nn.ModuleList(nn.Conv2d(points, _WIDTH, 1) for _ in range(count - 1))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Heatmaps of the early stacks, then the last stack's map."""
        taps: list[Tensor] = []
        maps = self.stem(images)
        for stack, head, back, seen in zip(
            self.stacks[:-1], self.heads[:-1], self.back, self.seen, strict=True
        ):
            refined = stack(maps)
            taps.append(head(refined))
            maps = maps + back(refined) + seen(taps[-1])
        return (*taps, self.stacks[-1](maps))

    @staticmethod
    def early_heatmaps(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Those of every stack but the last: each learns to draw them."""
        return features[:-1]

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Heatmaps (B, L, S/4, S/4) of the last stack."""
        return {"heatmaps": self.heads[-1](features[-1])}

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A heatmap head, decoded by DARK: the teacher stays in float, where DARK is best."""
        return heatmap_head(config, _STRIDE, "dark")

    @classmethod
    def divisor_of(cls, config: ModelConfig) -> int:
        """The stride of an hourglass's coarsest map."""
        return _COARSEST


class _Block(nn.Module):
    """Three 3x3 convolutions in a row, the outputs of all of them joined, around a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.first = _norm_relu_conv(inputs, half, 3)
        self.second = _norm_relu_conv(half, quarter, 3)
        self.third = _norm_relu_conv(quarter, quarter, 3)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = _norm_relu_conv(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        first = self.first(maps)
        second = self.second(first)
        joined = torch.cat([first, second, self.third(second)], dim=1)
        shortcut: Tensor = self.shortcut(maps)
        return joined + shortcut


class _Hourglass(nn.Module):
    """Down and up again, with a block beside each size."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.beside = _Block(_WIDTH, _WIDTH)
        self.before = nn.Sequential(nn.AvgPool2d(2), _Block(_WIDTH, _WIDTH))
        self.within = _Hourglass(depth - 1) if depth > 1 else _Block(_WIDTH, _WIDTH)
        self.after = nn.Sequential(_Block(_WIDTH, _WIDTH), nn.Upsample(scale_factor=2))

    def forward(self, maps: Tensor) -> Tensor:
        beside: Tensor = self.beside(maps)
        below: Tensor = self.after(self.within(self.before(maps)))
        return beside + below


class _Stack(nn.Sequential):
    """An hourglass and the layers from it to the map that heatmaps are drawn from."""

    def __init__(self) -> None:
        super().__init__(
            _Hourglass(_DEPTH),
            _Block(_WIDTH, _WIDTH),
            nn.Conv2d(_WIDTH, _WIDTH, 1),
            nn.BatchNorm2d(_WIDTH),
            nn.ReLU(inplace=True),
        )


def _norm_relu_conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.ReLU(),  # not in place: the shortcut reads the same map
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
    )
