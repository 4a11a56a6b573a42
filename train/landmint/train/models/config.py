"""What a recipe says about one network.

Not a network: this file imports no torch, so that a recipe is checked in a moment.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from landmint.runtime.contract import Color, CropRule, Decode


def _check_scale(value: Any) -> Any:
    """Refuse what is no size of a crop, in one message whatever is wrong with it."""
    scales = value if isinstance(value, list | tuple) else [value]
    numbers = all(isinstance(s, int | float) and not isinstance(s, bool) for s in scales)
    if not numbers or len(scales) not in (1, 2) or not all(0.01 <= s <= 100 for s in scales):
        raise ValueError("should be a number from 0.01 to 100, or two of them: for width, height")
    return tuple(value) if isinstance(value, list) else value


Channels = tuple[float, float, float]
Shift = tuple[Annotated[float, Field(ge=-1, le=1)], Annotated[float, Field(ge=-1, le=1)]]
Scale = Annotated[float | tuple[float, float], BeforeValidator(_check_scale)]
Activation = Literal["", "hard_swish", "relu6", "relu"]
Decoder = Literal["", "deconv", "shuffle", "nearest"]
Pretrained = Annotated[
    Literal[False, "imagenet"],
    BeforeValidator(lambda value: "imagenet" if value is True else value),
]


class ModelConfig(BaseModel):
    """One landmark network, enough to build it again."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """The architecture, such as pipnet: one that `landmint zoo` lists, or that a package adds. A
    wrong name is answered with all choices."""
    backbone: str = ""
    """The trunk: "own", or the name of a timm model. Empty for the architecture's first choice; a
    wrong name is answered with all choices."""
    activation: Activation = ""
    """The activation of a timm trunk that was published with hard-swish or ReLU6; empty for the
    published one. Layers published with ReLU keep it. Hard-swish works in INT8 too: quantising
    writes it as ADD, a clip and MUL. ReLU and ReLU6 save these three operations."""
    squeeze_excite: bool = True
    """Keep the squeeze-and-excitation gates of a trunk that was published with them."""
    decoder: Decoder = ""
    """How maps grow. MobileFAN: "deconv" uses transposed convolutions, as published; "shuffle" a
    separable convolution and pixel shuffle, which stay in integers in every engine. Hourglasses:
    "nearest" repeats cells, as published; "shuffle" a 1x1 convolution and pixel shuffle. Empty for
    the published way."""
    width: float = Field(default=1.0, gt=0)
    """Multiplies the number of channels of what is not taken from timm: PFLD's own trunk,
    MobileFAN's decoder, hourglasses. The width of a timm trunk is part of its name."""
    input_size: int = Field(default=256, gt=0)
    """Side of the square input, in pixels."""
    markup: str = "68"
    """The landmark scheme."""
    stride: int | None = None
    """Input pixels per cell of the heatmaps, or of the last map where there are no heatmaps. Left
    out: the architecture's first choice."""
    neighbours: int = Field(default=10, gt=0)
    """PIPNet: how many of the nearest landmarks each landmark predicts too."""
    bins_per_pixel: int = Field(default=2, ge=1, le=8)
    """SimCC: bins along each axis, for each pixel of the input."""
    heatmap_sigma: float = Field(default=1.5, gt=0)
    """Heatmap heads: standard deviation of the target's Gaussian, in heatmap cells. Offset heads:
    how far from a landmark, in cells, scores are 1 and offsets are taught. SimCC does not
    read it: its Gaussian is a quarter of the square root of its bins along an axis."""
    decode: Decode = ""
    """Heatmap heads: how a map becomes a point. Empty for the architecture's own way."""
    soft_argmax_tau: float = Field(default=10.0, ge=1e-3, le=1e4)
    """Decode "local_soft_argmax": what heatmaps are multiplied by before the softmax. The default
    is the published one; a smaller value listens more to cells around the peak. SimCC also learns
    by it, see `bin_divergence`."""
    soft_argmax_radius: int = Field(default=2, ge=1, le=64)
    """Decodes "local_soft_argmax" and "centroid", and offset heads: how many cells on each side of
    the peak count; as many as a map has, for the centroid of all of it. SimCC does not read it: the
    bins within 1.5 standard deviations of its Gaussian count."""
    crop_scale: Scale = 1.2
    """Side of the crop, as a multiple of the side of the face box; or two numbers, for width and
    height, where the crop is not a square."""
    crop_square: bool = True
    """Whether the crop is a square about the longer side; otherwise the box is stretched to a
    square."""
    crop_shift: Shift = (0.0, 0.0)
    """How far right and down the crop's centre lies of the box's, as shares of its width and
    height. For boxes that reach further up or down than the faces that a network knows."""
    mean: Channels = (123.675, 116.28, 103.53)
    """Subtracted from red, green and blue, which run from 0 to 255. The default is ImageNet's."""
    std: Channels = (58.395, 57.12, 57.375)
    """What red, green and blue are divided by afterwards. The default is ImageNet's."""
    color: Color = "RGB"
    """Order in which the network takes the channels: "BGR" for weights that were learned so."""
    pretrained: Pretrained = False
    """Start a timm trunk from weights that were trained on ImageNet. Those of
    `efficientnet_lite0`, `_lite1` and `_lite2` come with the extra `landmint[pretrained]`; those of
    other trunks are fetched from timm's hub, over the network. `true` means the same as
    "imagenet"."""

    @property
    def crop(self) -> CropRule:
        """How a face box becomes the input."""
        scale = self.crop_scale
        scales = scale if isinstance(scale, tuple) else (scale, scale)
        return CropRule(scales, self.crop_square, self.crop_shift)

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop_square and isinstance(self.crop_scale, tuple):
            raise ValueError("two numbers in crop_scale need crop_square = false")
        return self
