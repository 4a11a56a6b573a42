"""CPM: heatmaps that stage after stage corrects, as OpenPose's face network has it.

Wei et al., "Convolutional pose machines", CVPR 2016; Simon et al., "Hand keypoint detection in
single images using multiview bootstrapping", CVPR 2017, whose network OpenPose uses for faces.
Batch norms are added, which fold away, and the map of the background is left out.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import conv_bn_relu, scaled, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.staged import Staged

_STRIDE = 8
# VGG-19 up to its second convolution of stride 16, whose pool is left out.
_TRUNK = ((64, 64), (128, 128), (256,) * 4, (512,) * 6)
_SEEN = 128  # channels that every stage sees of the picture
_FIRST = 512  # channels of the first stage


class CPM(Staged):
    """Heatmaps (L, S/8, S/8).

    Taps: the heatmaps of every stage but the last, then the map that feeds the last one's.
    """

    BACKBONES: ClassVar = ("cpm_6", "cpm_3", "cpm_2")
    STRIDES: ClassVar = (_STRIDE,)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and stages."""
        super().__init__(config, contract)
        points = contract.landmarks.points
        seen, first = scaled(_SEEN, config.width), scaled(_FIRST, config.width)
        layers: list[nn.Module] = []
        last = 3
        for group in _TRUNK:
            layers += [nn.MaxPool2d(2)] if layers else []
            for channels in (scaled(n, config.width) for n in group):
                layers.append(conv_bn_relu(last, channels, 3, padding=1))
                last = channels
        self.trunk = nn.Sequential(*layers, conv_bn_relu(last, seen, 3, padding=1))
        later = int(self.backbone_of(config).removeprefix("cpm_")) - 1
        self.stages = nn.ModuleList([conv_bn_relu(seen, first, 1)])
        self.stages.extend(_refinement(seen + points, seen) for _ in range(later))
        widths = [first, *[seen] * later]
        self.heads = nn.ModuleList(start_small(nn.Conv2d(n, points, 1)) for n in widths)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Heatmaps of the early stages, then the last stage's map."""
        seen: Tensor = self.trunk(images)
        refined: Tensor = self.stages[0](seen)
        taps: list[Tensor] = []
        for head, stage in zip(self.heads, self.stages[1:], strict=False):
            taps.append(head(refined))
            refined = stage(torch.cat([seen, taps[-1]], dim=1))
        return (*taps, refined)


def _refinement(inputs: int, width: int) -> nn.Sequential:
    """Five 7x7 convolutions and a 1x1."""
    sizes = pairwise([inputs, *[width] * 5])
    wide = [conv_bn_relu(a, b, 7, padding=3) for a, b in sizes]
    return nn.Sequential(*wide, conv_bn_relu(width, width, 1))
