"""The range of every activation over the calibration faces, and which part of it gets levels.

Not a quantiser: it knows no scales and no types.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Extremes = Mapping[str, NDArray[np.float64]]
"""Tensor name to (N, 2): the least and the greatest value for each of N faces."""
Range = tuple[float, float]
Optimise = Literal["all", "float", "none"]
"""What ONNX Runtime may make of a graph: integer kernels of Q/DQ pairs, or float kernels alone, or
nothing."""


def observe(model: onnx.ModelProto, tensors: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Run a float graph and watch its input, its outputs and everything between.

    Args:
        model: of batch 1.
        tensors: (N, 3, S, S) normalised crops.
    """
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    outputs = {value.name for value in watched.graph.output}
    inner = [name for node in watched.graph.node for name in node.output if name]
    watched.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in inner if name not in outputs
    )
    session = open_session(watched)
    (entrance,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (entrance.name, *names)}
    for face in tensors:
        values = session.run(names, {entrance.name: face[None]})
        for name, value in zip((entrance.name, *names), (face, *values), strict=True):
            found[name].append((value.min(), value.max()))
    return {name: np.array(pairs, dtype=np.float64) for name, pairs in found.items()}


def run_all(
    model: onnx.ModelProto, tensors: NDArray[np.float32], optimise: Optimise = "all"
) -> dict[str, NDArray[np.float32]]:
    """Outputs (N, ...) by name of a graph of batch 1."""
    session = open_session(model, optimise)
    (entrance,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    runs = [session.run(names, {entrance.name: face[None]}) for face in tensors]
    return {name: np.concatenate(values) for name, *values in zip(names, *runs, strict=True)}


def open_session(
    model: onnx.ModelProto, optimise: Optimise = "all"
) -> onnxruntime.InferenceSession:
    """A graph in memory, ready to run on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if optimise == "none":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_quant_qdq", str(int(optimise != "all")))
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def settle(extremes: NDArray[np.float64], coverage: float) -> Range:
    """The range that spans the extremes of a share of the faces, zero included.

    A few faces drive some activations far beyond where all others stay; giving them levels makes
    the levels coarse for everybody. On a PIPNet and a PFLD over MobileNetV3-Small (128 px, 64
    faces) the outermost values cost a fifth more drift than those of nine faces in ten.

    Args:
        extremes: (N, 2) least and greatest value per face.
        coverage: share of the faces whose extremes are spanned, each end by itself.
    """
    low = float(np.quantile(extremes[:, 0], 1 - coverage))
    high = float(np.quantile(extremes[:, 1], coverage))
    return min(low, 0.0), max(high, 0.0)


def settle_all(extremes: Extremes, coverage: float) -> dict[str, Range]:
    """`settle` for every tensor."""
    return {name: settle(found, coverage) for name, found in extremes.items()}
