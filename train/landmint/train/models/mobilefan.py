"""MobileFAN: heatmaps from MobileNetV2 and a narrow decoder of three levels.

Zhao et al., "MobileFAN: transferring deep hidden representation for face alignment", Pattern
Recognition 2020. A decoder of 256 channels would make it 5.2 M parameters; the published 2.0 M
need a narrow one.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from landmint.runtime.contract import Contract, Head, Output
from landmint.train.models.base import (
    LandmarkModel,
    Shape,
    conv_bn_relu,
    heatmap_head,
    scaled,
    start_small,
)
from landmint.train.models.config import Decoder, ModelConfig
from landmint.train.models.pixel_shuffle import PixelShuffle
from landmint.train.models.trunks import EFFICIENTNET_LITE, MOBILENET_V2, timm_trunk

_RISE = 8  # how much finer the heatmaps are than the encoder's last map


class MobileFAN(LandmarkModel):
    """Heatmaps (L, S/4, S/4).

    Taps: the encoder's last map, then the three levels of the decoder.
    """

    BACKBONES: ClassVar[tuple[str, ...]] = (*MOBILENET_V2, *EFFICIENTNET_LITE)
    STRIDES: ClassVar = (4, 2)
    DECODERS: ClassVar = ("deconv", "shuffle")
    IMITATES: ClassVar = (1, 2, 3)
    LEVELS: ClassVar[Mapping[str, tuple[int, ...]]] = {
        # Few where MobileNetV2's 320 channels come in, for there a channel of a 4x4 kernel costs
        # 16 x 320 weights; more towards the heatmaps, whose number may not far exceed the channels
        # that they are made of.
        "deconv": (32, 48, 64),
        "shuffle": (128, 96, 64),  # the same number of weights: here a channel costs 4 x 320
    }
    """Channels of the decoder's levels, coarse to fine, by the way up."""

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build encoder, decoder and head."""
        super().__init__(config, contract)
        self.trunk, (channels,) = timm_trunk(
            self.backbone_of(config),
            config,
            output_stride=self.divisor_of(config),
            out_indices=(4,),
        )
        way = self.decoder_of(config)
        widths = [scaled(level, config.width) for level in self.LEVELS[way]]
        self.decoder = decoder_levels(way, channels, widths)
        self.heatmaps = start_small(nn.Conv2d(widths[-1], contract.landmarks.points, 1))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encoder map and decoder levels, coarse to fine."""
        taps: list[Tensor] = self.trunk(images)
        for layer in self.decoder:
            taps.append(layer(taps[-1]))
        return tuple(taps)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Heatmaps (B, L, S/4, S/4)."""
        return {"heatmaps": self.heatmaps(features[-1])}

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A heatmap head, decoded by local soft-argmax.

        The student is meant for INT8, where a peak is a plateau of a few levels: DARK's second
        differences of logarithms would read rounding noise there, a mean over 25 cells does not.
        """
        return heatmap_head(config, cls.stride_of(config), "local_soft_argmax")

    @classmethod
    def divisor_of(cls, config: ModelConfig) -> int:
        """The encoder's stride: eight times the heatmaps'."""
        return cls.stride_of(config) * _RISE

    @classmethod
    def scales(cls, config: ModelConfig) -> bool:
        """The decoder scales; the encoder has its width in its name."""
        return True


def decoder_levels(way: Decoder, inputs: int, widths: Sequence[int]) -> nn.ModuleList:
    """Layers that each double the size of a map, by deconvolution or pixel shuffle.

    Args:
        way: "deconv" or "shuffle".
        inputs: channels of the map that comes in.
        widths: channels that each level gives.
    """
    twice = separable_shuffle if way == "shuffle" else deconv_bn_relu
    return nn.ModuleList(twice(a, b) for a, b in pairwise([inputs, *widths]))


def deconv_bn_relu(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the size: a transposed convolution whose 4x4 kernel covers each cell evenly."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable_shuffle(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the size: depthwise 3x3, 1x1 to the four cells that each becomes, pixel shuffle.

    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", CVPR 2016, section 3.2.
    """
    return nn.Sequential(
        conv_bn_relu(inputs, inputs, 3, padding=1, groups=inputs),
        conv_bn_relu(inputs, 4 * outputs, 1),
        PixelShuffle(),
    )
