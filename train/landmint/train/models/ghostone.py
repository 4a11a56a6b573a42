"""PFLD-GhostOne: PFLD's pooled scales on Ghost modules made of MobileOne's branches.

The trunk is that of PFLD-GhostOne, a public variant of PFLD; Han et al., "GhostNet: more features
from cheap operations", CVPR 2020, section 3.1; Vasu et al., "MobileOne: an improved one millisecond
mobile backbone", CVPR 2023, section 3.2. The branches are for training: `deployed` makes one
convolution of them.
"""

from typing import ClassVar

import torch
from timm.models.byobnet import LayerFn, MobileOneBlock
from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import scaled
from landmint.train.models.config import ModelConfig
from landmint.train.models.coordinates import CoordinatesHead
from landmint.train.models.trunks import OWN

_STRIDE = 16
_BRANCHES = 1  # beside that of one cell and the input itself, as in MobileOne-S1 to S4
_WHOLE = 128  # channels of the last scale, which sees the face at once
Sizes = tuple[int, int, int]
"""Of a bottleneck: channels within, channels of its output, stride."""
# Each row ends in a map that is pooled.
_ROWS: tuple[tuple[Sizes, ...], ...] = (
    ((96, 80, 2), (120, 80, 1), (120, 80, 1)),
    ((200, 96, 2), (240, 96, 1), (240, 96, 1)),
    ((336, 144, 2), (504, 144, 1), (504, 144, 1), (504, 144, 1)),
)
_LAST: Sizes = (216, 16, 1)
_COARSE = 32  # channels of what the last scale is seen on


class GhostOne(CoordinatesHead):
    """Coordinates (2L,) in [0, 1].

    Taps: the maps of strides 2, 4, 8 and 16 that are pooled, then all pooled features.
    """

    BACKBONES: ClassVar = (OWN,)
    STRIDES: ClassVar = (_STRIDE,)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and head."""
        super().__init__(config, contract)
        first, coarse, whole = (scaled(n, config.width) for n in (64, _COARSE, _WHOLE))
        stem = nn.Sequential(
            _mobile_one(3, first, 3, stride=2), _mobile_one(first, first, 3, depthwise=True)
        )
        self.rows = nn.ModuleList([stem])
        channels = [first]
        for sizes in _ROWS:
            row, last = _row(channels[-1], sizes, config.width)
            self.rows.append(row)
            channels.append(last)
        narrow, last = _row(channels[-1], (_LAST,), config.width)
        self.whole = nn.Sequential(
            narrow,
            _mobile_one(last, coarse, 3),
            nn.Conv2d(coarse, whole, config.input_size // _STRIDE),
            nn.ReLU(),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.coordinates = nn.Linear(sum(channels) + whole, contract.outputs[0].shape[0])

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The four maps, then the pooled features (B, C, 1, 1)."""
        maps: list[Tensor] = []
        for row in self.rows:
            maps.append(row(maps[-1] if maps else images))
        pooled = [self.pool(each) for each in maps]
        return (*maps, torch.cat([*pooled, self.whole(maps[-1])], dim=1))

    @classmethod
    def scales(cls, config: ModelConfig) -> bool:
        """All channels scale."""
        return True


class _Ghost(nn.Module):
    """Half of the channels by a 1x1 convolution, the other half by a depthwise one of those."""

    def __init__(self, inputs: int, outputs: int, linear: bool = False) -> None:
        super().__init__()
        half = outputs // 2
        self.primary = _mobile_one(inputs, half, 1, linear=linear)
        self.cheap = _mobile_one(half, half, 3, depthwise=True, linear=linear)

    def forward(self, maps: Tensor) -> Tensor:
        primary: Tensor = self.primary(maps)
        return torch.cat([primary, self.cheap(primary)], dim=1)


def _row(inputs: int, sizes: tuple[Sizes, ...], width: float) -> tuple[nn.Sequential, int]:
    """Bottlenecks in a row, and the channels of the last one's output."""
    layers: list[nn.Module] = []
    for within, after, stride in sizes:
        hidden, outputs = scaled(within, width), scaled(after, width)
        layers.append(_Ghost(inputs, hidden))
        if stride > 1:
            layers.append(_mobile_one(hidden, hidden, 3, stride, depthwise=True, linear=True))
        layers.append(_Ghost(hidden, outputs, linear=True))
        inputs = outputs
    return nn.Sequential(*layers), inputs


def _mobile_one(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    depthwise: bool = False,
    linear: bool = False,
) -> nn.Module:
    """Branches of one convolution each, and their sum's ReLU unless it is to be linear."""
    layers = LayerFn(act=nn.Identity if linear else nn.ReLU)
    block: nn.Module = MobileOneBlock(
        inputs,
        outputs,
        kernel,
        stride,
        group_size=1 if depthwise else None,
        num_conv_branches=_BRANCHES,
        layers=layers,
    )
    return block
