"""Feature vectors of faces: the network's last feature map, averaged over its pixels."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from landmint.export.graphs import Wiring, ending_at, last_layers
from landmint.quantize.decide.calibration import crops_of
from landmint.quantize.decide.ranges import run_all
from landmint.runtime.contract import Contract
from landmint.runtime.crop import normalise
from landmint.train.faces.face import Face

_AT_ONCE = 64


def features_of(
    model: onnx.ModelProto, contract: Contract, faces: Sequence[Face]
) -> NDArray[np.float32]:
    """Feature vectors (N, F) of faces, each component with standard deviation 1.

    They are the inputs of the network's last layers, averaged over the pixels of the map.
    Components that are equal for all faces are left out.

    Args:
        model: float, of batch 1.
        contract: of the model.
        faces: which ones.

    Raises:
        LandmintError: an image is unreadable.
    """
    layers = last_layers(model.graph, [output.name for output in contract.outputs])
    ends = {node.input[0] for node in model.graph.node if node.name in layers}
    cut = ending_at(model, sorted(ends & set(Wiring(model.graph).maker)))
    parts = []
    for start in range(0, len(faces), _AT_ONCE):
        tensors = normalise(crops_of(faces[start : start + _AT_ONCE], contract), contract)
        maps = run_all(cut, tensors).values()
        means = [m.mean(axis=tuple(range(2, m.ndim))) for m in maps]
        parts.append(np.concatenate(means, axis=1))
    features = np.concatenate(parts)
    spread = features.std(axis=0)
    alive: NDArray[np.float32] = features[:, spread > 0] / spread[spread > 0]
    return alive
