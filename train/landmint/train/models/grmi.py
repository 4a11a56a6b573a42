"""G-RMI's head: where a landmark roughly is, and from there two offsets to it.

Papandreou et al., "Towards accurate multi-person pose estimation in the wild", CVPR 2017, section
3.2, on a trunk with a narrow decoder as MobileFAN has it. UDP and PifPaf train the same head by
other targets; CenterNet's offsets are one map for all landmarks.
"""

import math
from typing import ClassVar

from torch import Tensor, nn

from landmint.runtime.contract import OFFSETS, Contract, Head, Output
from landmint.runtime.markup import get_markup
from landmint.train.models.base import LandmarkModel, Shape, scaled, start_small
from landmint.train.models.config import Decoder, ModelConfig
from landmint.train.models.mobilefan import decoder_levels
from landmint.train.models.trunks import EFFICIENTNET_LITE, MOBILENET_V2, RESNET, timm_trunk

_RARE = 0.05  # what scores begin with: few cells are near a landmark
_LEVELS = (128, 96, 64)  # channels of the decoder, coarse to fine
_COARSEST = 32  # stride of the trunk's last map


class GRMI(LandmarkModel):
    """Scores (L, S/8, S/8) and offsets (L, S/8, S/8) along x and y, in cells.

    Taps: the encoder's last map, then the decoder's levels.
    """

    BACKBONES: ClassVar = (*EFFICIENTNET_LITE, *MOBILENET_V2, *RESNET)
    STRIDES: ClassVar = (8, 4, 16)
    DECODERS: ClassVar[tuple[Decoder, ...]] = ("shuffle", "deconv")
    IMITATES: ClassVar = (-1,)
    SHARES_OFFSETS: ClassVar[bool] = False
    """Whether all landmarks read one map of offsets."""

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build encoder, decoder and head."""
        super().__init__(config, contract)
        self.trunk, (channels,) = timm_trunk(
            self.backbone_of(config), config, output_stride=_COARSEST, out_indices=(4,)
        )
        rises = (_COARSEST // self.stride_of(config)).bit_length() - 1
        widths = [scaled(level, config.width) for level in _LEVELS[:rises]]
        self.decoder = decoder_levels(self.decoder_of(config), channels, widths)
        maps, last = [output.shape[0] for output in contract.outputs], widths[-1]
        self.scores = start_small(nn.Conv2d(last, maps[0], 1))
        assert self.scores.bias is not None
        nn.init.constant_(self.scores.bias, math.log(_RARE / (1 - _RARE)))
        self.offsets = nn.ModuleDict(
            {name: start_small(nn.Conv2d(last, maps[1], 1)) for name in OFFSETS}
        )

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encoder map and decoder levels, coarse to fine."""
        taps: list[Tensor] = self.trunk(images)
        for layer in self.decoder:
            taps.append(layer(taps[-1]))
        return tuple(taps)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Scores in [0, 1], offsets in cells."""
        offsets = {name: layer(features[-1]) for name, layer in self.offsets.items()}
        return {"scores": self.scores(features[-1]).sigmoid(), **offsets}

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """An offset head; with one map for all only the peak's own cell is read."""
        side, points = config.input_size // cls.stride_of(config), get_markup(config.markup).points
        radius = 0 if cls.SHARES_OFFSETS else config.soft_argmax_radius
        maps = 1 if cls.SHARES_OFFSETS else points
        outputs = [Output("scores", (points, side, side))]
        outputs += [Output(name, (maps, side, side)) for name in OFFSETS]
        return Head("offset", sigma=config.heatmap_sigma, radius=radius), tuple(outputs)

    @classmethod
    def divisor_of(cls, config: ModelConfig) -> int:
        """The encoder's stride."""
        return _COARSEST

    @classmethod
    def scales(cls, config: ModelConfig) -> bool:
        """The decoder scales; the encoder has its width in its name."""
        return True


class CenterNet(GRMI):
    """One map of offsets for all landmarks: the fraction of the cell that a peak lies in.

    Zhou, Wang and Kraehenbuehl, "Objects as points", arXiv 1904.07850, section 4.2. Without the
    centre's regression, which tells the landmarks of several faces apart.
    """

    SHARES_OFFSETS: ClassVar = True
