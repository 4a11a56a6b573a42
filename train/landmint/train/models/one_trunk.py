"""What networks share whose head reads the last map of one trunk: PIPNet, SimCC, DeepPose."""

from typing import ClassVar

from torch import Tensor

from landmint.runtime.contract import Contract
from landmint.train.models.base import LandmarkModel
from landmint.train.models.config import ModelConfig
from landmint.train.models.trunks import timm_trunk


class OneTrunk(LandmarkModel):
    """A trunk of timm's, of stride 32 or 16. Heads are added by the networks.

    Taps: the trunk's maps of strides 8 and 16, then the last one, which feeds the head.
    """

    STRIDES: ClassVar = (32, 16)
    IMITATES: ClassVar = (2,)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build the trunk."""
        super().__init__(config, contract)
        self.trunk, (*_, self.channels) = timm_trunk(
            self.backbone_of(config),
            config,
            output_stride=self.stride_of(config),
            out_indices=(2, 3, 4),
        )

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The trunk's maps, fine to coarse."""
        return tuple(self.trunk(images))
