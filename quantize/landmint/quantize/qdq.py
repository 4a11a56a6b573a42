"""A graph with Q/DQ pairs at every operator, placed by ONNX Runtime's quantiser.

ONNX Runtime runs this graph and OpenVINO reads it; TFLite's converter makes its own of the same
ranges. All of them round the same tensors: otherwise their landmarks would differ. TensorRT is not
served, since its rules differ.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from landmint.export.graphs import Wiring
from landmint.quantize.decide.ranges import Range, rounded_weights
from landmint.quantize.heads import joins_in_float
from landmint.quantize.integer_friendly import fold_sixths, gate_ranges, make_friendly
from landmint.quantize.job import Job
from landmint.quantize.prepare import prepared
from landmint.runtime.scratch import scratch_folder

# Greatest level of ONNX Runtime's reduced weights. Processors without VNNI add two products in 16
# bits: 2 x 64 x 255 fits, and 2 x 127 x 255 does not.
_REDUCED = 64
_ACTIVATIONS = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


def paired(
    job: Job, in_float: frozenset[str], activations: str = "uint8", reduce_range: bool = False
) -> onnx.ModelProto:
    """The float32 graph of a job with Q/DQ pairs, weights per channel.

    Args:
        job: graph and decision.
        in_float: names of layers that stay in float.
        activations: type of activations, "uint8" or "int8".
        reduce_range: whether weights have the levels -64..64 instead of -127..127.
    """
    rounding = partial(rounded_weights, top=_REDUCED) if reduce_range else rounded_weights
    friendly, gates = make_friendly(prepared(job, in_float, rounding))
    ranges = {**job.decision.activations, **gate_ranges(gates)}
    untouched = in_float | joins_in_float(friendly.graph, in_float) | {gate.gate for gate in gates}
    with scratch_folder() as work:
        plain, ready, target = (work / f"{name}.onnx" for name in ("plain", "ready", "int8"))
        onnx.save(friendly, plain)
        # Its optimiser would fuse again what was taken apart; the exporter has folded the rest.
        quant_pre_process(plain, ready, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            ready,
            target,
            _OneFace(job.contract.input_name, job.tensors[:1]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=_ACTIVATIONS[activations],
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(untouched),
            extra_options={"TensorQuantOverrides": _overrides(ranges, friendly.graph)},
        )
        quantised = onnx.load(target)
    fold_sixths(quantised, gates)
    return quantised


def _overrides(
    ranges: Mapping[str, Range], graph: onnx.GraphProto
) -> dict[str, list[dict[str, Any]]]:
    present = {*Wiring(graph).maker, *(value.name for value in graph.input)}
    return {
        name: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
        for name, (low, high) in ranges.items()
        if name in present
    }


class _OneFace(CalibrationDataReader):  # type: ignore[misc]
    """Feeds one face to quantize_static, which asks for data; its ranges are overridden."""

    def __init__(self, name: str, tensors: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter([{name: tensors}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)
