"""Bias correction: rounding weights shifts the mean of a layer's output, and its bias undoes that.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019),
equation 17, with the mean taken over the calibration faces.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from landmint.quantize.decide.ranges import run_all


def bias_shifts(
    model: onnx.ModelProto,
    rounded: Mapping[str, NDArray[np.float32]],
    tensors: NDArray[np.float32],
) -> dict[str, NDArray[np.float32]]:
    """What to add to each layer's bias, per output channel.

    A layer is linear in its weights. So the change of its output is the output of the same layer
    with the differences (rounded less exact weights) for weights. In a copy of the graph such a
    layer is added beside each original one, and its mean output is measured.

    Args:
        model: float32, of batch 1.
        rounded: the rounded weights, by the name of the layer.
        tensors: (N, 3, S, S) normalised crops.

    Returns:
        the shifts (C,), by the name of the layer.
    """
    beside = onnx.ModelProto()
    beside.CopyFrom(model)
    graph = beside.graph
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    del graph.output[:]
    for node in model.graph.node:
        if node.name not in rounded:
            continue
        error, output, mean = (f"{node.name}_error{part}" for part in ("", "_output", "_mean"))
        values = rounded[node.name] - numpy_helper.to_array(constants[node.input[1]])
        graph.initializer.append(numpy_helper.from_array(values, error))
        twin = NodeProto()
        twin.CopyFrom(node)
        twin.name, twin.input[:], twin.output[:] = output, [node.input[0], error], [output]
        reduce = "Identity" if node.op_type in ("Gemm", "MatMul") else "GlobalAveragePool"
        graph.node.extend([twin, helper.make_node(reduce, [output], [mean], mean)])
        graph.output.append(onnx.ValueInfoProto(name=mean))
    means = run_all(beside, tensors) if graph.output else {}
    return {
        layer: -means[f"{layer}_error_mean"]
        .mean(axis=0, dtype=np.float64)
        .astype(np.float32)
        .ravel()
        for layer in rounded
    }
