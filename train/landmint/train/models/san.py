"""SAN: stages that see a face twice, as it is and in a style that all faces share.

Dong et al., "Style aggregated network for facial landmark detection", CVPR 2018, section 3.2. There
the second picture is the mean of what two generative networks make of the first, at 9 GMACs each.
Here it is the mean of a gray picture and of one without what is alike over large areas, which is
one fixed convolution.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landmint.runtime.contract import Contract, Head, Output
from landmint.train.models.base import Shape, heatmap_head
from landmint.train.models.config import ModelConfig
from landmint.train.models.cpm import CPM, convolutions

_AROUND = 4  # pixels on each side that are large areas' measure


class SAN(CPM):
    """Heatmaps (L, S/8, S/8).

    Taps: the heatmaps of the first stage on either picture, then those of every stage but the
    last, then the map that feeds the last one's.
    """

    BACKBONES: ClassVar = ("cpm_3", "cpm_2")
    TRUNK: ClassVar = ((64, 64), (128, 128), (256,) * 3, (512, 512, 512, 256))
    VIEWS: ClassVar = 2
    style: Tensor

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and stages, and the kernel of the style."""
        super().__init__(config, contract)
        self.register_buffer("style", style_kernel(), persistent=False)

    @staticmethod
    def first_stage(seen: int, width: int) -> nn.Sequential:
        """Four 3x3 convolutions and a 1x1 to more channels."""
        around = convolutions(seen, seen, (3, 3, 3, 3))
        return around.extend(convolutions(seen, width, (1,)))

    @staticmethod
    def refinement(inputs: int, width: int) -> nn.Sequential:
        """Three 7x7 convolutions, four 3x3 and a 1x1."""
        return convolutions(inputs, width, (7, 7, 7, 3, 3, 3, 3, 1))

    def views(self, images: Tensor) -> tuple[Tensor, ...]:
        """The picture and its styled form."""
        return images, F.conv2d(images, self.style, padding=_AROUND)

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A heatmap head, decoded by the centroid of the cells about the peak."""
        return heatmap_head(config, cls.stride_of(config), "centroid")


def style_kernel() -> Tensor:
    """Weights (3, 3, 9, 9): in every channel the gray picture, less half of its local mean."""
    side = 2 * _AROUND + 1
    kernel = torch.full((side, side), -0.5 / side**2)
    kernel[_AROUND, _AROUND] += 1
    return (kernel / 3).expand(3, 3, side, side).clone()
