"""What the quantiser of each format is given: the float file, the ranges, and the file to write."""

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
    """One quantised variant to be made."""

    source: Path
    """The float32 artefact of the same format; for TensorRT the ONNX file."""
    target: Path
    """The file to write. Other files of the variant stand beside it and have the same stem."""
    graph: onnx.ModelProto
    """The float32 ONNX graph that every format is made from. `decision` names its tensors."""
    decision: Decision
    """Ranges and corrections."""
    tensors: NDArray[np.float32]
    """Normalised calibration crops: (N, 3, S, S), or (N, S, S, 3) for TFLite."""
    contract: Contract
    """What the model takes and returns, in the layout of `source` and `target`."""
    config: QuantizeConfig
    """Which layers stay in float, and the settings of single formats."""

    @property
    def images(self) -> NDArray[np.float32]:
        """The calibration crops in the layout of `graph`, (N, 3, S, S)."""
        flip = self.contract.layout == "NHWC"
        return self.tensors.transpose(0, 3, 1, 2) if flip else self.tensors
