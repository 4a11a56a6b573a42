"""What a recipe says about quantising.

Not a quantiser: this file imports no engine, so that a recipe is checked in a moment.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from landmint.runtime.formats import FORMATS, Format

Strategy = Literal["random", "pose", "light", "occlusion", "features"]
Calibrator = Literal["min_max", "percentile", "entropy", "mse"]


class QuantizeConfig(BaseModel):
    """Which INT8 variants to make, and from which faces."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    formats: tuple[Format, ...] = tuple(FORMATS)
    """Forms to make. In a recipe, those of `export.formats` where it says nothing."""
    strategy: Strategy = "pose"
    """How calibration faces are chosen: "random"; evenly over "pose" (yaw, pitch and roll), "light"
    (brightness, contrast, lit side) or "occlusion" (share of landmarks annotated as hidden); or by
    "features", as far apart as the network to be quantised sees them."""
    size: int = Field(default=64, gt=0)
    """Number of calibration faces."""
    seed: int = Field(default=0, ge=0)
    """Equal seeds choose equal faces."""
    calibrator: Calibrator = "percentile"
    """How an activation's range is drawn: "min_max", the outermost values of all faces;
    "percentile", of a share of them; "entropy", least divergence; "mse", least square error. The
    graph's input and outputs have "min_max" always."""
    coverage: float = Field(default=0.9, gt=0.5, le=1)
    """percentile: share of the faces whose outermost values fit into the range; the rest is cut."""
    bias_correction: bool = False
    """Add to each layer's bias what rounding its weights took from its mean output."""
    equalise: bool = False
    """Bring the channels between two convolutions with a ReLU between them to one scale."""
    ranges: Path | None = None
    """A file of ranges to use instead of deciding: a bundle's ranges.json, or one like it. In a
    recipe, a relative path starts at the recipe's folder."""
    float_layers: tuple[str, ...] = ()
    """Layers that stay in float in every format, by the names of their nodes in onnx/float32."""
    explain: bool = False
    """Whether to tell where INT8 loses, layer by layer and engine by engine. It takes minutes."""
    fallback_budget: float | None = Field(
        default=None, ge=0, exclude_if=lambda budget: budget is None
    )
    """Search for layers to keep in float, measured on the target, until NME rises by at most so
    many points over the float student. It explains as well, and takes long. Where nothing surely
    keeps the budget, plain INT8 stays. Not with `[qat]`, which trains with the layers rounded."""
    nncf: bool = False
    """OpenVINO: let NNCF draw ranges of its own and correct all biases, instead of the decision
    that the formats share. Landmarks then agree less with those of the other formats."""
    activations: Literal["uint8", "int8"] = "uint8"
    """ONNX Runtime: type of activations. On x86 its kernels want uint8 (int8 takes three to five
    times as long there); ARM runs both."""
    reduce_range: bool = False
    """ONNX Runtime: weights on the levels -64..64 in place of -127..127, for x86 processors without
    VNNI, where sums of 8-bit products overflow."""

    @property
    def explains(self) -> bool:
        """Whether INT8 is explained: because that is asked for, or to search for layers."""
        return self.explain or self.fallback_budget is not None


class QatConfig(BaseModel):
    """How a trained student learns to bear INT8."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    epochs: int = Field(default=4, ge=1)
    """Passes over the training faces."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Highest learning rate; it falls from there as the student's schedule says."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Share of the student's own float copy: loss = (1 - alpha) task + alpha copy."""
    feature_weight: float = Field(default=0.1, ge=0)
    """Weight, within the copy's part, of imitating its features."""
