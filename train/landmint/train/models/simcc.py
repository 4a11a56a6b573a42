"""SimCC: each coordinate as a classification into bins finer than a pixel.

Li et al., "SimCC: a simple coordinate classification perspective for human pose estimation", ECCV
2022, section 3, trained as in RTMPose (Jiang et al., arXiv 2303.07399). Without RTMPose's attention
between landmarks: convolution and matrix products alone, which stay in integers.
"""

import math
from typing import ClassVar

from torch import Tensor, nn

from landmint.runtime.contract import SIMCC_OUTPUTS, Contract, Head, Output
from landmint.runtime.markup import get_markup
from landmint.train.models.base import Shape, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.one_trunk import OneTrunk
from landmint.train.models.trunks import EFFICIENTNET_LITE, MOBILENET_V3


class SimCC(OneTrunk):
    """A small map for each landmark, and two linear layers from its cells to bins.

    The linear layers are shared by all landmarks. Taps: the trunk's maps of strides 8 and 16, then
    the last one, which feeds the head.
    """

    BACKBONES: ClassVar = (*EFFICIENTNET_LITE, *MOBILENET_V3)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build trunk and head."""
        super().__init__(config, contract)
        self.maps = nn.Conv2d(self.channels, contract.landmarks.points, 1)
        cells = (config.input_size // self.stride_of(config)) ** 2
        self.bins = nn.ModuleDict(
            {o.name: start_small(nn.Linear(cells, o.shape[1])) for o in contract.outputs}
        )

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Vectors along x and along y, (B, L, bins) each."""
        maps = self.maps(features[-1])
        # Landmarks are rows: so a layer is one matrix product with a bias, as INT8 kernels want it.
        rows = maps.reshape(-1, maps.shape[2] * maps.shape[3])
        return {name: layer(rows).unflatten(0, maps.shape[:2]) for name, layer in self.bins.items()}

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A SimCC head whose Gaussian is as wide as RTMPose's: 5.66 bins at 512 bins.

        The softmax of a Gaussian times tau is narrower than the Gaussian. At one and a half sigma
        from the peak a bin has a thousandth of its probability: bins beyond are not averaged.
        """
        count = config.bins_per_pixel * config.input_size
        sigma = math.sqrt(count) / 4
        points = get_markup(config.markup).points
        outputs = tuple(Output(name, (points, count)) for name in SIMCC_OUTPUTS)
        radius = min(64, math.ceil(1.5 * sigma))
        return Head("simcc", sigma=sigma, tau=config.soft_argmax_tau, radius=radius), outputs
