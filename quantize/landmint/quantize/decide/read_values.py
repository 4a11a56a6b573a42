"""Which values of a PIP head's maps are read; the others need no levels.

The decode reads, for each landmark, the offsets of one cell: that of the greatest score
(`landmint.runtime.decode`). Training teaches that cell alone. What a network says of the others is
without bound: on a PIPNet over EfficientNet-Lite0 the offsets that are read lay within 6 cells, all
offsets within 50. A range around all of them leaves a handful of levels to those that count, and
cost that student .49 points of NME.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from landmint.export.graphs import SHAPERS, ending_at
from landmint.quantize.decide.ranges import Doubles, run_all

_SCORES = "cls"
_OFFSETS = ("x", "y", "nb_x", "nb_y")
_MARGIN_CELLS = 1.0
"""INT8 may move a peak to the cell beside it, from where offsets are one cell more or less."""


def read_extremes(model: onnx.ModelProto, tensors: NDArray[np.float32]) -> dict[str, Doubles]:
    """Least and greatest offset that the decode reads on each face, with a margin of one cell.

    Args:
        model: float, of batch 1.
        tensors: (N, 3, S, S) normalised crops.

    Returns:
        (N, 2) for each map of offsets and for what is the same map in another shape, by the name
        of the tensor; {} for a graph without a PIP head.
    """
    made = {name for node in model.graph.node for name in node.output}
    if not {_SCORES, *_OFFSETS} <= made:
        return {}
    maps = run_all(ending_at(model, (_SCORES, *_OFFSETS)), tensors)
    faces, landmarks = maps[_SCORES].shape[:2]
    peak = maps[_SCORES].reshape(faces, landmarks, -1).argmax(axis=2)
    extremes: dict[str, Doubles] = {}
    for name in _OFFSETS:
        offsets = maps[name].reshape(faces, landmarks, -1, maps[_SCORES][0, 0].size)
        read = np.take_along_axis(offsets, peak[..., None, None], axis=3)
        low = np.maximum(read.min(axis=(1, 2, 3)) - _MARGIN_CELLS, offsets.min(axis=(1, 2, 3)))
        high = np.minimum(read.max(axis=(1, 2, 3)) + _MARGIN_CELLS, offsets.max(axis=(1, 2, 3)))
        extremes[name] = np.stack([low, high], axis=1).astype(np.float64)
    return _with_other_shapes(extremes, model.graph)


def _with_other_shapes(extremes: dict[str, Doubles], graph: onnx.GraphProto) -> dict[str, Doubles]:
    """The same, also for tensors that only a reshape or a transpose parts from those."""
    shaped = dict(extremes)
    for node in reversed(graph.node):
        if node.op_type in SHAPERS and node.output[0] in shaped:
            shaped.setdefault(node.input[0], shaped[node.output[0]])
    for node in graph.node:
        if node.op_type in SHAPERS and node.input[0] in shaped:
            shaped.setdefault(node.output[0], shaped[node.input[0]])
    return shaped
