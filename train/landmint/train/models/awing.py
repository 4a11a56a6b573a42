"""AWing's network: FAN whose convolutions see places, and whose stacks draw boundaries too.

Wang, Bo and Fuxin, "Adaptive Wing loss for robust face alignment via heatmap regression", ICCV
2019, sections 4 and 5. The last stack's boundary map lives in the training task: it is never
deployed. Left out: x and y where the map before has a boundary, which depend on the picture.
"""

from typing import ClassVar

from torch import Tensor

from landmint.runtime.contract import Contract
from landmint.train.models.fan import FAN


class AWing(FAN):
    """FAN with CoordConv; of each early stack the last map is that of all boundaries."""

    COORDINATES: ClassVar = True

    @classmethod
    def maps_drawn(cls, contract: Contract, is_last: bool) -> int:
        """One for each landmark, and one of boundaries that the next stack sees."""
        return contract.landmarks.points + (not is_last)

    @staticmethod
    def early_heatmaps(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Those of every stack but the last, without the boundaries."""
        return tuple(maps[:, :-1] for maps in features[:-1])

    @staticmethod
    def early_boundaries(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The boundaries (B, 1, H, W) of every stack but the last."""
        return tuple(maps[:, -1:] for maps in features[:-1])
