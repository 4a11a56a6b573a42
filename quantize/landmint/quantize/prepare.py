"""The float graph with the decision's corrections in its weights and biases, before quantising.

The decision is the same for all formats. Which layers stay in float and how weights are rounded
differs by format. So the bias correction, which makes up for the rounding, is computed here for
each format by itself.
"""

from collections.abc import Callable, Container, Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from landmint.export.graphs import Wiring, output_axis
from landmint.quantize.decide.bias_correction import bias_shifts
from landmint.quantize.decide.decision import layers_of
from landmint.quantize.decide.equalise import equalised
from landmint.quantize.decide.ranges import rounded_weights
from landmint.quantize.job import Job

Weights = NDArray[np.float32]
Rounding = Callable[[Weights, int], Weights]
"""Rounds a layer's weights: takes them and the axis of the output channels, returns the rounded
values as floats."""


def prepared(
    job: Job, in_float: Container[str], rounding: Rounding = rounded_weights
) -> onnx.ModelProto:
    """A copy of a job's graph: equalised, weights clipped to their ranges, biases corrected.

    Args:
        job: graph, decision and calibration crops.
        in_float: names of the layers that the format does not quantise; their biases stay.
        rounding: how the format rounds the weights of all other layers.
    """
    made = equalised(job.graph, job.decision.equalised)
    plain, wiring = equalised(made, {}), Wiring(made.graph)
    for node, values in _layers(made.graph, wiring):
        tops = np.array(job.decision.weights[node.input[1]], dtype=np.float32)
        axis = output_axis(node)
        top = tops.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        _replace(wiring, node.input[1], np.clip(values, -top, top))
    if not job.decision.bias_correction:
        return made
    rounded = {
        node.name: rounding(values, output_axis(node))
        for node, values in _layers(made.graph, wiring)
        if node.name not in in_float and _has_own_bias(node, wiring)
    }
    shifts = bias_shifts(plain, rounded, job.images)
    for node in made.graph.node:
        if node.name in shifts:
            bias = wiring.array(node.input[2])
            assert bias is not None
            _replace(wiring, node.input[2], bias + shifts[node.name])
    return made


def _has_own_bias(node: NodeProto, wiring: Wiring) -> bool:
    """Whether a layer has a constant bias that no other layer reads."""
    name = node.input[2] if len(node.input) > 2 else ""
    return name in wiring.constants and len(wiring.readers(name)) == 1


def _layers(graph: onnx.GraphProto, wiring: Wiring) -> Iterator[tuple[NodeProto, Weights]]:
    for node in layers_of(graph):
        values = wiring.array(node.input[1])
        assert values is not None
        yield node, values


def _replace(wiring: Wiring, name: str, values: Weights) -> None:
    fresh = numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name)
    wiring.constants[name].CopyFrom(fresh)
