"""Stacked hourglasses: down and up again several times, heatmaps drawn after each.

Newell, Yang and Deng, "Stacked hourglass networks for human pose estimation", ECCV 2016, section 3.
Their block normalises before it convolves: its first batch norm reads a sum that the shortcut reads
too, and stays an operator of its own in INT8. The block of the residual_... trunks (He et al.,
"Deep residual learning", CVPR 2016, figure 5) convolves first, and folds away.
"""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Contract
from landmint.train.models.base import conv_bn_relu, scaled, start_small
from landmint.train.models.config import Decoder, ModelConfig
from landmint.train.models.pixel_shuffle import PixelShuffle
from landmint.train.models.shared_norm import SharedNorm, norm_relu_conv
from landmint.train.models.staged import Staged

_STRIDE = 4  # input pixels per heatmap cell
_DEPTH = 4  # halvings within an hourglass
_COARSEST = 64  # stride of its smallest map: _STRIDE times two to the power of _DEPTH

MakePool = Callable[[int], nn.Module]
MakeUp = Callable[[int], nn.Module]
MakeBlock = Callable[[int, int], nn.Module]


class Hourglass(Staged):
    """Heatmaps (L, S/4, S/4) from one hourglass or more.

    Taps: what every stack but the last draws, then the map that feeds the last one's head.
    """

    BACKBONES: ClassVar = tuple(
        f"{block}_{stacks}" for block in ("hourglass", "residual") for stacks in (8, 4, 2, 1)
    )
    STRIDES: ClassVar = (_STRIDE,)
    DECODERS: ClassVar[tuple[Decoder, ...]] = ("nearest", "shuffle")
    POOL: ClassVar[type[nn.Module]] = nn.MaxPool2d
    """What halves maps."""
    COORDINATES: ClassVar[bool] = False
    """Whether image and hourglasses see where in the crop each cell lies."""

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build stem and stacks."""
        super().__init__(config, contract)
        kind, _, stacks = self.backbone_of(config).partition("_")
        block, count = _BLOCKS[kind], int(stacks)
        narrow, middle, width = (scaled(n, config.width) for n in (64, 128, 256))
        early, last = (self.maps_drawn(contract, is_last) for is_last in (False, True))
        side = config.input_size // _STRIDE
        self.stem = nn.Sequential(
            *self.first_layers(narrow),
            block(narrow, middle),
            self.halving(middle),
            block(middle, middle),
            block(middle, width),
        )
        up = _RISES[self.decoder_of(config) or "nearest"]
        self.stacks = nn.ModuleList(_Stack(width, block, self.halving, up) for _ in range(count))
        self.enter = nn.ModuleList(
            CoordConv(width, width, 1, side) if self.COORDINATES else nn.Identity()
            for _ in range(count)
        )
        maps = [early] * (count - 1)
        self.heads = nn.ModuleList(start_small(nn.Conv2d(width, n, 1)) for n in (*maps, last))
        self.back = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in maps)
        self.seen = nn.ModuleList(nn.Conv2d(n, width, 1) for n in maps)

    def first_layers(self, outputs: int) -> tuple[nn.Module, ...]:
        """From the image to maps of half the size."""
        if not self.COORDINATES:
            first = nn.Conv2d(3, outputs, 7, stride=2, padding=3)
            return first, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        with_places = CoordConv(3, outputs, 7, self.config.input_size, stride=2)
        return with_places, SharedNorm(outputs), nn.ReLU(inplace=True)

    def last_with_core(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The last stack's map, and the smallest one within its hourglass."""
        stack = self.stacks[-1]
        assert isinstance(stack, _Stack)
        return stack.with_core(maps)

    @classmethod
    def halving(cls, channels: int) -> nn.Module:
        """What halves maps of so many channels."""
        return cls.POOL(2)

    @classmethod
    def maps_drawn(cls, contract: Contract, is_last: bool) -> int:
        """How many maps a stack draws."""
        return contract.landmarks.points

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Drawings of the early stacks, then the last stack's map."""
        taps: list[Tensor] = []
        maps = self.stem(images)
        for i, (back, seen) in enumerate(zip(self.back, self.seen, strict=True)):
            refined = self.stacks[i](self.enter[i](maps))
            taps.append(self.draw(i, refined))
            maps = maps + back(refined) + seen(taps[-1])
        return (*taps, self.stacks[-1](self.enter[-1](maps)))

    @classmethod
    def divisor_of(cls, config: ModelConfig) -> int:
        """The stride of an hourglass's coarsest map."""
        return _COARSEST


class CoordConv(nn.Module):
    """A convolution that sees where each cell lies: x, y in [-1, 1], and how far from the middle.

    Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv solution",
    NeurIPS 2018. The places are constant, so they add a constant map: one addition when exported.
    """

    places: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, side: int, stride: int = 1) -> None:
        """Build it for maps of so many cells along a side."""
        super().__init__()
        around = kernel // 2
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, around)
        self.of_places = nn.Conv2d(3, outputs, kernel, stride, around, bias=False)
        along = torch.linspace(-1, 1, side)
        y, x = torch.meshgrid(along, along, indexing="ij")
        places = torch.stack([x, y, (x**2 + y**2).sqrt() / math.sqrt(2)])[None]
        self.register_buffer("places", places, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        convolved: Tensor = self.convolution(maps) + self.of_places(self.places)
        return convolved


class FanBlock(nn.Module):
    """Three 3x3 convolutions in a row, the outputs of all of them joined, around a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build it; a 1x1 convolution is the shortcut where channels differ."""
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.first = norm_relu_conv(inputs, half, 3)
        self.second = norm_relu_conv(half, quarter, 3)
        self.third = norm_relu_conv(quarter, quarter, 3)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = norm_relu_conv(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H, W)."""
        first = self.first(maps)
        second = self.second(first)
        joined = torch.cat([first, second, self.third(second)], dim=1)
        shortcut: Tensor = self.shortcut(maps)
        return joined + shortcut


class PreBlock(nn.Module):
    """The published bottleneck: norm, ReLU, convolution, three times, around a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build it; a 1x1 convolution is the shortcut where channels differ."""
        super().__init__()
        half = outputs // 2
        self.layers = nn.Sequential(
            norm_relu_conv(inputs, half, 1, SharedNorm, bias=True),
            norm_relu_conv(half, half, 3, nn.BatchNorm2d, bias=True),
            norm_relu_conv(half, outputs, 1, nn.BatchNorm2d, bias=True),
        )
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H, W)."""
        changed: Tensor = self.layers(maps)
        shortcut: Tensor = self.shortcut(maps)
        return changed + shortcut


class PostBlock(nn.Module):
    """The bottleneck that convolves first, with a ReLU after the sum: every norm folds away."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build it; a 1x1 convolution is the shortcut where channels differ."""
        super().__init__()
        half = outputs // 2
        self.layers = nn.Sequential(
            conv_bn_relu(inputs, half, 1),
            conv_bn_relu(half, half, 3, padding=1),
            nn.Conv2d(half, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H, W)."""
        changed: Tensor = self.layers(maps)
        shortcut: Tensor = self.shortcut(maps)
        return torch.relu(changed + shortcut)


class _Hourglass(nn.Module):
    """Down and up again, with a block beside each size."""

    def __init__(
        self,
        depth: int,
        width: int,
        block: MakeBlock,
        pool: MakePool,
        up: MakeUp,
    ) -> None:
        super().__init__()
        inner = _Hourglass(depth - 1, width, block, pool, up) if depth > 1 else block(width, width)
        self.beside = block(width, width)
        self.before = nn.Sequential(pool(width), block(width, width))
        self.within = inner
        self.after = nn.Sequential(block(width, width), up(width))

    def forward(self, maps: Tensor) -> Tensor:
        return self.with_core(maps)[0]

    def with_core(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The map, and the smallest one on the way."""
        below: Tensor = self.before(maps)
        if isinstance(self.within, _Hourglass):
            below, core = self.within.with_core(below)
        else:
            below = core = self.within(below)
        beside: Tensor = self.beside(maps)
        return beside + self.after(below), core


class _Stack(nn.Sequential):
    """An hourglass and the layers from it to the map that heatmaps are drawn from."""

    def __init__(self, width: int, block: MakeBlock, pool: MakePool, up: MakeUp) -> None:
        super().__init__(
            _Hourglass(_DEPTH, width, block, pool, up),
            block(width, width),
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )

    def with_core(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The map that is drawn from, and the hourglass's smallest one."""
        hourglass, *layers = self
        assert isinstance(hourglass, _Hourglass)
        refined, core = hourglass.with_core(maps)
        for layer in layers:
            refined = layer(refined)
        return refined, core


class Gate(nn.Module):
    """How much each cell of features counts, from them and from other maps beside them.

    Wu et al., "Look at boundary: a boundary-aware face alignment algorithm", CVPR 2018: a small
    hourglass and a sigmoid.
    """

    def __init__(self, width: int, others: int) -> None:
        """Build it for so many channels of features and of other maps."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width + others, width, 1),
            _Hourglass(2, width, PreBlock, Hourglass.halving, _nearest),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, features: Tensor, others: Tensor) -> Tensor:
        """Shares (B, width, H, W) in [0, 1]."""
        counted: Tensor = self.layers(torch.cat([features, others], dim=1))
        return counted.sigmoid()


def _nearest(width: int) -> nn.Module:
    return nn.Upsample(scale_factor=2)


def _shuffle(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, 4 * width, 1), PixelShuffle())


def _deconv(width: int) -> nn.Module:
    grow = nn.ConvTranspose2d(width, width, 2, stride=2, bias=False)
    return nn.Sequential(grow, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


_BLOCKS: Mapping[str, MakeBlock] = {
    "hourglass": PreBlock,
    "residual": PostBlock,
    "fan": FanBlock,
}
_RISES: Mapping[str, MakeUp] = {"nearest": _nearest, "shuffle": _shuffle, "deconv": _deconv}
