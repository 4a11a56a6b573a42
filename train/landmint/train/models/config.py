"""What a recipe says about one network.

Not a network: this file imports no torch, so that a recipe is checked in a moment.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from landmint.runtime.contract import Decode

Channels = tuple[float, float, float]
Activation = Literal["", "hard_swish", "relu6", "relu"]
Decoder = Literal["", "deconv", "shuffle"]


class ModelConfig(BaseModel):
    """One landmark network, enough to build it again."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """The architecture: a key of `MODELS`."""
    backbone: str = ""
    """The trunk, "own" or a timm model; empty for the architecture's first choice."""
    activation: Activation = ""
    """Of a timm trunk where it was published with hard-swish or ReLU6; empty for that one. Layers
    published with ReLU keep it. A trunk with hard-swish needs no other one to become INT8:
    quantising writes hard-swish as ADD, a clip and MUL by itself. ReLU6 saves those too."""
    squeeze_excite: bool = True
    """Keep the squeeze-and-excitation gates of a trunk that was published with them."""
    decoder: Decoder = ""
    """MobileFAN, from the trunk's map up to the heatmaps: "deconv", transposed convolutions as
    published, or "shuffle", a separable convolution and pixel shuffle, which stays integer in
    every engine; empty for "deconv"."""
    width: float = Field(default=1.0, gt=0)
    """Multiplies the channels of what is not taken from timm: PFLD's own trunk, MobileFAN's
    decoder. The width of a timm trunk is part of its name."""
    input_size: int = Field(default=256, gt=0)
    """Side of the square input, in pixels."""
    markup: str = "68"
    """The landmark scheme."""
    stride: int | None = None
    """Input pixels per cell: of the heatmaps, or of the last map where there are none. Empty for
    the architecture's first choice."""
    neighbours: int = Field(default=10, gt=0)
    """PIPNet: how many of the nearest landmarks each landmark predicts too."""
    heatmap_sigma: float = Field(default=1.5, gt=0)
    """Heatmap heads: standard deviation of the target's Gaussian, in heatmap cells."""
    decode: Decode = ""
    """Heatmap heads: from map to point; empty for the architecture's own."""
    crop_scale: float = Field(default=1.2, gt=0)
    """Side of the crop over the side of the face box."""
    crop_square: bool = True
    """A square crop of the longer side; else the box is stretched to a square."""
    mean: Channels = (123.675, 116.28, 103.53)
    """Subtracted from RGB on the 0..255 scale; ImageNet's."""
    std: Channels = (58.395, 57.12, 57.375)
    """Divides RGB on the 0..255 scale; ImageNet's."""
    pretrained: bool = False
    """Start a timm trunk from its ImageNet weights, which are fetched over the network."""
