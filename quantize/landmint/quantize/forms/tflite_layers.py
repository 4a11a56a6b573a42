"""Matches operators and tensors of a TFLite graph with those of the ONNX graph it was made from.

The converter renames everything, but changes neither weights nor values. So a layer is recognised
by the bytes of its weight, and a tensor by its values on one face.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from landmint.export.flatbuffer import Flatbuffer
from landmint.export.graphs import WEIGHTED, Wiring, attribute
from landmint.quantize.forms.tflite_graph import LINEAR
from landmint.runtime.errors import LandmintError

_MOST_BIAS = 2**31 - 2**10
_SAME = 1e-3
_LEAST = 1e-6


def layers_by_weight(model: Flatbuffer, graph: onnx.GraphProto) -> dict[str, Any]:
    """The TFLite operator of each weighted ONNX node, by the node's name.

    Layers with equal weights are matched in order of execution.

    Args:
        model: the flatbuffer, as the converter wrote it.
        graph: the ONNX graph it was converted from.

    Raises:
        LandmintError: no operator has the weight of a node.
    """
    operators: dict[bytes, list[Any]] = defaultdict(list)
    for operator in model.operators:
        if (kind := model.kind(operator)) in LINEAR:
            weight = model.constant(int(operator.inputs[LINEAR[kind][1]]))
            if weight is not None:
                operators[weight.tobytes()].append(operator)
    wiring = Wiring(graph)
    layers = {}
    for node in graph.node:
        weight = wiring.array(node.input[1]) if node.op_type in WEIGHTED else None
        if weight is None:
            continue
        twins = operators[channels_last(node, weight).tobytes()]
        if not twins:
            raise LandmintError(
                f"no operator of the TFLite graph has the weight of layer '{node.name}'",
                reason="the converter changed it, so settings and ranges cannot be carried over",
                remedy="export the model again; leave tflite out of quantize.formats to go on",
            )
        layers[node.name] = twins.pop(0)
    return layers


def channels_last(node: onnx.NodeProto, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """An ONNX layer's weight in TFLite's axis order.

    Output channels come first; in the depthwise operator they come last.
    """
    if node.op_type == "Gemm":
        return np.ascontiguousarray(weight if attribute(node, "transB", 0) else weight.T)
    if node.op_type == "MatMul":
        return np.ascontiguousarray(weight.T)
    if node.op_type == "ConvTranspose":
        return np.ascontiguousarray(weight.transpose(1, 2, 3, 0))
    depthwise = attribute(node, "group", 1) > 1 and weight.shape[1] == 1
    return np.ascontiguousarray(weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)))


def carry_constants(
    model: Flatbuffer,
    layers: Mapping[str, Any],
    before: onnx.GraphProto,
    after: onnx.GraphProto,
) -> None:
    """Change weights and biases of a flatbuffer as they were changed in the ONNX graph, in place.

    To a bias the difference is added: TFLite's may hold more than ONNX's, such as the +3 of a gate.

    Args:
        model: the flatbuffer.
        layers: its operators, from `layers_by_weight`.
        before: the ONNX graph that the flatbuffer was converted from.
        after: the same nodes with changed weights and biases.
    """
    old, new = Wiring(before), Wiring(after)
    for node in before.node:
        if node.name not in layers:
            continue
        operator = layers[node.name]
        weight, bias = LINEAR[model.kind(operator)][1:]
        was, now = old.array(node.input[1]), new.array(node.input[1])
        assert was is not None and now is not None
        if not np.array_equal(was, now):
            model.set_constant(int(operator.inputs[weight]), channels_last(node, now))
        if len(node.input) < 3:
            continue
        was, now = old.array(node.input[2]), new.array(node.input[2])
        assert was is not None and now is not None
        here = model.constant(int(operator.inputs[bias])) if len(operator.inputs) > bias else None
        if here is not None:
            model.set_constant(int(operator.inputs[bias]), here + (now - was))


def fit_biases(quantised: Flatbuffer, plain: Flatbuffer) -> None:
    """Raise scales of weights until every bias fits into 32 bits, in place.

    A bias has the scale of what the layer reads times that of its weights. Where a channel's
    weights are next to nothing and its bias is not, 32 bits may be too few; AI Edge Quantizer then
    wraps the bias around, with the wrong sign. A greater scale rounds those weights to nothing
    instead. ONNX Runtime's quantiser does so as well.

    Args:
        quantised: what was made.
        plain: what it was made from, with the same layers in the same order.
    """
    for layer, twin in zip(_layers(quantised), _layers(plain), strict=True):
        weight, bias = LINEAR[quantised.kind(layer)][1:]
        exact = plain.constant(int(twin.inputs[bias])) if len(twin.inputs) > bias else None
        if exact is None or quantised.is_float(int(layer.inputs[bias])):
            continue
        old, scales = quantised.levels(int(layer.inputs[bias]))
        growth = np.abs(exact) / (_MOST_BIAS * scales)
        growth = np.maximum(growth if len(scales) > 1 else growth.max(keepdims=True), 1)
        if (growth == 1).all():
            continue
        fitting = np.where(growth > 1, np.rint(exact / (scales * growth)), old)
        quantised.set_levels(int(layer.inputs[bias]), fitting.astype(old.dtype), scales * growth)
        levels, steps = quantised.levels(int(layer.inputs[weight]))
        along = growth.reshape(steps.shape)
        fewer = np.rint(levels / along).astype(levels.dtype)
        quantised.set_levels(int(layer.inputs[weight]), fewer, steps * along)


def _layers(model: Flatbuffer) -> list[Any]:
    """The linear operators in order of execution."""
    return [operator for operator in model.operators if model.kind(operator) in LINEAR]


def tensors_by_value(
    model: bytes, face: NDArray[np.float32], known: Mapping[str, NDArray[np.float32]]
) -> dict[str, str]:
    """The name of the ONNX tensor with the same values, by the name of each TFLite tensor.

    Of several equal ONNX tensors any may be returned: they have equal ranges. TFLite tensors that
    ONNX does not have, such as padded ones, are left out.

    Args:
        model: the float32 flatbuffer.
        face: normalised crop (1, S, S, 3).
        known: ONNX tensors on that face by name, channels first.
    """
    by_size: dict[int, list[tuple[str, NDArray[np.float32]]]] = defaultdict(list)
    for name, values in known.items():
        last = np.moveaxis(values, 1, -1) if values.ndim == 4 else values
        by_size[values.size].append((name, last.ravel()))
    twins = {}
    for name, values in _run(model, face).items():
        flat = values.ravel()
        near = _SAME * max(float(np.abs(flat).max(initial=0.0)), _LEAST)
        gaps = [(float(np.abs(flat - v).max(initial=0.0)), n) for n, v in by_size[flat.size]]
        gap, twin = min(gaps, default=(np.inf, ""))
        if gap <= near:
            twins[name] = twin
    return twins


def _run(model: bytes, face: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Run a flatbuffer on one face; returns all its float tensors by name."""
    interpreter = Interpreter(
        model_content=model,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (entrance,) = interpreter.get_input_details()
    interpreter.set_tensor(entrance["index"], face)
    interpreter.invoke()
    return {
        detail["name"]: interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] is np.float32
    }
