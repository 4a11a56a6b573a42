"""What a recipe says about exporting.

Not a converter: this file imports no torch, so that a recipe is checked in a moment.
"""

from pydantic import BaseModel, ConfigDict, Field

from landmint.runtime.formats import BY_DEFAULT, Format

LINT_FILE = "lint.json"
"""In a bundle: what the linter said of the float graph."""


class ExportConfig(BaseModel):
    """Which forms to make, and how close their landmarks must be to the network's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    formats: tuple[Format, ...] = BY_DEFAULT
    """Forms to make; "ncnn" and "coreml" only where they are named. ONNX is made in any case: the
    others come from it."""
    fuse_decode: bool = False
    """Make each float32 ONNX, OpenVINO and TFLite variant once more with the decode in its graph,
    as onnx-decoded/float32 and so on: it returns coordinates and confidence, for devices without
    numpy."""
    parity_faces: int = Field(default=16, gt=0)
    """Number of real crops on which each variant is compared with the network."""
    mean_px: float = Field(default=0.05, gt=0)
    """A float32 variant's landmarks must differ by less on average, in crop pixels."""
    max_px: float = Field(default=0.5, gt=0)
    """A float32 variant's landmarks must differ by less at most, in crop pixels."""
