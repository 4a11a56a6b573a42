"""AnchorFace: turned mean faces, each with its own corrections, mixed by confidence.

Xu et al., "AnchorFace: an anchor-based facial landmark detector across large poses", AAAI 2021. Its
code is not published: number of anchors, targets and loss are ours. The mixture is part of the
graph, so that a device reads plain coordinates.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import Shape, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.deeppose import DeepPose

_TURNS = 9  # anchors, evenly turned
_FARTHEST = math.radians(60)


class AnchorFace(DeepPose):
    """Coordinates (2L,) in [0, 1]; taps as of DeepPose."""

    anchors: Tensor

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and head; the anchors are set from the mean face, and are weights."""
        super().__init__(config, contract)
        inputs, count = self.coordinates.in_features, self.coordinates.out_features
        self.coordinates = start_small(nn.Linear(inputs, _TURNS * count))
        self.confidence = start_small(nn.Linear(inputs, _TURNS))
        self.register_buffer("anchors", torch.zeros(_TURNS, count))

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Coordinates (B, 2L): what the anchors with their corrections are on the average."""
        pooled = features[-1].mean(dim=(2, 3))
        shapes = self.coordinates(pooled).reshape(-1, *self.anchors.shape) + self.anchors
        share = self.confidence(pooled).softmax(dim=1)
        return {"coordinates": (share[..., None] * shapes).sum(dim=1)}

    def start_from(self, mean_shape: Shape) -> None:
        """Turn the mean face about its middle."""
        middle = mean_shape.mean(axis=0)
        angles = np.linspace(-_FARTHEST, _FARTHEST, _TURNS)
        turns = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
        turned = np.einsum("ijn,lj->nli", turns, mean_shape - middle) + middle
        with torch.no_grad():
            self.anchors.copy_(torch.from_numpy(turned.reshape(_TURNS, -1).astype(np.float32)))
