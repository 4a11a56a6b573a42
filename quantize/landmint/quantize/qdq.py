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

# Greatest level of reduced weights. Processors without VNNI add two products in 16
# bits: 2 x 64 x 255 fits, and 2 x 127 x 255 does not.
_REDUCED = 64
_ACTIVATIONS = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
_WIDE_ACTIVATIONS = {"uint8": QuantType.QUInt16, "int8": QuantType.QInt16}


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
    quantised = _quantised(
        job,
        friendly,
        ranges,
        reduce_range=reduce_range,
        activation_type=_ACTIVATIONS[activations],
        nodes_to_exclude=sorted(untouched),
    )
    fold_sixths(quantised, gates)
    return quantised


def paired_in_16_bits(job: Job, in_float: frozenset[str]) -> onnx.ModelProto:
    """The float32 graph of a job with Q/DQ pairs of 16 bits at every activation.

    The operators are those of the float graph, hard-swish and gates among them: an NPU's compiler
    has forms of its own for them. Weights are INT8 per channel, biases int32.

    Args:
        job: graph and decision; its setting `activations` says whether 16 bits have a sign. If so
            they are symmetric: their zero point is 0.
        in_float: names of layers that stay in float.
    """
    signed = job.config.activations == "int8"
    model = prepared(job, in_float)
    return _quantised(
        job,
        model,
        job.decision.activations,
        activation_type=_WIDE_ACTIVATIONS[job.config.activations],
        nodes_to_exclude=sorted(in_float),
        op_types_to_quantize=sorted({node.op_type for node in model.graph.node}),
        options={"ActivationSymmetric": signed},
    )


def _quantised(
    job: Job,
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> onnx.ModelProto:
    """A float graph with Q/DQ pairs by ONNX Runtime's quantiser, in ranges that are given.

    Args:
        job: the crops and the input's name.
        model: the float graph.
        ranges: of its activations by name.
        options: further ones of `quantize_static`'s `extra_options`.
        **settings: of `quantize_static`.
    """
    with scratch_folder() as work:
        plain, ready, target = (work / f"{name}.onnx" for name in ("plain", "ready", "paired"))
        onnx.save(model, plain)
        # Its optimiser would fuse again what was taken apart; the exporter has folded the rest.
        quant_pre_process(plain, ready, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            ready,
            target,
            _OneFace(job.contract.input_name, job.tensors[:1]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={
                "TensorQuantOverrides": _overrides(ranges, model.graph),
                **(options or {}),
            },
            **settings,
        )
        return onnx.load(target)


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
