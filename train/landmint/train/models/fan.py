"""FAN: stacked hourglasses of hierarchical, parallel and multi-scale blocks, a teacher.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV
2017, section 3.1; the block is that of their "Binarized convolutional landmark localizers", ICCV
2017, figure 1e.
"""

from typing import ClassVar

from torch import nn

from landmint.runtime.contract import Head, Output
from landmint.train.models.base import Shape, heatmap_head
from landmint.train.models.config import ModelConfig
from landmint.train.models.hourglass import Hourglass


class FAN(Hourglass):
    """Heatmaps (L, S/4, S/4) from one hourglass or more, averaged on the way down."""

    BACKBONES: ClassVar = ("fan_4", "fan_2", "fan_1")
    DECODERS: ClassVar = ()
    POOL: ClassVar = nn.AvgPool2d

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A heatmap head, decoded by DARK: the teacher stays in float, where DARK is best."""
        return heatmap_head(config, cls.stride_of(config), "dark")
