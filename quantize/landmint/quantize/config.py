"""What a recipe says about quantising.

Not a quantiser: this file imports no engine, so that a recipe is checked in a moment.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Format = Literal["onnx", "openvino", "tflite", "tensorrt"]
Strategy = Literal["random", "pose"]


class QuantizeConfig(BaseModel):
    """Which INT8 variants to make, and from which faces."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    formats: tuple[Format, ...] = ("onnx", "openvino", "tflite", "tensorrt")
    """Forms to make."""
    strategy: Strategy = "pose"
    """How calibration faces are chosen: "random", or "pose", evenly over yaw, pitch and roll."""
    size: int = Field(default=64, gt=0)
    """Number of calibration faces."""
    seed: int = Field(default=0, ge=0)
    """Equal seeds choose equal faces."""
    coverage: float = Field(default=0.9, gt=0.5, le=1)
    """An activation's range spans the extremes of this share of the calibration faces; the rest
    saturates. 1 takes the outermost value of all faces. OpenVINO keeps a rule of its own."""
    float_layers: tuple[str, ...] = ()
    """Layers that stay in float in every format, by the names of their nodes in onnx/float32."""
    activations: Literal["uint8", "int8"] = "uint8"
    """ONNX Runtime: type of activations. On x86 its kernels want uint8 (int8 takes three to five
    times as long there); ARM runs both."""
    reduce_range: bool = False
    """ONNX Runtime: weights of 7 bits, for x86 processors without VNNI, where 8 bits overflow."""
    bias_correction: Literal["full", "fast", "none"] = "full"
    """OpenVINO: how NNCF makes up for the shift of each layer's mean output."""
