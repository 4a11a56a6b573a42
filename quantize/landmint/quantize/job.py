"""What each quantiser is given: from which float file, by which decision, to which INT8 file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import Decision
from landmint.runtime.contract import Contract


@dataclass(frozen=True, eq=False)
class Job:
    """One INT8 variant to be made."""

    source: Path
    """The float32 artefact of the same format; for TensorRT the ONNX file."""
    target: Path
    """The file to write; what belongs to it takes its stem."""
    graph: onnx.ModelProto
    """The float32 ONNX graph that every format is made from; the decision uses its names."""
    decision: Decision
    """Ranges and corrections."""
    tensors: NDArray[np.float32]
    """(N, 3, S, S), or (N, S, S, 3) for TFLite: calibration crops as the model eats them."""
    contract: Contract
    """In the layout of source and target."""
    config: QuantizeConfig
    """Which layers stay in float, and what else the target is told."""

    @property
    def images(self) -> NDArray[np.float32]:
        """(N, 3, S, S): the crops as `graph` eats them."""
        flip = self.contract.layout == "NHWC"
        return self.tensors.transpose(0, 3, 1, 2) if flip else self.tensors
