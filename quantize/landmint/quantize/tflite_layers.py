"""Which operator of a TFLite graph is which layer of the ONNX graph that it was made from.

The converter renames every tensor, and keeps every weight: a layer is known by its weight's bytes.
"""

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from landmint.export.graphs import WEIGHTED, Wiring, attribute
from landmint.quantize.tflite_graph import LINEAR, Flatbuffer
from landmint.runtime.errors import LandmintError


def layers_by_weight(model: Flatbuffer, graph: onnx.GraphProto) -> dict[str, Any]:
    """The operator of each weighted node, by the node's name.

    Layers of equal weights are taken in the order in which both graphs run.

    Args:
        model: as the converter wrote it.
        graph: what it was converted from.

    Raises:
        LandmintError: no operator has a node's weight.
    """
    found: dict[bytes, list[Any]] = defaultdict(list)
    for operator in model.operators:
        if (kind := model.kind(operator)) in LINEAR:
            weight = model.constant(int(operator.inputs[LINEAR[kind][1]]))
            if weight is not None:
                found[weight.tobytes()].append(operator)
    wiring = Wiring(graph)
    layers = {}
    for node in graph.node:
        weight = wiring.array(node.input[1]) if node.op_type in WEIGHTED else None
        if weight is None:
            continue
        twins = found[channels_last(node, weight).tobytes()]
        if not twins:
            raise LandmintError(
                f"no operator of the TFLite graph has the weight of layer '{node.name}'",
                reason="the converter changed it, so settings and ranges cannot be carried over",
                remedy="export the model again; leave tflite out of quantize.formats to go on",
            )
        layers[node.name] = twins.pop(0)
    return layers


def channels_last(node: onnx.NodeProto, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A layer's weight as the TFLite operator holds it, whose output channels stand first.

    The depthwise operator alone has them last.
    """
    if node.op_type == "Gemm":
        return np.ascontiguousarray(weight if attribute(node, "transB", 0) else weight.T)
    if node.op_type == "MatMul":
        return np.ascontiguousarray(weight.T)
    if node.op_type == "ConvTranspose":
        return np.ascontiguousarray(weight.transpose(1, 2, 3, 0))
    depthwise = attribute(node, "group", 1) > 1 and weight.shape[1] == 1
    return np.ascontiguousarray(weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)))
