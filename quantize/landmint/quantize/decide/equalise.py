"""Cross-layer equalisation: weights of two successive layers rescaled to similar magnitudes.

A channel's weights in the first layer are divided by a factor, and the weights of the second layer
that read this channel are multiplied by it. With a ReLU between the two the float network computes
the same, up to rounding. With ReLU6 or hard-swish it would not, so these are left alone.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from landmint.export.graphs import Wiring, attribute

Factors = Mapping[str, tuple[float, ...]]
"""By the name of a layer: what each of its output channels is divided by."""


def equalising(model: onnx.ModelProto) -> dict[str, tuple[float, ...]]:
    """The factors that give both layers of each pair weights of equal magnitude, by channel.

    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV
    2019), equation 11, pair after pair in the order of execution, once. A channel whose weights are
    all zero in one of the layers keeps its scale.

    Args:
        model: float32.
    """
    work = onnx.ModelProto()
    work.CopyFrom(model)
    by_layer = {}
    for first, second in _pairs(Wiring(work.graph), work.graph):
        wiring = Wiring(work.graph)
        out = _magnitudes(_array(wiring, first.input[1]), 0)
        read = _magnitudes(_array(wiring, second.input[1]), _read_axis(second))
        both = (out > 0) & (read > 0)
        ratio = np.divide(out, read, out=np.ones_like(out), where=both)
        factors = np.where(both, np.sqrt(ratio), 1.0)
        by_layer[first.name] = tuple(factors.tolist())
        equalise(work, {first.name: by_layer[first.name]})
    return by_layer


def equalised(model: onnx.ModelProto, factors: Factors) -> onnx.ModelProto:
    """A copy of a graph, with its weights rescaled by the factors."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    equalise(made, factors)
    return made


def equalise(model: onnx.ModelProto, factors: Factors) -> None:
    """Rescale the weights of a graph by the factors, in place."""
    wiring = Wiring(model.graph)
    for first, second in _pairs(wiring, model.graph):
        if first.name not in factors:
            continue
        by = np.array(factors[first.name])
        for name in first.input[1:]:
            _scale(wiring, name, 1 / by, 0)
        _scale(wiring, second.input[1], by, _read_axis(second))


def _pairs(wiring: Wiring, graph: onnx.GraphProto) -> Iterator[tuple[NodeProto, NodeProto]]:
    """Two convolutions with just a ReLU between them, whose weights no other node reads."""
    for first in graph.node:
        relu = _sole_reader(wiring, first)
        if relu is None or relu.op_type != "Relu":
            continue
        second = _sole_reader(wiring, relu)
        if second is None or not (_is_layer(wiring, first) and _is_layer(wiring, second)):
            continue
        if attribute(second, "group", 1) in (1, wiring.constants[second.input[1]].dims[0]):
            yield first, second


def _sole_reader(wiring: Wiring, node: NodeProto) -> NodeProto | None:
    """The one reader of a node's result; None when there are more, or it is an output."""
    readers = wiring.readers(node.output[0])
    alone = len(readers) == 1 and node.output[0] not in wiring.outputs
    return readers[0] if alone else None


def _is_layer(wiring: Wiring, node: NodeProto) -> bool:
    own = all(n in wiring.constants and len(wiring.readers(n)) == 1 for n in node.input[1:])
    return node.op_type == "Conv" and own


def _read_axis(layer: NodeProto) -> int:
    """The axis of a convolution's weight that counts the channels that it reads."""
    return 1 if attribute(layer, "group", 1) == 1 else 0


def _magnitudes(values: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    others = tuple(i for i in range(values.ndim) if i != axis)
    magnitudes: NDArray[np.float64] = np.abs(values.astype(np.float64)).max(axis=others)
    return magnitudes


def _array(wiring: Wiring, name: str) -> NDArray[np.float32]:
    values = wiring.array(name)
    assert values is not None
    return values


def _scale(wiring: Wiring, name: str, by: NDArray[np.float64], axis: int) -> None:
    values = _array(wiring, name)
    scaled = values * by.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    fresh = numpy_helper.from_array(scaled.astype(np.float32), name)
    wiring.constants[name].CopyFrom(fresh)
