"""DeepPose's face form: a trunk, its mean over the map, and a linear layer to coordinates.

Toshev and Szegedy, "DeepPose: human pose estimation via deep neural networks", CVPR 2014, section
3.1, on a trunk that is pooled as mmpose's face form has it. The Wing loss (Feng et al., CVPR 2018)
was published with such networks. Without the cascade of later stages.
"""

from typing import ClassVar

from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.config import ModelConfig
from landmint.train.models.coordinates import CoordinatesHead
from landmint.train.models.one_trunk import OneTrunk
from landmint.train.models.trunks import (
    EFFICIENTNET_LITE,
    MOBILENET_V2,
    MOBILENET_V3,
    RESNET,
)


class DeepPose(CoordinatesHead, OneTrunk):
    """Coordinates (2L,) in [0, 1].

    Taps: the trunk's maps of strides 8 and 16, then the last one, which is pooled.
    """

    BACKBONES: ClassVar = (*RESNET, *MOBILENET_V3, *MOBILENET_V2, *EFFICIENTNET_LITE)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and head."""
        super().__init__(config, contract)
        self.coordinates = nn.Linear(self.channels, contract.outputs[0].shape[0])

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Coordinates (B, 2L): x0, y0, x1, y1, ..."""
        return {"coordinates": self.coordinates(features[-1].mean(dim=(2, 3)))}
