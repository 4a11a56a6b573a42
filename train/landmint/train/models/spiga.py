"""SPIGA: a face of three dimensions, projected, then moved by a graph of landmarks; a teacher.

Prados-Torreblanca, Buenaposada and Baumela, "Shape preserving facial landmarks with graph attention
networks", BMVC 2022. The hourglasses are ADNet's, with learned halving and growing. Windows are
sampled by products with hat functions, which every engine has; they are bilinear sampling.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landmint.runtime.contract import Contract, Head, Output
from landmint.train.models.adnet import ADNet
from landmint.train.models.base import Shape, conv_bn_relu, coordinates_head, scaled, start_small
from landmint.train.models.config import ModelConfig
from landmint.train.models.graph_attention import GraphAttention, perceptron
from landmint.train.models.hourglass import Hourglass, PreBlock

_WINDOW = 7  # cells a side that are sampled about each landmark
_REACHES = (1 / 8, 1 / 16, 1 / 32)  # half sides of the windows, as shares of the crop, by step


class SPIGA(ADNet):
    """Coordinates (2L,) in [0, 1].

    Taps: what every stack but the last draws; the pose (B, 6, 1, 1): pitch, yaw and roll in
    radians, how much larger, further right and down than the mean face; landmarks (B, 2, L, 1), as
    projected and after each step but the last; the map that every step looks at.
    """

    BACKBONES: ClassVar = tuple(f"{kind}_{n}" for kind in ("hourglass", "residual") for n in "421")
    DECODERS: ClassVar = ("deconv",)

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build the hourglasses, the pose's layers and the steps."""
        super().__init__(config, contract)
        points = contract.landmarks.points
        hidden, embedded = scaled(256, config.width), scaled(512, config.width)
        self.heads = self.heads[:-1]
        self.enter = nn.ModuleList(nn.Identity() for _ in self.stacks)
        self.seen = nn.ModuleList(nn.Conv2d(points, hidden, 1) for _ in self.seen)
        core = config.input_size // self.divisor_of(config)
        self.core = nn.Sequential()
        for _ in range(core.bit_length() - 1):
            self.core.extend([PreBlock(hidden, hidden), self.halving(hidden)])
        self.pose = start_small(nn.Conv2d(hidden, 6, 1))
        self.face = nn.Parameter(torch.zeros(1, 3, points, 1))
        self.steps = nn.ModuleList(_Step(points, hidden, embedded, reach) for reach in _REACHES)

    @classmethod
    def halving(cls, channels: int) -> nn.Module:
        """A convolution of 2 x 2 cells in place of a pool."""
        return conv_bn_relu(channels, channels, 2, stride=2)

    def draw(self, stack: int, refined: Tensor) -> Tensor:
        """Maps as they are, edges and points in [0, 1]."""
        maps, edges, points = self.split(Hourglass.draw(self, stack, refined))
        return torch.cat([maps, edges.sigmoid(), points.sigmoid()], dim=1)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Drawings, pose, landmarks of the early steps, map."""
        drawings: list[Tensor] = []
        maps = self.stem(images)
        for i, (back, seen) in enumerate(zip(self.back, self.seen, strict=True)):
            refined = self.stacks[i](maps)
            drawings.append(self.draw(i, refined))
            maps = maps + back(refined) + seen(self.attended(drawings[-1]))
        refined, core = self.last_with_core(maps)
        pose = self.pose(self.core(core).mean(dim=(2, 3), keepdim=True))
        places = [self.project(pose)]
        for step in self.steps[:-1]:
            places.append(step(places[-1], refined))
        return (*drawings, pose, *places, refined)

    def project(self, pose: Tensor) -> Tensor:
        """Landmarks (B, 2, L, 1) of the face turned as `euler_angles` says, by a distant camera."""
        a, b, c, larger, shift = torch.split(pose, [1, 1, 1, 1, 2], dim=1)
        x, y, z = torch.split(self.face, 1, dim=1)
        (sin_a, cos_a), (sin_b, cos_b), (sin_c, cos_c) = ((t.sin(), t.cos()) for t in (a, b, c))
        depth, upright = cos_a * z + sin_a * y, cos_a * y - sin_a * z
        turned = cos_b * x + sin_b * depth
        places = cos_c * turned - sin_c * upright, sin_c * turned + cos_c * upright
        return torch.cat(places, dim=1) * (1 + larger) + shift + 0.5

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Coordinates (B, 2L) of the last step: x0, y0, x1, y1, ..."""
        places: Tensor = self.steps[-1](features[-2], features[-1])
        return {"coordinates": places.transpose(1, 2).flatten(1)}

    def start_from(self, mean_shape: Shape) -> None:
        """Let the face be the mean shape on a cylinder; its three dimensions are learned on."""
        x, y = torch.from_numpy(mean_shape.T - 0.5).float()
        radius = 1.2 * x.abs().max()
        depth = radius - (radius**2 - x**2).sqrt()
        self.face.data.copy_(torch.stack([x, y, depth])[None, ..., None])

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """A coordinates head."""
        return coordinates_head(config)


class _Step(nn.Module):
    """Moves landmarks by what the map shows about each, and by where the others are."""

    def __init__(self, points: int, seen: int, embedded: int, reach: float) -> None:
        super().__init__()
        self.reach = reach
        self.look = nn.Conv2d(_WINDOW**2 * seen, embedded, 1)
        self.relate = perceptron(2 * points, seen, seen, embedded)
        self.attend = nn.Sequential(
            GraphAttention(embedded, seen), *(GraphAttention(seen, seen) for _ in range(3))
        )
        self.move = perceptron(seen, seen, seen // 2, seen // 4, seen // 8, 2)
        last = self.move[-1]
        assert isinstance(last, nn.Conv2d)
        start_small(last)

    def forward(self, places: Tensor, maps: Tensor) -> Tensor:
        """Landmarks (B, 2, L, 1) moved by up to the reach."""
        others = (places.transpose(2, 3) - places).reshape(len(places), -1, places.shape[2], 1)
        embedded = self.look(windows(maps, places, self.reach)) + self.relate(others)
        return places + self.reach * F.hardtanh(self.move(self.attend(embedded)))


def windows(maps: Tensor, places: Tensor, reach: float) -> Tensor:
    """Maps (B, C, H, W) about landmarks (B, 2, L, 1), bilinear, at their rim beyond it.

    Every tensor on the way has four axes, for onnx2tf takes the third of three for channels.

    Returns:
        (B, 49 C, L, 1): channels, then rows, then columns of 7 x 7 samples from -reach to +reach.
    """
    (batch, channels, rows, columns), landmarks = maps.shape, places.shape[2]
    across, down = _hats(places[:, :1], reach, columns), _hats(places[:, 1:], reach, rows)
    bands = (down @ maps).reshape(batch, channels, landmarks, -1).transpose(1, 2)
    bands = bands.reshape(batch, landmarks, -1, columns)
    samples = bands @ across.reshape(batch, landmarks, _WINDOW, columns).transpose(2, 3)
    return samples.reshape(batch, landmarks, -1, 1).transpose(1, 2)


def _hats(places: Tensor, reach: float, cells: int) -> Tensor:
    """Weights (B, 1, 7 L, cells) of cells at the samples about places (B, 1, L, 1)."""
    half = reach * cells - 0.5  # from the first cell's middle to the last one's
    samples = torch.linspace(-half, half, _WINDOW, device=places.device)
    samples = (places * cells - 0.5 + samples).clamp(0, cells - 1).reshape(len(places), 1, -1, 1)
    return torch.relu(1 - (samples - torch.arange(cells, device=places.device)).abs())
