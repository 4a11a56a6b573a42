"""The decision as Q/DQ pairs in the ONNX graph, read by OpenVINO into an INT8 IR.

The plugin's own transformations turn the pairs into integer layers and fuse activations into them:
hard-swish stays one operator, and nothing stands between a convolution and its activation.
"""

import onnx
import openvino

from landmint.export.graphs import Wiring, replace_nodes
from landmint.quantize.decision import Decision, layers_of, prepared
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.pairs import Levels, Pairs
from landmint.quantize.ranges import unsupported

_LEVELS = Levels(symmetric=False)
_POOLS = ("ReduceMean", "GlobalAveragePool", "AveragePool")


def quantize(job: Job) -> dict[str, str]:
    """Write the INT8 IR.

    Args:
        job: to .xml, whose .bin stands beside it; reads the setting float_layers.

    Returns:
        notes for the manifest.

    Raises:
        LandmintError: OpenVINO has no such operator.
    """
    in_float = layers_in_float(job.graph.graph, job.contract, job.config)
    paired = add_pairs(prepared(job.graph, job.decision), job.decision, in_float)
    try:
        read = openvino.Core().read_model(paired.SerializeToString())
    except RuntimeError as error:
        raise unsupported(paired, "openvino", error) from None
    openvino.save_model(read, job.target, compress_to_fp16=False)
    return {"float layers": ", ".join(sorted(in_float)) or "none"}


def add_pairs(
    model: onnx.ModelProto, decision: Decision, in_float: frozenset[str]
) -> onnx.ModelProto:
    """A copy of a float32 graph with Q/DQ pairs where the CPU plugin wants them.

    Before each weighted layer; before each pool; before the other input of an Add that fuses into
    a convolution. A product reads what a pool or a layer beside it reads: a gated map is loaded
    once.

    Args:
        model: prepared.
        decision: its ranges.
        in_float: names of layers to leave alone.
    """
    paired = onnx.ModelProto()
    paired.CopyFrom(model)
    graph = paired.graph
    wiring, pairs = Wiring(graph), Pairs(graph, decision.activations, _LEVELS)
    layers = [node for node in layers_of(graph) if node.name not in in_float]
    pools = [node for node in graph.node if node.op_type in _POOLS]
    read = {node.input[0] for node in (*layers, *pools)}
    pairs.layers(layers)
    for node in pools:
        node.input[0] = pairs.activation(node.input[0])
    for node in graph.node:
        if node.op_type == "Add":
            pairs.residual(node, wiring, {layer.output[0] for layer in layers})
        elif node.op_type == "Mul":
            node.input[:] = [pairs.activation(n) if n in read else n for n in node.input]
    replace_nodes(graph, pairs.in_order())
    return paired
