"""The values of every tensor on the calibration faces, and the levels that a range stands for.

`calibrators.py` chooses the ranges. What is here is the same for every target.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from landmint.export.graphs import ending_at
from landmint.runtime.errors import LandmintError

Range = tuple[float, float]
"""Least and greatest value that is not clipped; zero lies between them."""
Optimise = Literal["all", "float", "none"]
"""Which optimisations ONNX Runtime may do: "all", also integer kernels in place of Q/DQ pairs;
"float", all but those; "none"."""
Doubles = NDArray[np.float64]
Fit = Callable[[Doubles], NDArray[np.float32]]
"""Rounds scales to numbers that a target can hold."""

BINS = 2048
"""Number of bins of a histogram."""
LEVELS = 256
"""Number of levels of an activation."""
_TOP = 127
_LEAST_SPAN = 1e-6


def observe(
    model: onnx.ModelProto, tensors: NDArray[np.float32], faces: Sequence[str] = ()
) -> dict[str, Doubles]:
    """Least and greatest value of every tensor on each face, (N, 2) by the name of the tensor.

    The graph's input is among the tensors.

    Args:
        model: float, of batch 1.
        tensors: (N, 3, S, S) normalised crops.
        faces: names of the crops, for messages.

    Raises:
        LandmintError: a tensor holds a number that is not finite, or ONNX Runtime cannot run an
            operator.
    """
    extremes: dict[str, list[tuple[float, float]]] = {}
    for i, values in enumerate(_runs(model, tensors)):
        for name, value in values.items():
            low, high = float(value.min()), float(value.max())
            if not np.isfinite([low, high]).all():
                raise _not_finite(name, faces[i] if faces else str(i))
            extremes.setdefault(name, []).append((low, high))
    return {name: np.array(pairs, dtype=np.float64) for name, pairs in extremes.items()}


def histograms(
    model: onnx.ModelProto, tensors: NDArray[np.float32], extremes: Mapping[str, Doubles]
) -> dict[str, Doubles]:
    """Histogram (2048,) of each tensor's values on all faces, over its `outermost` range.

    Args:
        model: float, of batch 1.
        tensors: (N, 3, S, S) normalised crops.
        extremes: what `observe` returned for the same model and crops.
    """
    counts = {name: np.zeros(BINS) for name in extremes}
    for values in _runs(model, tensors):
        for name, value in values.items():
            if not is_dead(bounds := outermost(extremes[name])):
                counts[name] += np.histogram(value, BINS, bounds)[0]
    return counts


def _runs(
    model: onnx.ModelProto, tensors: NDArray[np.float32]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """For each face the values of all tensors by name, the graph's input among them."""
    names = [name for node in model.graph.node for name in node.output if name]
    session = open_session(ending_at(model, names))
    (entrance,) = session.get_inputs()
    for face in tensors:
        values = session.run(names, {entrance.name: face[None]})
        yield {entrance.name: face, **dict(zip(names, values, strict=True))}


def outermost(extremes: Doubles) -> Range:
    """The least and the greatest value of all faces, zero included."""
    return min(float(extremes[:, 0].min()), 0.0), max(float(extremes[:, 1].max()), 0.0)


def is_dead(span: Range) -> bool:
    """Whether a tensor with this range is zero everywhere."""
    return span[1] - span[0] < _LEAST_SPAN


def _not_finite(tensor: str, face: str) -> LandmintError:
    return LandmintError(
        f"tensor '{tensor}' of the float32 graph is not finite on calibration face {face}",
        reason="no range can be drawn around it",
        remedy="look at that picture and at the network's weights; train again if it diverged",
    )


def run_all(
    model: onnx.ModelProto, tensors: NDArray[np.float32], optimise: Optimise = "all"
) -> dict[str, NDArray[np.float32]]:
    """Run a graph of batch 1 on each crop of `tensors`; returns its outputs (N, ...) by name."""
    session = open_session(model, optimise)
    (entrance,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    runs = [session.run(names, {entrance.name: face[None]}) for face in tensors]
    return {name: np.concatenate(values) for name, *values in zip(names, *runs, strict=True)}


def open_session(
    model: onnx.ModelProto, optimise: Optimise = "all"
) -> onnxruntime.InferenceSession:
    """Load a graph into ONNX Runtime, to run on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more gain little at batch 1, and wait for each other
    options.log_severity_level = 4
    if optimise == "none":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_quant_qdq", str(int(optimise != "all")))
    providers = ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    except Exception as error:
        raise unsupported(model, "onnxruntime", error) from None


def unsupported(model: onnx.ModelProto, target: str, error: Exception) -> LandmintError:
    """The error to raise when a target refuses a graph; it names the operators to blame.

    Args:
        model: the graph.
        target: the library that refused it.
        error: what the library raised; its message is searched for operators.
    """
    message = str(error)
    blamed = [
        f"{n.name} ({n.op_type})" for n in model.graph.node if n.op_type in message.split("\n")[0]
    ]
    return LandmintError(
        f"{target} cannot run the graph" + (f": node {', '.join(blamed[:3])}" if blamed else ""),
        reason=message.strip().splitlines()[0] if message.strip() else type(error).__name__,
        remedy="build the network from operators that the target has, or leave the format out of "
        "quantize.formats",
    )


def zero_point(span: Range) -> int:
    """The uint8 level that stands for zero; for int8 it is 128 less."""
    low, high = span
    return int(np.clip(np.rint(-low * (LEVELS - 1) / (high - low)), 0, LEVELS - 1))


def nearest_levels(values: Doubles, span: Range) -> NDArray[np.intp]:
    """The uint8 level of each value."""
    low, high = span
    steps = np.rint(values * (LEVELS - 1) / (high - low)).astype(np.intp)
    return np.clip(steps + zero_point(span), 0, LEVELS - 1)


def weight_scales(values: NDArray[np.float32], axis: int, top: int = _TOP) -> Doubles:
    """Scale of each output channel for symmetric levels -top..top; 1 for a channel of zeros."""
    magnitude = np.abs(values.astype(np.float64)).max(axis=_others(values, axis))
    scales: Doubles = np.where(magnitude > 0, magnitude / top, 1.0)
    return scales


def single(scales: Doubles) -> NDArray[np.float32]:
    """Round scales to float32, as most targets hold them."""
    return scales.astype(np.float32)


def weight_levels(
    values: NDArray[np.float32], axis: int, top: int = _TOP, fit: Fit = single
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round weights to the levels -top..top; returns the levels, and the scale of each channel.

    Args:
        values: weights.
        axis: axis of the output channels.
        top: greatest level.
        fit: rounds scales to numbers that the target can hold.
    """
    scale = fit(weight_scales(values, axis, top))
    steps = values / np.expand_dims(scale, _others(values, axis))
    return np.clip(np.rint(steps), -top, top).astype(np.int8), scale


def rounded_weights(
    values: NDArray[np.float32], axis: int, top: int = _TOP, fit: Fit = single
) -> NDArray[np.float32]:
    """Weights rounded by `weight_levels`, as floats: levels times scale."""
    levels, scale = weight_levels(values, axis, top, fit)
    scales = np.expand_dims(scale, _others(values, axis))
    return levels.astype(np.float32) * scales


def _others(values: NDArray[np.float32], axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(values.ndim) if i != axis)
