"""What networks share that end in one linear layer to coordinates, as PFLD does."""

import numpy as np
import torch
from torch import Tensor, nn

from landmint.runtime.contract import Head, Output
from landmint.train.models.base import LandmarkModel, Shape, coordinates_head
from landmint.train.models.config import ModelConfig


class CoordinatesHead(LandmarkModel):
    """Coordinates (2L,) in [0, 1] of the last tap, which is pooled: (B, C, 1, 1)."""

    coordinates: nn.Linear
    """From the features to coordinates; made by who knows their number."""

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Coordinates (B, 2L): x0, y0, x1, y1, ..."""
        return {"coordinates": self.coordinates(features[-1].flatten(1))}

    def start_from(self, mean_shape: Shape) -> None:
        """Let the first guess be the mean face, so that only the residual is to be learnt."""
        with torch.no_grad():
            nn.init.normal_(self.coordinates.weight, std=0.001)
            self.coordinates.bias.copy_(torch.from_numpy(mean_shape.astype(np.float32).ravel()))

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A coordinates head."""
        return coordinates_head(config)
