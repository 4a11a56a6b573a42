"""ONNX to INT8 ONNX for ONNX Runtime: static QDQ, weights per channel.

Activations are unsigned and weights signed (U8S8) unless the settings say otherwise: that is what
the VNNI kernels of x86 multiply; signed activations took three to five times as long there. ARM
has kernels for both. Not for TensorRT, whose rules differ.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from landmint.export.graphs import Wiring, replace_nodes
from landmint.quantize.decision import prepared
from landmint.quantize.heads import layers_in_float
from landmint.quantize.integer_friendly import fold_sixths, gate_ranges, make_friendly
from landmint.quantize.job import Job
from landmint.quantize.ranges import Range

_LOWEST = "landmint_lowest"
_ACTIVATIONS = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


def quantize(job: Job) -> dict[str, str]:
    """Write the INT8 twin of a float32 ONNX file.

    Args:
        job: from `landmint.export.to_onnx` to .onnx; reads the settings float_layers,
            activations and reduce_range.

    Returns:
        notes for the manifest.
    """
    friendly, gates = make_friendly(prepared(job.graph, job.decision))
    ranges = {**job.decision.activations, **gate_ranges(gates)}
    in_float = layers_in_float(friendly.graph, job.contract, job.config) | _without_kernel(friendly)
    with tempfile.TemporaryDirectory() as work:
        plain, ready = Path(work) / "plain.onnx", Path(work) / "ready.onnx"
        onnx.save(friendly, plain)
        # Its optimiser would fuse again what was taken apart; the exporter has folded the rest.
        quant_pre_process(plain, ready, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            ready,
            job.target,
            _OneFace(job.contract.input_name, job.tensors[:1]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=job.config.reduce_range,
            activation_type=_ACTIVATIONS[job.config.activations],
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(in_float | {gate.gate for gate in gates}),
            extra_options={"TensorQuantOverrides": _overrides(ranges)},
        )
    quantised = onnx.load(job.target)
    fold_sixths(quantised, gates)
    _shield(quantised.graph, in_float)
    onnx.checker.check_model(quantised)
    onnx.save(quantised, job.target)
    return {
        "activations": job.config.activations,
        "weights": "int8 of 7 bits" if job.config.reduce_range else "int8",
        "float layers": ", ".join(sorted(in_float)) or "none",
    }


def _without_kernel(model: onnx.ModelProto) -> frozenset[str]:
    """Layers that ONNX Runtime has no integer kernel for: Q/DQ pairs would only cost them time."""
    return frozenset(node.name for node in model.graph.node if node.op_type == "ConvTranspose")


def _shield(graph: onnx.GraphProto, in_float: frozenset[str]) -> None:
    """Keep ONNX Runtime from quantising layers that were left in float, in place.

    Its optimiser gives 8-bit weights, with one scale for all channels, to every layer that it finds
    between a DequantizeLinear and a QuantizeLinear, a Relu or Clip set aside. A Max that changes
    nothing parts the layer from what follows; the optimiser knows no rule that removes it.
    """
    wiring = Wiring(graph)
    nodes = []
    for node in graph.node:
        nodes.append(node)
        if node.name in in_float and wiring.readers(node.output[0]):
            tensor, bare = node.output[0], f"{node.output[0]}_unshielded"
            node.output[0] = bare
            nodes.append(helper.make_node("Max", [bare, _LOWEST], [tensor], f"{tensor}_shield"))
    lowest = np.array(np.finfo(np.float32).min)
    graph.initializer.append(numpy_helper.from_array(lowest, _LOWEST))
    replace_nodes(graph, nodes)


def _overrides(ranges: Mapping[str, Range]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
        for name, (low, high) in ranges.items()
    }


class _OneFace(CalibrationDataReader):  # type: ignore[misc]
    """What quantize_static insists on; the ranges that it finds are overridden."""

    def __init__(self, name: str, tensors: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter([{name: tensors}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)
