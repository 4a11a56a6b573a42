"""What networks share that draw heatmaps after every stage: hourglasses, U-Nets, CPM."""

from typing import ClassVar

from torch import Tensor, nn

from landmint.runtime.contract import Head, Output
from landmint.train.models.base import LandmarkModel, Shape, heatmap_head
from landmint.train.models.config import ModelConfig


class Staged(LandmarkModel):
    """Heatmaps that the last stage draws. A subclass fills `features` and the layers `heads`.

    Taps: what every stage but the last draws, then the map that feeds the last one's head.
    """

    IMITATES: ClassVar[tuple[int, ...]] = (-1,)
    heads: nn.ModuleList
    """What draws, for each stage."""

    def draw(self, stage: int, refined: Tensor) -> Tensor:
        """What a stage draws from its last map."""
        drawn: Tensor = self.heads[stage](refined)
        return drawn

    @staticmethod
    def early_heatmaps(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Those of every stage but the last: each learns to draw them."""
        return features[:-1]

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Heatmaps (B, L, H, W) of the last stage."""
        return {"heatmaps": self.draw(-1, features[-1])}

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A heatmap head, decoded by local soft-argmax: a peak in INT8 is a plateau."""
        return heatmap_head(config, cls.stride_of(config), "local_soft_argmax")

    @classmethod
    def scales(cls, config: ModelConfig) -> bool:
        """All channels scale."""
        return True
