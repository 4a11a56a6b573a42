"""ONNX to INT8 ONNX for ONNX Runtime: static QDQ, weights per channel.

Activations are unsigned and weights signed (U8S8) unless the settings say otherwise: that is what
the VNNI kernels of x86 multiply; signed activations took three to five times as long there. ARM
has kernels for both. Not for TensorRT, whose rules differ.
"""

import itertools
from collections.abc import Set

import numpy as np
import onnx
from onnx import helper, numpy_helper

from landmint.export.graphs import Wiring, replace_nodes
from landmint.export.lint.rule import PAIR
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.qdq import paired

_LOWEST = "landmint_lowest"
_MATRIX = 2  # a weight has more axes than scales and zero points, and keeps its name


def quantize(job: Job) -> dict[str, str]:
    """Write the INT8 twin of a float32 ONNX file.

    Args:
        job: from `landmint.export.forms.onnx` to .onnx; reads the settings float_layers,
            activations and reduce_range.

    Returns:
        notes for the manifest.
    """
    graph, config = job.graph.graph, job.config
    in_float = layers_in_float(graph, job.contract, config) | _without_kernel(graph)
    quantised = paired(job, in_float, config.activations, config.reduce_range)
    _shield(quantised.graph, in_float)
    _say_once(quantised.graph, {name for node in graph.node for name in node.output})
    onnx.checker.check_model(quantised)
    onnx.save(quantised, job.target)
    return {
        "activations": config.activations,
        "weights": "int8, -64..64" if config.reduce_range else "int8",
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


def _say_once(graph: onnx.GraphProto, tensors: Set[str]) -> None:
    """Write equal scales and zero points once, and the names of what pairs are made of short.

    Zeros of every channel, and names of a pair that repeat its tensor's, were a sixteenth of PFLD's
    file. Shapes are inferred anew.

    Args:
        graph: with pairs, changed in place.
        tensors: of the float graph, which keep their names, as layers and weights do.
    """
    known = {name for node in graph.node for name in (*node.input, *node.output)}
    fresh = (name for i in itertools.count() if (name := f"q{i}") not in known)
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    names: dict[str, str] = {}
    for tensor in graph.initializer:
        if len(tensor.dims) < _MATRIX:
            content = numpy_helper.to_array(tensor).tobytes()
            key = tensor.data_type, tuple(tensor.dims), content
            names[tensor.name] = first.setdefault(key, next(fresh))
    for node in graph.node:
        if node.op_type in PAIR:
            node.ClearField("name")
            names |= {name: next(fresh) for name in node.output if name not in tensors}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    once = {names.get(tensor.name, tensor.name): tensor for tensor in graph.initializer}
    for name, tensor in once.items():
        tensor.name = name
    kept = list(once.values())
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.ClearField("value_info")
