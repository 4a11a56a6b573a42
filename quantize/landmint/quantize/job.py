"""What each quantiser is given: from which float file, on which crops, to which INT8 file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landmint.quantize.config import QuantizeConfig
from landmint.runtime.contract import Contract


@dataclass(frozen=True, eq=False)
class Job:
    """One INT8 variant to be made."""

    source: Path
    """The float32 artefact of the same format; for TensorRT the ONNX file."""
    graph: Path
    """The float32 ONNX graph, whose names the settings use and every format is made from."""
    target: Path
    """The file to write; what belongs to it takes its stem."""
    tensors: NDArray[np.float32]
    """(N, 3, S, S), or (N, S, S, 3) for TFLite: calibration crops as the model eats them."""
    contract: Contract
    """In the layout of source and target."""
    config: QuantizeConfig
    """How."""
