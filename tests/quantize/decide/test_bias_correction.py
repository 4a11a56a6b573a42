"""Biases give back what rounding took from the mean, as NNCF's do."""

from collections.abc import Callable

import nncf
import numpy as np
import onnx
import openvino
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from landmint.export.graphs import Wiring, output_axis
from landmint.quantize.decide.bias_correction import bias_shifts
from landmint.quantize.decide.decision import layers_of
from landmint.quantize.decide.ranges import rounded_weights, run_all
from landmint.quantize.forms.openvino_nncf import _fold

Graphs = Callable[[str], onnx.ModelProto]
Tensors = NDArray[np.float32]
POINTWISE = ("thin", "cls", "y", "nb_x", "nb_y")


def rounded_of(model: onnx.ModelProto, *names: str) -> dict[str, Tensors]:
    wiring, found = Wiring(model.graph), {}
    for node in layers_of(model.graph):
        values = wiring.array(node.input[1])
        if node.name in names and values is not None:
            found[node.name] = rounded_weights(values, output_axis(node))
    return found


def test_shifts_undo_the_mean_error_of_rounded_weights(graph_of: Graphs, tensors: Tensors) -> None:
    model = graph_of("pip")
    rounded = rounded_of(model, "stem")
    shifts = bias_shifts(model, rounded, tensors)
    model.graph.output.append(onnx.ValueInfoProto(name="stem"))
    plain = run_all(model, tensors)["stem"].mean(axis=(0, 2, 3))
    weight = next(t for t in model.graph.initializer if t.name == "stem_w")
    weight.CopyFrom(numpy_helper.from_array(rounded["stem"], "stem_w"))
    found = run_all(model, tensors)["stem"].mean(axis=(0, 2, 3))
    assert set(shifts) == {"stem"}
    assert np.abs(found - plain).max() > 1e-3
    np.testing.assert_allclose(found + shifts["stem"], plain, atol=1e-5)


def test_nothing_to_shift_is_no_error(graph_of: Graphs, tensors: Tensors) -> None:
    assert bias_shifts(graph_of("pip"), {}, tensors) == {}


@pytest.mark.slow
def test_nncf_shifts_the_same_layers_by_as_much(graph_of: Graphs, tensors: Tensors) -> None:
    """Its fast correction feeds a layer the mean input, which is the same to a pointwise one.

    It leaves out a bias that would change to more than threefold; none is so small here.
    """
    model = graph_of("pip")
    for tensor in model.graph.initializer:
        if tensor.name in {f"{name}_b" for name in POINTWISE}:
            ones = np.ones(tensor.dims[0], dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(ones, tensor.name))
    plain = openvino_model(model)
    floating = layer_of(plain, "x").get_friendly_name()
    theirs = nncf.quantize(
        openvino_model(model),
        nncf.Dataset([face[None] for face in tensors]),
        subset_size=len(tensors),
        preset=nncf.QuantizationPreset.MIXED,
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=[floating]),
    )
    shifts = bias_shifts(model, rounded_of(model, *POINTWISE), tensors)
    for name in POINTWISE:
        expected = bias_of(theirs, name) - bias_of(plain, name)
        assert np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(shifts[name], expected, atol=2e-5, err_msg=name)
    np.testing.assert_array_equal(bias_of(theirs, "x"), bias_of(plain, "x"))


def openvino_model(model: onnx.ModelProto) -> openvino.Model:
    """With biases that are constants."""
    read = openvino.Core().read_model(model.SerializeToString())
    _fold(read)
    return read


def layer_of(model: openvino.Model, name: str) -> openvino.Node:
    """The convolution behind which a layer's bias is added."""
    (found,) = (
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() in ("Convolution", "GroupConvolution")
        and any(name in o.get_names() for o in adder_of(node).outputs())
    )
    return found


def adder_of(node: openvino.Node) -> openvino.Node:
    (reader, *_) = node.output(0).get_target_inputs()
    return reader.get_node()


def bias_of(model: openvino.Model, name: str) -> NDArray[np.float32]:
    """What is added behind a layer, per channel."""
    values: NDArray[np.float32] = (
        adder_of(layer_of(model, name)).input_value(1).get_node().get_data()
    )
    return values.ravel()
