"""CPM: heatmaps that stage after stage corrects, as OpenPose's face network has it.

Wei et al., "Convolutional pose machines", CVPR 2016; Simon et al., "Hand keypoint detection in
single images using multiview bootstrapping", CVPR 2017, whose network OpenPose uses for faces.
Batch norms are added, which fold away, and the map of the background is left out.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import conv_bn_relu, scaled, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.staged import Staged

_STRIDE = 8
_SEEN = 128  # channels that every stage sees of the picture
_FIRST = 512  # channels of the first stage


class CPM(Staged):
    """Heatmaps (L, S/8, S/8).

    Taps: the heatmaps of every stage but the last, then the map that feeds the last one's.
    """

    BACKBONES: ClassVar[tuple[str, ...]] = ("cpm_6", "cpm_3", "cpm_2")
    STRIDES: ClassVar = (_STRIDE,)
    TRUNK: ClassVar[tuple[tuple[int, ...], ...]] = ((64, 64), (128, 128), (256,) * 4, (512,) * 6)
    """Channels of 3x3 convolutions, a pool between groups: VGG-19 up to its second convolution of
    stride 16, whose pool is left out."""
    VIEWS: ClassVar = 1
    """How many pictures of a face the stages see."""

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and stages."""
        super().__init__(config, contract)
        points = contract.landmarks.points
        seen, first = scaled(_SEEN, config.width), scaled(_FIRST, config.width)
        layers: list[nn.Module] = []
        last = 3
        for group in self.TRUNK:
            layers += [nn.MaxPool2d(2)] if layers else []
            for channels in (scaled(n, config.width) for n in group):
                layers.append(conv_bn_relu(last, channels, 3, padding=1))
                last = channels
        self.trunk = nn.Sequential(*layers, conv_bn_relu(last, seen, 3, padding=1))
        later = int(self.backbone_of(config).removeprefix("cpm_")) - 1
        self.stages = nn.ModuleList([self.first_stage(seen, first)])
        for drawn in [self.VIEWS, *[1] * later][:later]:
            self.stages.append(self.refinement(self.VIEWS * seen + drawn * points, seen))
        widths = [first, *[seen] * later]
        self.heads = nn.ModuleList(start_small(nn.Conv2d(n, points, 1)) for n in widths)

    @staticmethod
    def first_stage(seen: int, width: int) -> nn.Sequential:
        """A 1x1 convolution."""
        return conv_bn_relu(seen, width, 1)

    @staticmethod
    def refinement(inputs: int, width: int) -> nn.Sequential:
        """Five 7x7 convolutions and a 1x1."""
        return convolutions(inputs, width, (7, 7, 7, 7, 7, 1))

    def views(self, images: Tensor) -> tuple[Tensor, ...]:
        """The pictures that the stages see."""
        return (images,)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Heatmaps of the early stages, then the last stage's map."""
        seen = self._of_each(self.trunk, self.views(images))
        refined = self._of_each(self.stages[0], seen)
        taps: list[Tensor] = []
        for head, stage in zip(self.heads, self.stages[1:], strict=False):
            drawn = [head(maps) for maps in refined]
            taps += drawn
            refined = [stage(torch.cat([*seen, *drawn], dim=1))]
        return (*taps, *refined)

    def _of_each(self, layers: nn.Module, pictures: Sequence[Tensor]) -> list[Tensor]:
        """Maps of every picture; in training, norms see all of them as one batch."""
        if self.training:
            return list(layers(torch.cat(list(pictures))).chunk(len(pictures)))
        return [layers(picture) for picture in pictures]


def convolutions(inputs: int, width: int, kernels: tuple[int, ...]) -> nn.Sequential:
    """Convolutions of so many cells a side, to as many channels each."""
    sizes = pairwise([inputs, *[width] * len(kernels)])
    return nn.Sequential(
        *(conv_bn_relu(a, b, k, padding=k // 2) for (a, b), k in zip(sizes, kernels, strict=True))
    )
