"""PIPNet: landmarks by a coarse score map, offsets inside its cells, and neighbours' votes.

Jin, Liao and Shao, "Pixel-in-Pixel Net", IJCV 2021, section 3.
"""

from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from landmint.runtime.contract import Contract, Head, Output
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.models.base import Shape, conv_bn_relu, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.one_trunk import OneTrunk
from landmint.train.models.trunks import (
    EFFICIENTNET_LITE,
    MOBILENET_V2,
    MOBILENET_V3,
    RESNET,
)

_WIDENED = 1280  # channels that MobileNetV2 ends with, which timm leaves to its classifier


class PIPNet(OneTrunk):
    """Five 1x1 convolutions on the last map of a trunk, MobileNetV3 first.

    Taps: the trunk's maps of strides 8 and 16, then the last one, which feeds the head.
    """

    BACKBONES: ClassVar = (*MOBILENET_V3, *EFFICIENTNET_LITE, *MOBILENET_V2, *RESNET)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and head."""
        super().__init__(config, contract)
        last = self.channels
        self.widen: nn.Module = nn.Identity()
        if self.backbone_of(config) in MOBILENET_V2:
            self.widen, last = conv_bn_relu(last, _WIDENED, 1), _WIDENED
        self.convs = nn.ModuleDict(
            {
                output.name: start_small(nn.Conv2d(last, output.shape[0], 1))
                for output in contract.outputs
            }
        )

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The trunk's maps, fine to coarse."""
        *early, last = self.trunk(images)
        return (*early, self.widen(last))

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Scores (B, L, g, g), offsets (B, L, g, g), neighbours' offsets (B, K L, g, g)."""
        return {name: conv(features[-1]) for name, conv in self.convs.items()}

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A PIP head whose neighbours are the nearest landmarks of the mean shape."""
        grid, points = config.input_size // cls.stride_of(config), get_markup(config.markup).points
        neighbours = nearest(mean_shape, config.neighbours)
        votes = points * config.neighbours
        outputs = tuple(
            Output(name, (channels, grid, grid))
            for name, channels in (
                ("cls", points),
                ("x", points),
                ("y", points),
                ("nb_x", votes),
                ("nb_y", votes),
            )
        )
        return Head("pip", neighbours=neighbours), outputs


def nearest(mean_shape: Shape, count: int) -> tuple[tuple[int, ...], ...]:
    """For each of L landmarks (L, 2) the `count` nearest others, nearest first.

    Raises:
        LandmintError: there are not that many others.
    """
    others = len(mean_shape) - 1
    if count > others:
        raise LandmintError(
            f"neighbours = {count}, but a landmark has {others} others",
            remedy=f"set neighbours to at most {others}",
        )
    apart = np.linalg.norm(mean_shape[:, None] - mean_shape[None], axis=2)
    np.fill_diagonal(apart, np.inf)  # nobody is their own neighbour
    order = np.argsort(apart, axis=1, kind="stable")[:, :count]
    return tuple(tuple(int(i) for i in row) for row in order)
