"""PFLD: coordinates straight from pooled maps of three scales.

Guo et al., "PFLD: a practical facial landmark detector", arXiv 1902.10859. The net that guesses
the head's pose lives in the training task, not here: it is never deployed.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import conv_bn_relu, scaled
from landmint.train.models.config import ModelConfig
from landmint.train.models.coordinates import CoordinatesHead
from landmint.train.models.trunks import EFFICIENTNET_LITE, MOBILENET_V3, OWN, timm_trunk

_WHOLE = 128  # channels of the third scale, which sees the face at once


class PFLD(CoordinatesHead):
    """Coordinates (2L,) in [0, 1].

    Taps: an early map, which the pose net reads in training, and the pooled features.
    """

    BACKBONES: ClassVar = (OWN, *MOBILENET_V3, *EFFICIENTNET_LITE)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and head."""
        super().__init__(config, contract)
        backbone, stride = self.backbone_of(config), self.stride_of(config)
        self.trunk: nn.Module
        self.narrow: nn.Module
        if backbone == OWN:
            self.trunk = own = OwnTrunk(config.width)
            self.narrow = nn.Identity()
            _, middle, coarse = own.channels
        else:
            self.trunk, (_, middle, last) = timm_trunk(
                backbone, config, output_stride=stride, out_indices=(2, 3, 4)
            )
            coarse = _WHOLE
            self.narrow = conv_bn_relu(last, coarse, 1)
        whole = scaled(_WHOLE, config.width)
        self.whole = conv_bn_relu(coarse, whole, kernel=config.input_size // stride)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.coordinates = nn.Linear(middle + coarse + whole, contract.outputs[0].shape[0])

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The early map, then the pooled features (B, C, 1, 1)."""
        early, middle, last = self.trunk(images)
        coarse = self.narrow(last)
        pooled = torch.cat([self.pool(middle), self.pool(coarse), self.whole(coarse)], dim=1)
        return early, pooled

    @classmethod
    def strides_for(cls, config: ModelConfig) -> tuple[int, ...]:
        """16 for the own trunk; timm's may be dilated from 32 to 16."""
        return (16,) if cls.backbone_of(config) == OWN else (32, 16)

    @classmethod
    def scales(cls, config: ModelConfig) -> bool:
        """The own trunk scales; timm's have their width in their name."""
        return cls.backbone_of(config) == OWN


class OwnTrunk(nn.Module):
    """The paper's MobileNetV2-like trunk: maps of strides 4, 8 and 16."""

    def __init__(self, width: float) -> None:
        """Build it with its channels multiplied by `width`."""
        super().__init__()
        early, middle, narrow, coarse = (scaled(n, width) for n in (64, 128, 16, 32))
        self.channels = (early, narrow, coarse)
        self.early = nn.Sequential(
            conv_bn_relu(3, early, 3, stride=2, padding=1),
            conv_bn_relu(early, early, 3, padding=1, groups=early),
            InvertedResidual(early, early, expand=2, stride=2),
            *(InvertedResidual(early, early, expand=2) for _ in range(4)),
        )
        self.middle = nn.Sequential(
            InvertedResidual(early, middle, expand=2, stride=2),
            *(InvertedResidual(middle, middle, expand=4) for _ in range(6)),
            InvertedResidual(middle, narrow, expand=2),
        )
        self.coarse = conv_bn_relu(narrow, coarse, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Early, middle and coarse map."""
        early = self.early(images)
        middle = self.middle(early)
        return early, middle, self.coarse(middle)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen by 1x1, depthwise 3x3, narrow by 1x1 without activation."""

    def __init__(self, inputs: int, outputs: int, expand: int, stride: int = 1) -> None:
        """Build it; the input is added where shapes allow."""
        super().__init__()
        hidden = inputs * expand
        self.skips = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            conv_bn_relu(inputs, hidden, 1),
            conv_bn_relu(hidden, hidden, 3, stride, padding=1, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        changed: Tensor = self.layers(maps)
        return maps + changed if self.skips else changed
