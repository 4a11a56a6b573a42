"""The trunks: what each may be built with, and how timm is asked for it.

Not heads, and not the trunk that is an architecture's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import timm
from torch import nn

from landmint.runtime.errors import LandmintError
from landmint.train.models.config import Activation, ModelConfig
from landmint.train.models.pretrained import PACKAGED, load_packaged

OWN = "own"
"""The trunk that an architecture builds by itself."""
MOBILENET_V3 = (
    "mobilenetv3_large_100",
    "mobilenetv3_large_075",
    "mobilenetv3_small_100",
    "mobilenetv3_small_075",
    "mobilenetv3_small_050",
)
MOBILENET_V2 = ("mobilenetv2_100", "mobilenetv2_050")
RESNET = ("resnet18", "resnet50", "resnet101")
EFFICIENTNET_LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


@dataclass(frozen=True)
class TrunkKind:
    """What a family of trunks may be built with."""

    activations: tuple[Activation, ...] = ("relu",)
    """The activations to choose from, the published one first."""
    squeeze_excite: bool = False
    """Whether it was published with squeeze-and-excitation gates."""


_KINDS: Mapping[str, TrunkKind] = MappingProxyType(
    {
        "mobilenetv2": TrunkKind(("relu6", "relu")),
        "mobilenetv3": TrunkKind(("hard_swish", "relu6", "relu"), squeeze_excite=True),
        "efficientnet": TrunkKind(("relu6", "relu")),  # the Lite ones: no gates
    }
)


def trunk_kind(backbone: str) -> TrunkKind:
    """The family of a backbone, "own" and those with nothing to choose among them."""
    return _KINDS.get(backbone.partition("_")[0], TrunkKind())


def check_trunk(config: ModelConfig, backbone: str) -> None:
    """Refuse settings that the trunk cannot be built with.

    Raises:
        LandmintError: it has no such activation, no gates to leave out, or no weights to fetch.
    """
    kind = trunk_kind(backbone)
    if config.activation and config.activation not in kind.activations:
        raise LandmintError(
            f"{config.name} on {backbone} has no activation '{config.activation}'",
            choices=kind.activations,
        )
    if not (config.squeeze_excite or kind.squeeze_excite):
        raise LandmintError(
            f"{config.name} on {backbone} has no squeeze-and-excitation to leave out",
            remedy="leave squeeze_excite away",
        )
    if config.pretrained and backbone == OWN:
        raise LandmintError(
            f"there are no pretrained weights for {config.name}'s own trunk",
            remedy="set pretrained = false, or choose a backbone of timm's",
        )


def timm_trunk(
    name: str, config: ModelConfig, **settings: Any
) -> tuple[nn.Module, tuple[int, ...]]:
    """A timm backbone that returns a list of maps, and the channels of each.

    Pretrained weights come from a package where one is known, else over the network. They fit
    whatever the activation, and what is left without the gates; they were trained with the
    published form, so those of another are a start, no more.

    Args:
        name: of the backbone.
        config: says activation, gates and whether pretrained weights are wanted.
        settings: timm's own, such as output_stride and out_indices.

    Raises:
        LandmintError: its pretrained weights could not be had.
    """
    if config.activation:
        settings["act_layer"] = config.activation
    packaged = name in PACKAGED
    fetched = bool(config.pretrained) and not packaged
    try:
        trunk = timm.create_model(name, features_only=True, pretrained=fetched, **settings)
    except Exception as error:
        if not fetched:
            raise
        # The download may fail in a dozen ways of several libraries; all mean the same here.
        raise LandmintError(
            f"no pretrained weights for the backbone '{name}'",
            reason=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            remedy="set pretrained = false, or run where the Hugging Face hub can be reached",
        ) from error
    if config.pretrained and packaged:
        load_packaged(trunk, name)
    if not config.squeeze_excite:
        _leave_gates_out(trunk)
    return trunk, tuple(trunk.feature_info.channels())


def _leave_gates_out(trunk: nn.Module) -> None:
    """Replace every block's gate: timm's MobileNetV3 takes no argument that says so."""
    for block in trunk.modules():
        if hasattr(block, "se"):
            block.se = nn.Identity()
