"""LAB: boundaries are drawn first, and landmarks are read from the picture through them.

Wu et al., "Look at boundary: a boundary-aware face alignment algorithm", CVPR 2018. The
stacks draw contours, which mask the picture and gate the features of a second network, of which
come coordinates. Left out: the messages between contours, and the adversary that judges them.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import conv_bn_relu, scaled
from landmint.train.models.config import ModelConfig
from landmint.train.models.coordinates import CoordinatesHead
from landmint.train.models.hourglass import Gate, Hourglass, PostBlock

_CHANNELS = (32, 64, 128, 256)
_STRIDE = 32  # of the map before the last convolution, which sees the face at once


class LAB(CoordinatesHead, Hourglass):
    """Coordinates (2L,) in [0, 1].

    Taps: the contours that each stack draws, then the regressor's features (B, C, 1, 1).
    """

    IMITATES: ClassVar = ()

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build the stacks that draw contours, and the regressor."""
        super().__init__(config, contract)
        widths = tuple(scaled(n, config.width) for n in _CHANNELS)
        contours = len(contract.landmarks.contours)
        self.regressor = _Regressor(contours, widths, config.input_size // _STRIDE)
        self.coordinates = nn.Linear(widths[-1], contract.outputs[0].shape[0])

    @classmethod
    def maps_drawn(cls, contract: Contract, is_last: bool) -> int:
        """One for each contour."""
        return len(contract.landmarks.contours)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Contours of every stack, then features of what is seen through the last ones.

        Landmarks teach the stacks nothing: contours stay what they are drawn as.
        """
        *early, refined = super().features(images)
        drawn = self.draw(-1, refined)
        return (*early, drawn, self.regressor(images, drawn.detach()))

    @staticmethod
    def early_heatmaps(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """None: no landmark has a map."""
        return ()

    @staticmethod
    def early_boundaries(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A map of each contour (B, E, S/4, S/4) of every stack."""
        return features[:-1]


class _Regressor(nn.Module):
    """From the picture, and the picture under each contour, to features of all of the face."""

    def __init__(self, contours: int, widths: tuple[int, ...], last_side: int) -> None:
        super().__init__()
        self.rise = nn.Upsample(scale_factor=4)
        self.pool = nn.MaxPool2d(2)
        self.enter = conv_bn_relu(3 + contours, widths[0], 7, stride=2, padding=3)
        self.fusions = nn.ModuleList(_Fusion(a, b, contours) for a, b in pairwise(widths))
        self.whole = nn.Sequential(
            conv_bn_relu(widths[-1], widths[-1], last_side),
            conv_bn_relu(widths[-1], widths[-1], 1),
        )

    def forward(self, images: Tensor, contours: Tensor) -> Tensor:
        """Features (B, C, 1, 1) of images (B, 3, S, S) and contours (B, E, S/4, S/4)."""
        gray = images.mean(dim=1, keepdim=True)
        maps = self.enter(torch.cat([images, gray * self.rise(contours)], dim=1))
        for fusion in self.fusions:
            maps = fusion(self.pool(maps), contours)
            contours = self.pool(contours)
        features: Tensor = self.whole(self.pool(maps))
        return features


class _Fusion(nn.Module):
    """Features, and beside them those features where the contours make them count."""

    def __init__(self, inputs: int, outputs: int, contours: int) -> None:
        super().__init__()
        self.gate = Gate(inputs, contours)
        self.block = PostBlock(2 * inputs, outputs)

    def forward(self, maps: Tensor, contours: Tensor) -> Tensor:
        attended = maps * self.gate(maps, contours)
        fused: Tensor = self.block(torch.cat([maps, attended], dim=1))
        return fused
