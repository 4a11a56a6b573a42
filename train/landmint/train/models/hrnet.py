"""HRNetV2-W18 with the face heatmap head, the teacher.

Wang et al., "Deep high-resolution representation learning for visual recognition", TPAMI 2020,
section 3.4 (V2 head): every branch upsampled to the finest, joined, two 1x1 convolutions.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract, Head, Output
from landmint.train.models.base import LandmarkModel, Shape, heatmap_head, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.trunks import timm_trunk

_STRIDE = 4  # input pixels per heatmap cell
_COARSEST = 32  # stride of the last branch


class HRNet(LandmarkModel):
    """Heatmaps (L, S/4, S/4) from four resolutions that run side by side.

    Taps: the branches of strides 32, 16, 8, 4, then their fused map of stride 4.
    """

    BACKBONES: ClassVar = ("hrnet_w18", "hrnet_w18_small_v2", "hrnet_w18_small")
    STRIDES: ClassVar = (_STRIDE,)
    IMITATES: ClassVar = (4,)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and head."""
        super().__init__(config, contract)
        # An empty feature_location gives the branches themselves (18, 36, 72, 144 channels):
        # timm's default widens them by modules of its classifier that the face head lacks.
        self.trunk, channels = timm_trunk(
            self.backbone_of(config),
            config,
            feature_location="",
            out_indices=(1, 2, 3, 4),
        )
        total = sum(channels)
        self.upsample = nn.ModuleList(
            nn.Upsample(scale_factor=2**i, mode="bilinear", align_corners=False)
            for i in range(1, len(channels))
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(total, total, 1), nn.BatchNorm2d(total), nn.ReLU(inplace=True)
        )
        self.heatmaps = nn.Conv2d(total, contract.landmarks.points, 1)
        start_small(self.heatmaps)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Branches coarse to fine, then the fused map."""
        branches: list[Tensor] = self.trunk(images)
        raised = [up(branch) for up, branch in zip(self.upsample, branches[1:], strict=True)]
        fused = self.fuse(torch.cat([branches[0], *raised], dim=1))
        return (*reversed(branches), fused)

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Heatmaps (B, L, S/4, S/4)."""
        return {"heatmaps": self.heatmaps(features[-1])}

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A heatmap head, decoded by DARK: the teacher stays in float, where DARK is best."""
        return heatmap_head(config, _STRIDE, "dark")

    @classmethod
    def divisor_of(cls, config: ModelConfig) -> int:
        """The coarsest branch's stride."""
        return _COARSEST
