"""ONNX to INT8 ONNX for ONNX Runtime: static QDQ, weights per channel.

Activations are unsigned and weights signed (U8S8) unless the settings say otherwise: that is what
the VNNI kernels of x86 multiply; signed activations took three to five times as long there. ARM
has kernels for both. Not for TensorRT, whose rules differ.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from landmint.export.graphs import Wiring, replace_nodes
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.qdq import paired

_LOWEST = "landmint_lowest"


def quantize(job: Job) -> dict[str, str]:
    """Write the INT8 twin of a float32 ONNX file.

    Args:
        job: from `landmint.export.to_onnx` to .onnx; reads the settings float_layers,
            activations and reduce_range.

    Returns:
        notes for the manifest.
    """
    graph, config = job.graph.graph, job.config
    in_float = layers_in_float(graph, job.contract, config) | _without_kernel(graph)
    quantised = paired(job, in_float, config.activations, config.reduce_range)
    _shield(quantised.graph, in_float)
    onnx.checker.check_model(quantised)
    onnx.save(quantised, job.target)
    return {
        "activations": config.activations,
        "weights": "int8 of 7 bits" if config.reduce_range else "int8",
        "float layers": ", ".join(sorted(in_float)) or "none",
    }


def _without_kernel(graph: onnx.GraphProto) -> frozenset[str]:
    """Layers that ONNX Runtime has no integer kernel for: Q/DQ pairs would only cost them time."""
    return frozenset(node.name for node in graph.node if node.op_type == "ConvTranspose")


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
