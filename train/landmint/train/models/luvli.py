"""LUVLi: coupled U-Nets that also say how far a landmark may lie from where they draw it.

Kumar et al., "LUVLi face alignment: estimating landmarks' location, uncertainty, and visibility
likelihood", CVPR 2020. One linear layer reads the smallest map of every U-Net and
returns the spread of each landmark as a Cholesky factor; the likelihood that it is taught by stands
in `landmint.train.point_losses`. On a device the last U-Net's spread is the confidence.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landmint.runtime.contract import Contract, Head, Output
from landmint.train.models.base import Shape, heatmap_head, scaled
from landmint.train.models.config import ModelConfig
from landmint.train.models.coupled_unet import NECK_STRIDE, WIDTH, CoupledUNet

_LEAST = 0.05  # cells: no spread is narrower, lest a likelihood grow without bound


class LUVLi(CoupledUNet):
    """Heatmaps (L, S/4, S/4) and a confidence for each landmark.

    Taps: what every U-Net but the last draws, the smallest map of every U-Net, then the map that
    feeds the last one's head.
    """

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build the U-Nets, and the layer that reads their smallest maps."""
        super().__init__(config, contract)
        cells = (config.input_size // NECK_STRIDE) ** 2
        inputs = cells * scaled(WIDTH, config.width)
        self.spread = nn.Linear(inputs, 3 * contract.landmarks.points)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Drawings of the early U-Nets, all smallest maps, the last one's map."""
        necks, refined = zip(*self.passes(images), strict=True)
        drawn = (self.draw(t, maps) for t, maps in enumerate(refined[:-1]))
        return (*drawn, *necks, refined[-1])

    @staticmethod
    def early_heatmaps(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Those of every U-Net but the last."""
        return features[: len(features) // 2 - 1]

    def spreads(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        """Cholesky factors (B, L, 3) of each U-Net: l0, l1, l2 in cells, the outer two positive."""
        return [self._spread(neck) for neck in features[len(features) // 2 - 1 : -1]]

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Heatmaps of the last U-Net, and confidence (B, L): 1 over 1 + the spread's area.

        The area is the square root of the covariance's determinant, in cells squared.
        """
        spread = self._spread(features[-2])
        confidence = 1 / (1 + spread[..., 0] * spread[..., 2])
        return {**super().head(features), "confidence": confidence}

    def _spread(self, neck: Tensor) -> Tensor:
        l0, l1, l2 = self.spread(neck.flatten(1)).reshape(len(neck), 3, -1).unbind(dim=1)
        return torch.stack([_positive(l0), l1, _positive(l2)], dim=2)

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A heatmap head with a confidence, decoded by its centroid, which the spread is about."""
        head, (heatmaps,) = heatmap_head(config, cls.stride_of(config), "centroid")
        return head, (heatmaps, Output("confidence", heatmaps.shape[:1]))


def _positive(values: Tensor) -> Tensor:
    return F.elu(values) + (1 + _LEAST)
