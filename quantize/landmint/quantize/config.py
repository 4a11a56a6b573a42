"""What a recipe says about quantising.

Not a quantiser: this file imports no engine, so that a recipe is checked in a moment.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from landmint.runtime.formats import BY_DEFAULT, FORMATS, INT8, Format, Precision

Strategy = Literal["random", "pose", "light", "occlusion", "features"]
Calibrator = Literal["min_max", "percentile", "entropy", "mse"]


class QuantizeConfig(BaseModel):
    """Which quantised variants to make, and from which faces."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    formats: tuple[Format, ...] = BY_DEFAULT
    """Forms to make. In a recipe, those of `export.formats` where it says nothing."""
    precisions: tuple[Precision, ...] = (INT8,)
    """What to make of each format that has it: "int8"; of tflite also "dynamic-int8" (weights alone
    are INT8) and "int16x8" (activations in 16 bits, for NPUs); of onnx "w8a16" (likewise)."""
    strategy: Strategy = "pose"
    """How calibration faces are chosen: "random"; evenly over "pose" (yaw, pitch and roll), "light"
    (brightness, contrast, lit side) or "occlusion" (share of landmarks annotated as hidden); or by
    "features": faces that differ as much as possible in what the network computes of them."""
    size: int = Field(default=64, gt=0)
    """Number of calibration faces."""
    seed: int = Field(default=0, ge=0)
    """Equal seeds choose equal faces."""
    calibrator: Calibrator = "percentile"
    """How the range of an activation is chosen: "min_max", from the least to the greatest value on
    all faces; "percentile", the same over a share of the faces; "entropy", least divergence of the
    rounded from the exact values; "mse", least square error. The graph's input and outputs always
    have "min_max", a PIP head's offsets over those alone that its decode reads."""
    coverage: float = Field(default=0.9, gt=0.5, le=1)
    """percentile: share of the faces whose least and greatest values lie inside the range. Values
    beyond it are clipped."""
    bias_correction: bool = False
    """Correct each layer's bias for the shift that rounding its weights causes in its mean
    output."""
    equalise: bool = False
    """Rescale the weights of two convolutions with a ReLU between them, so that their channels have
    similar ranges (cross-layer equalisation)."""
    ranges: Path | None = None
    """A file of ranges to use instead of deciding: a bundle's ranges.json, or one like it. In a
    recipe, a relative path starts at the recipe's folder."""
    float_layers: tuple[str, ...] = ()
    """Layers that stay in float in every format, by the names of their nodes in onnx/float32."""
    explain: bool = False
    """Whether to work out how much each layer loses to INT8, and at which operator engines differ.
    It takes minutes."""
    fallback_budget: float | None = Field(
        default=None, ge=0, exclude_if=lambda budget: budget is None
    )
    """Try cures, measured on the target, until NME is at most this many points above the float
    student's: first other calibrators, equalisation, corrected biases and a reduced range, which
    cost no speed, then layers in float. It implies `explain`, and takes long. Where no candidate
    surely stays within the budget, plain INT8 is kept. Not with `[qat]`, which trains with
    rounding."""
    nncf: bool = False
    """OpenVINO: let NNCF choose ranges of its own and correct all biases, instead of taking the
    ranges that all formats share. Landmarks then agree less with those of the other formats."""
    activations: Literal["uint8", "int8"] = "uint8"
    """ONNX Runtime: type of activations. On x86 its kernels want uint8 (int8 takes three to five
    times as long there); ARM runs both. With w8a16 they have 16 bits, and a sign likewise."""
    reduce_range: bool = False
    """ONNX Runtime and OpenVINO: round weights to the levels -64..64 instead of -127..127. For x86
    processors without VNNI, where sums of 8-bit products overflow. With `nncf` it changes ONNX
    Runtime's alone."""

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants to make, such as "tflite/int8"."""
        return tuple(
            f"{name}/{precision}"
            for name in dict.fromkeys(self.formats)
            for precision in FORMATS[name].quantized
            if precision in self.precisions
        )

    @property
    def unavailable(self) -> tuple[str, ...]:
        """Those of `precisions` that none of `formats` has."""
        made = {variant.partition("/")[2] for variant in self.variants}
        return tuple(precision for precision in self.precisions if precision not in made)

    @property
    def explains(self) -> bool:
        """Whether an explanation is made: if asked for, or if the fallback search needs one."""
        return self.explain or self.fallback_budget is not None


class QatConfig(BaseModel):
    """How a trained student is trained on for INT8 (quantisation-aware training)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    epochs: int = Field(default=4, ge=1)
    """Passes over the training faces."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Highest learning rate; it falls from there as the student's schedule says."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of imitating the student as it was before, a frozen float copy:
    loss = (1 - alpha) task + alpha copy."""
    feature_weight: float = Field(default=0.1, ge=0)
    """Within the copy's part: weight of imitating its features, beside its outputs."""
