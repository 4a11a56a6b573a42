"""ONNX to ONNX with Q/DQ pairs, weights per channel: INT8 for ONNX Runtime, w8a16 for NPUs.

Activations are unsigned and weights signed (U8S8) unless the settings say otherwise. That suits the
VNNI kernels of x86, where signed activations took three to five times as long. ARM has kernels for
both. TensorRT cannot use this graph, since its rules differ.
"""

import itertools
from collections.abc import Set

import numpy as np
import onnx
from onnx import helper, numpy_helper

from landmint.export.graphs import Wiring, chosen_layers, replace_nodes
from landmint.export.lint.rule import PAIR
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.qdq import paired, paired_in_16_bits
from landmint.runtime.formats import NARROW_WEIGHTS

_LOWEST = "landmint_lowest"
_MATRIX = 2  # constants with so many axes are weights, and keep their names


def quantize(job: Job) -> dict[str, str]:
    """Write the INT8 ONNX file.

    Args:
        job: `source` as `landmint.export.forms.onnx` writes it, `target` with the suffix .onnx. Of
            the settings it reads float_layers, activations and reduce_range.

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
        "weights": NARROW_WEIGHTS if config.reduce_range else "int8",
        "float layers": ", ".join(sorted(in_float)) or "none",
    }


def quantize_w8a16(job: Job) -> dict[str, str]:
    """Write the ONNX file with activations in 16 bits, which NPUs' compilers take.

    ONNX Runtime's CPU computes it in float. 16 bits are enough for every output, and a layer that
    this CPU has no integer kernel for may be one that the NPU has: so all are quantised.

    Args:
        job: as of `quantize`. Of the settings it reads float_layers and activations: 16 bits
            without a sign for "uint8", with one for "int8".

    Returns:
        notes for the manifest.
    """
    in_float = chosen_layers(job.graph.graph, job.config.float_layers)
    quantised = paired_in_16_bits(job, in_float)
    _say_once(quantised.graph, {name for node in job.graph.graph.node for name in node.output})
    onnx.checker.check_model(quantised)
    onnx.save(quantised, job.target)
    return {
        "activations": {"uint8": "uint16", "int8": "int16"}[job.config.activations],
        "weights": "int8",
        "float layers": ", ".join(sorted(in_float)) or "none",
    }


def _without_kernel(graph: onnx.GraphProto) -> frozenset[str]:
    """Layers that ONNX Runtime has no integer kernel for: with Q/DQ pairs they would be slower."""
    return frozenset(node.name for node in graph.node if node.op_type == "ConvTranspose")


def _shield(graph: onnx.GraphProto, in_float: frozenset[str]) -> None:
    """Keep ONNX Runtime from quantising layers that were left in float; changes the graph in place.

    Its optimiser quantises the weights of every layer between a DequantizeLinear and a
    QuantizeLinear, with one scale for all channels; a Relu or Clip in between does not stop it. A
    Max that changes nothing, put behind the layer, does: no rule of the optimiser removes it.
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
    """Make the file smaller: store equal scales and zero points once, and shorten names.

    Zero points of every channel, and long names of pairs, were a sixteenth of PFLD's file. The
    stored shapes of inner tensors are dropped; a reader infers them.

    Args:
        graph: with Q/DQ pairs; changed in place.
        tensors: names of the float graph's tensors, which stay. So do those of layers and
            weights.
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
