"""OpenVINO's INT8 IR, read from the graph with Q/DQ pairs that ONNX Runtime gets as well.

The plugin would need fewer pairs, and then keep the input of a hard-swish and the sum of two layers
in float. On a MobileNetV3 that was some 15 % quicker and a tenth nearer to the float network, but
two to four times as far from the landmarks of the other formats.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from landmint.export.forms.openvino import save_ir
from landmint.export.graphs import WEIGHTED, Wiring, replace_nodes
from landmint.quantize.decide.ranges import unsupported
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.qdq import paired
from landmint.runtime.formats import NARROW_WEIGHTS
from landmint.runtime.telemetry import without_telemetry

with without_telemetry():
    import openvino


def quantize(job: Job) -> dict[str, str]:
    """Write the INT8 IR.

    Args:
        job: `target` has the suffix .xml; the .bin file is written beside it. Of the settings it
            reads float_layers, reduce_range and nncf.

    Returns:
        notes for the manifest.

    Raises:
        LandmintError: OpenVINO lacks an operator of the graph.
    """
    if job.config.nncf:
        from landmint.quantize.forms.openvino_nncf import quantize_by_nncf

        return quantize_by_nncf(job)
    in_float = layers_in_float(job.graph.graph, job.contract, job.config)
    model = paired(job, in_float, reduce_range=job.config.reduce_range)
    keep_roundings(model.graph)
    _fold_biases(model.graph)
    try:
        read = openvino.Core().read_model(model.SerializeToString())
    except RuntimeError as error:
        raise unsupported(model, "openvino", error) from None
    save_ir(read, job.target)
    return {
        "weights": NARROW_WEIGHTS if job.config.reduce_range else "int8",
        "float layers": ", ".join(sorted(in_float)) or "none",
    }


def keep_roundings(graph: onnx.GraphProto) -> None:
    """Make OpenVINO round a layer's output before an Add reads it; changes the graph in place.

    The plugin fuses a layer, its quantiser, the Add and the Add's quantiser into one operator, and
    then skips the first rounding. It does not fuse a tensor that is read twice. So Max(x, x), which
    reads the tensor x twice and changes nothing, is put between the two; it is fused with the Add.

    Args:
        graph: with a Q/DQ pair at every tensor.
    """
    wiring, nodes = Wiring(graph), []
    for node in graph.node:
        if node.op_type == "Add":
            for place, name in enumerate(node.input):
                if _is_rounded_layer(name, wiring):
                    twice = f"{name}_of_{node.name}"
                    nodes.append(helper.make_node("Max", [name, name], [twice], twice))
                    node.input[place] = twice
        nodes.append(node)
    replace_nodes(graph, nodes)


def _fold_biases(graph: onnx.GraphProto) -> None:
    """Replace each quantised bias by its float values, in place: the plugin wants them so."""
    wiring, nodes = Wiring(graph), []
    for node in graph.node:
        levels = wiring.array(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if levels is None or levels.dtype != np.int32:
            nodes.append(node)
            continue
        scale = wiring.array(node.input[1])
        assert scale is not None
        bias = levels.astype(np.float32) * scale
        graph.initializer.append(numpy_helper.from_array(bias, node.output[0]))
    replace_nodes(graph, nodes)


def _is_rounded_layer(tensor: str, wiring: Wiring) -> bool:
    """Whether a tensor is the output of a weighted layer, behind a Q/DQ pair."""
    for kind in ("DequantizeLinear", "QuantizeLinear"):
        maker = wiring.maker.get(tensor)
        if maker is None or maker.op_type != kind:
            return False
        tensor = maker.input[0]
    return tensor in wiring.maker and wiring.maker[tensor].op_type in WEIGHTED
