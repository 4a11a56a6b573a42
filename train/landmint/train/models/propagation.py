"""PropagationNet: landmarks are propagated to boundaries, which say where the next stack looks.

Huang et al., "PropagationNet: propagate points to curve to learn structure information", CVPR 2020.
After each early stack, convolutions draw boundaries from the heatmaps; features and boundaries feed
a small hourglass whose sigmoid multiplies the features. Published sizes are not known here.
"""

from typing import ClassVar

from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import conv_bn_relu, scaled
from landmint.train.models.config import ModelConfig
from landmint.train.models.hourglass import Gate, Hourglass

_KERNEL = 7  # of the two convolutions that draw boundaries from heatmaps


class BlurPool(nn.Sequential):
    """The greatest of 3 x 3 cells, blurred by (1, 3, 3, 1) / 8 along both axes, at half the size.

    Zhang, "Making convolutional networks shift-invariant again", ICML 2019; there with
    (1, 2, 1) / 4, which stands half a cell beside the middle of two cells. A binomial filter is a
    mean of two cells that is taken over and over.
    """

    def __init__(self, stride: int) -> None:
        """Build it; only two is a stride."""
        super().__init__(
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.AvgPool2d(2, stride=1, padding=1),
            nn.AvgPool2d(2, stride=1),
            nn.AvgPool2d(stride),
        )


class PropagationNet(Hourglass):
    """Heatmaps (L, S/4, S/4); early stacks draw heatmaps and contours, the last one heatmaps."""

    POOL: ClassVar = BlurPool
    COORDINATES: ClassVar = True

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build stem and stacks, and what propagates after each early stack."""
        super().__init__(config, contract)
        points, contours = contract.landmarks.points, len(contract.landmarks.contours)
        self.curves = nn.ModuleList(
            nn.Sequential(
                conv_bn_relu(points, contours, _KERNEL, padding=_KERNEL // 2),
                nn.Conv2d(contours, contours, _KERNEL, padding=_KERNEL // 2),
            )
            for _ in self.back
        )
        width = scaled(256, config.width)
        self.gates = nn.ModuleList(Gate(width, contours) for _ in self.back)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Heatmaps of the early stacks, their contours, then the last stack's map."""
        heatmaps: list[Tensor] = []
        contours: list[Tensor] = []
        maps = self.stem(images)
        for i, (back, seen) in enumerate(zip(self.back, self.seen, strict=True)):
            refined = self.stacks[i](self.enter[i](maps))
            heatmaps.append(self.draw(i, refined))
            contours.append(self.curves[i](heatmaps[-1]))
            attended = refined * self.gates[i](refined, contours[-1])
            maps = maps + back(attended) + seen(heatmaps[-1])
        return (*heatmaps, *contours, self.stacks[-1](self.enter[-1](maps)))

    @staticmethod
    def early_heatmaps(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Those of every stack but the last."""
        return features[: len(features) // 2]

    @staticmethod
    def early_boundaries(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A map of each contour (B, E, H, W) of every stack but the last."""
        return features[len(features) // 2 : -1]
