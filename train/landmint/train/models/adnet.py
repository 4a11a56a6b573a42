"""ADNet: heatmaps under an attention of edges and points, a float teacher.

Huang et al., "ADNet: leveraging error-bias towards normal direction in face alignment", ICCV 2021,
section 3.3. A landmark's heatmap counts where its point map is high and, of the edges that it lies
on, where they are. STAR (Zhou et al., CVPR 2023) trains the same network by another loss.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from landmint.runtime.contract import Contract, Head, Output
from landmint.train.models.base import Shape, heatmap_head
from landmint.train.models.config import ModelConfig
from landmint.train.models.hourglass import Hourglass


class ADNet(Hourglass):
    """Attended heatmaps (L, S/4, S/4); each stack draws heatmaps, edges and points."""

    COORDINATES: ClassVar = True
    membership: Tensor
    bare: Tensor

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build stem and stacks, and look up which landmark lies on which edge."""
        super().__init__(config, contract)
        contours = contract.landmarks.contours
        membership = torch.zeros(contract.landmarks.points, len(contours), 1, 1)
        for edge, (landmarks, _) in enumerate(contours):
            membership[list(landmarks), edge] = 1
        self.register_buffer("membership", membership, persistent=False)
        bare = (membership.sum(dim=(1, 2, 3)) == 0).float()  # on no edge: nothing takes away
        self.register_buffer("bare", bare, persistent=False)

    @classmethod
    def maps_drawn(cls, contract: Contract, is_last: bool) -> int:
        """Heatmaps, edges, points."""
        markup = contract.landmarks
        return 2 * markup.points + len(markup.contours)

    def draw(self, stack: int, refined: Tensor) -> Tensor:
        """Heatmaps that stand above their own mean, edges and points in [0, 1]."""
        heat, edges, points = self.split(super().draw(stack, refined))
        # Instance norm in plain arithmetic, which every engine has.
        centred = heat - heat.mean(dim=(2, 3), keepdim=True)
        spread = (centred.square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()
        return torch.cat([torch.relu(centred / spread), edges.sigmoid(), points.sigmoid()], dim=1)

    def split(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (B, 2 L + E, H, W) as heatmaps (B, L, H, W), edges (B, E, H, W) and points."""
        points, edges, _, _ = self.membership.shape
        heat, edge, point = torch.split(maps, [points, edges, points], dim=1)
        return heat, edge, point

    def attended(self, maps: Tensor) -> Tensor:
        """Heatmaps (B, L, H, W) times their attention, of what a stack drew."""
        heat, edges, points = self.split(maps)
        return heat * points * F.conv2d(edges, self.membership, self.bare)

    def drawings(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What each stack drew, the last one's too."""
        return (*features[:-1], self.draw(-1, features[-1]))

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Attended heatmaps (B, L, S/4, S/4) of the last stack."""
        return {"heatmaps": self.attended(self.draw(-1, features[-1]))}

    @staticmethod
    def early_heatmaps(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """None that are like the last ones: those are attended."""
        return ()

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A heatmap head, decoded as it is trained: by its centroid."""
        return heatmap_head(config, cls.stride_of(config), "centroid")
