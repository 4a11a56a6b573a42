"""Each format corrects the biases of the layers that it quantises, on its own levels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from landmint.export.graphs import WEIGHTED, Wiring, attribute, ending_at
from landmint.quantize.decide.decision import Decision, layers_of
from landmint.quantize.decide.ranges import run_all
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.prepare import prepared
from landmint.quantize.qdq import paired
from landmint.runtime.contract import Contract
from landmint.runtime.formats import FORMATS, INT8, load

Graphs = Callable[[str], onnx.ModelProto]
Tensors = NDArray[np.float32]
FLOAT = ("thin", "x")


@pytest.fixture
def make_job(
    graph_of: Graphs,
    contract_of: Callable[[str], Contract],
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> Callable[..., Job]:
    """A job of the graph with the head of PIP."""

    def make(**settings: object) -> Job:
        source = tmp_path / "float32.onnx"
        onnx.save(graph_of("pip"), source)
        return job_of(source, tmp_path / "int8.onnx", tensors, contract_of("pip"), **settings)

    return make


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def replaced(model: onnx.ModelProto, changes: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for tensor in made.graph.initializer:
        if tensor.name in changes:
            values = changes[tensor.name].astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return made


def mean_output(model: onnx.ModelProto, layer: str, tensors: Tensors) -> NDArray[Any]:
    """Of a layer, per channel."""
    outputs = run_all(ending_at(model, [layer]), tensors)[layer]
    means: NDArray[Any] = outputs.mean(axis=(0, *range(2, outputs.ndim)))
    return means


def built_constants(graph: onnx.GraphProto) -> dict[str, tuple[bool, NDArray[Any], NDArray[Any]]]:
    """By layer: whether its weights have levels; and what stands for its weight and its bias."""
    wiring = Wiring(graph)

    def values_of(name: str) -> NDArray[Any]:
        plain = wiring.array(name)
        if plain is not None:
            return plain.astype(np.float64)
        maker = wiring.maker[name]
        levels, scale = (wiring.array(i).astype(np.float64) for i in maker.input[:2])  # type: ignore[union-attr]
        axis = attribute(maker, "axis", 0) if scale.size > 1 else 0
        shape = [-1 if i == axis else 1 for i in range(levels.ndim)]
        return levels * (scale.reshape(shape) if scale.size > 1 else scale)

    return {
        node.name: (
            node.input[1] in wiring.maker,
            values_of(node.input[1]),
            values_of(node.input[2]),
        )
        for node in graph.node
        if node.op_type in WEIGHTED
    }


@pytest.mark.parametrize(
    ("format_", "settings"),
    [
        ("onnx", {}),
        ("onnx", {"reduce_range": True}),
        ("openvino", {"reduce_range": True}),
        ("tensorrt", {}),
    ],
)
def test_every_quantised_layer_keeps_its_mean_and_every_float_layer_its_bias(
    format_: str, settings: dict[str, object], make_job: Callable[..., Job]
) -> None:
    job = make_job(bias_correction=True, float_layers=FLOAT, **settings)
    plain = job.graph
    if format_ == "openvino":  # its IR is read from this graph
        in_float = layers_in_float(plain.graph, job.contract, job.config)
        made = paired(job, in_float, reduce_range=True)
    else:
        load(FORMATS[format_].quantized[INT8].function)(job)
        made = onnx.load(job.target)
    built, before, gaps = built_constants(made.graph), constants(plain), []
    for node in layers_of(plain.graph):
        if node.name == "se2":
            continue  # the bias of a gate holds a three beside
        quantised, weight, bias = built[node.name]
        old = before[node.input[2]]
        if not quantised:
            np.testing.assert_allclose(bias, old, rtol=1e-3, err_msg=node.name)
            continue
        expected = mean_output(plain, node.name, job.tensors)
        rounded = {node.input[1]: weight}
        without = mean_output(replaced(plain, rounded), node.name, job.tensors) - expected
        found = mean_output(
            replaced(plain, rounded | {node.input[2]: bias}), node.name, job.tensors
        )
        np.testing.assert_allclose(found, expected, atol=6e-4, err_msg=node.name)
        gaps.append(np.abs(without).max())
    assert set(FLOAT) <= {name for name, (quantised, *_) in built.items() if not quantised}
    assert len(gaps) >= 6 and max(gaps) > 5e-3


def test_weights_are_clipped_and_nothing_else_changes(make_job: Callable[..., Job]) -> None:
    job = make_job()
    before = constants(job.graph)
    tops = tuple(top / 2 for top in job.decision.weights["deep_w"])
    changed = Decision(job.decision.activations, {**job.decision.weights, "deep_w": tops})
    halved = Job(job.source, job.target, job.graph, changed, job.tensors, job.contract, job.config)
    after = constants(prepared(halved, ()))
    assert np.abs(after["deep_w"]).max(axis=(1, 2, 3)) == pytest.approx(np.array(tops))
    same = set(before) - {"deep_w"}
    assert all(np.array_equal(before[name], after[name]) for name in same)


def test_a_bias_that_two_layers_read_is_left_alone(make_job: Callable[..., Job]) -> None:
    job = make_job(bias_correction=True)
    layers = {node.name: node for node in job.graph.graph.node}
    layers["nb_y"].input[2] = layers["nb_x"].input[2]
    before, after = constants(job.graph), constants(prepared(job, ()))
    np.testing.assert_array_equal(after["nb_x_b"], before["nb_x_b"])
    assert not np.array_equal(after["cls_b"], before["cls_b"])
