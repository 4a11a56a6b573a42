"""What every landmark network has in common: a contract, taps for distillation, a head.

Not an architecture; those stand in the files beside this one.
"""

from typing import ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landmint.runtime.contract import Contract, Decode, Head, Output
from landmint.runtime.errors import LandmintError
from landmint.runtime.markup import get_markup
from landmint.train.models.config import Decoder, ModelConfig
from landmint.train.models.trunks import check_trunk

Shape = NDArray[np.float64]
Last = TypeVar("Last", nn.Conv2d, nn.Linear)


class LandmarkModel(nn.Module):
    """A network from a normalised crop to the canonical outputs of its head.

    The graph is static: the input size is fixed, nothing depends on values, and normalisation
    stands outside, in the contract. A subclass fills `features`, `head` and `head_for`.
    """

    BACKBONES: ClassVar[tuple[str, ...]]
    """The trunks to choose from, the default first."""
    STRIDES: ClassVar[tuple[int, ...]]
    """The strides to choose from, the default first."""
    DECODERS: ClassVar[tuple[Decoder, ...]] = ()
    """The ways up to the heatmaps to choose from, the default first."""
    IMITATES: ClassVar[tuple[int, ...]] = ()
    """The taps that distillation makes resemble the teacher's last one."""

    config: ModelConfig
    contract: Contract

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        """Build the layers.

        Args:
            config: settings, already checked by `contract_for`.
            contract: what `contract_for` gave.
        """
        super().__init__()
        self.config = config
        self.contract = contract

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps that distillation may tap, coarse to fine or early to late.

        Args:
            images: (B, 3, S, S) normalised by the contract.

        Returns:
            maps of rank 4; the last feeds the head.
        """
        raise NotImplementedError

    def head(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Canonical outputs by name, in the contract's order, from what `features` gave."""
        raise NotImplementedError

    @staticmethod
    def early_heatmaps(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Heatmaps among the taps that are learned like the last ones; none by default."""
        return ()

    @staticmethod
    def early_boundaries(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Maps (B, 1, H, W) among the taps that show all contours, or (B, E, H, W) that show each.

        None by default.
        """
        return ()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Canonical outputs of normalised crops (B, 3, S, S)."""
        return self.head(self.features(images))

    def start_from(self, mean_shape: Shape) -> None:
        """Set what a fresh network may know of the mean shape (L, 2); nothing by default."""

    @classmethod
    def contract_for(cls, config: ModelConfig, mean_shape: Shape) -> Contract:
        """What the network will eat and return.

        Args:
            config: settings of this architecture.
            mean_shape: (L, 2) mean landmarks in the crop, in [0, 1].

        Raises:
            LandmintError: the settings do not fit the architecture, or the shape the markup.
        """
        _check_shape(config.markup, mean_shape)
        cls._check(config)
        head, outputs = cls.head_for(config, mean_shape)
        return Contract(
            markup=config.markup,
            input_size=config.input_size,
            crop=config.crop,
            mean=config.mean,
            std=config.std,
            color=config.color,
            head=head,
            outputs=outputs,
        )

    @classmethod
    def head_for(cls, config: ModelConfig, mean_shape: Shape) -> tuple[Head, tuple[Output, ...]]:
        """The contract's head and outputs for settings that are in order."""
        raise NotImplementedError

    @classmethod
    def backbone_of(cls, config: ModelConfig) -> str:
        """The trunk that the settings mean."""
        return config.backbone or cls.BACKBONES[0]

    @classmethod
    def stride_of(cls, config: ModelConfig) -> int:
        """Input pixels per cell of the map that the settings mean."""
        return config.stride or cls.strides_for(config)[0]

    @classmethod
    def decoder_of(cls, config: ModelConfig) -> Decoder:
        """The way up to the heatmaps that the settings mean; empty where there is none."""
        return config.decoder or next(iter(cls.DECODERS), "")

    @classmethod
    def strides_for(cls, config: ModelConfig) -> tuple[int, ...]:
        """The strides to choose from, the default first."""
        return cls.STRIDES

    @classmethod
    def scales(cls, config: ModelConfig) -> bool:
        """Whether `width` means something for these settings."""
        return False

    @classmethod
    def _check(cls, config: ModelConfig) -> None:
        backbone, stride, name = cls.backbone_of(config), cls.stride_of(config), config.name
        if backbone not in cls.BACKBONES:
            raise LandmintError(f"{name} has no backbone '{backbone}'", choices=cls.BACKBONES)
        if stride not in cls.strides_for(config):
            raise LandmintError(
                f"{name} on {backbone} has no stride {stride}",
                choices=map(str, cls.strides_for(config)),
            )
        if config.width != 1.0 and not cls.scales(config):
            raise LandmintError(
                f"{name} on {backbone} has nothing for width = {config.width} to scale",
                remedy="leave width at 1 and choose a backbone of the width that you want",
                choices=cls.BACKBONES,
            )
        if config.decoder and config.decoder not in cls.DECODERS:
            raise LandmintError(f"{name} has no decoder to choose", remedy="leave decoder away")
        check_trunk(config, backbone)
        cls._check_size(config)

    @classmethod
    def _check_size(cls, config: ModelConfig) -> None:
        divisor = cls.divisor_of(config)
        if config.input_size % divisor:
            near = max(divisor, round(config.input_size / divisor) * divisor)
            raise LandmintError(
                f"{config.name} cannot take an input of {config.input_size} px",
                reason=f"its maps need a side that divides by {divisor}",
                remedy=f"set input_size to a multiple of {divisor}, such as {near}",
            )

    @classmethod
    def divisor_of(cls, config: ModelConfig) -> int:
        """What the input size must divide by: the coarsest stride in the network."""
        return cls.stride_of(config)


def conv_bn_relu(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def start_small(layer: Last) -> Last:
    """The last layer of a head with weights from N(0, 0.001) and no bias."""
    nn.init.normal_(layer.weight, std=0.001)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def scaled(channels: int, width: float) -> int:
    """`channels` times `width` as a multiple of 8, at least 8: what INT8 kernels like."""
    return max(8, int(channels * width / 8 + 0.5) * 8)


def coordinates_head(config: ModelConfig) -> tuple[Head, tuple[Output, ...]]:
    """Contract of a head that returns coordinates alone."""
    count = 2 * get_markup(config.markup).points
    return Head("coordinates"), (Output("coordinates", (count,)),)


def heatmap_head(
    config: ModelConfig, stride: int, decode: Decode
) -> tuple[Head, tuple[Output, ...]]:
    """Contract of a heatmap head with maps of the given stride; `decode` unless configured."""
    side, points = config.input_size // stride, get_markup(config.markup).points
    head = Head(
        "heatmap",
        decode=config.decode or decode,
        sigma=config.heatmap_sigma,
        tau=config.soft_argmax_tau,
        radius=config.soft_argmax_radius,
    )
    return head, (Output("heatmaps", (points, side, side)),)


def tap_shapes(model: LandmarkModel) -> tuple[tuple[int, int, int], ...]:
    """Channels, height and width of each tap of `features`; the network is run once on zeros."""
    parameter = next(model.parameters())
    size, training = model.config.input_size, model.training
    model.eval()
    with torch.no_grad():
        taps = model.features(torch.zeros(1, 3, size, size, device=parameter.device))
    model.train(training)
    return tuple((t.shape[1], t.shape[2], t.shape[3]) for t in taps)


def _check_shape(markup: str, mean_shape: Shape) -> None:
    points = get_markup(markup).points
    if mean_shape.shape != (points, 2) or not np.all(np.isfinite(mean_shape)):
        raise LandmintError(
            f"the mean shape has shape {mean_shape.shape}, or is not finite",
            reason=f"markup {markup} has {points} points of x, y",
            remedy="take the mean of faces of the same markup",
        )
