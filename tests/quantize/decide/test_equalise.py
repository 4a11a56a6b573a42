"""Equalised layers compute the same, with channels of one scale between them."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import decide
from landmint.quantize.decide.equalise import equalise, equalised, equalising
from landmint.quantize.decide.ranges import run_all

Tensors = NDArray[np.float32]


def chain(activation: str = "Relu") -> onnx.ModelProto:
    """A convolution, a depthwise one and another, with channels a thousandfold apart."""
    rng = np.random.default_rng(0)
    spread = np.logspace(-1.5, 1.5, 8).reshape(-1, 1, 1, 1)
    weights = {
        "one_w": rng.normal(size=(8, 3, 3, 3)) * spread,
        "two_w": rng.normal(size=(8, 1, 3, 3)),
        "three_w": rng.normal(size=(4, 8, 1, 1)),
        "one_b": rng.normal(size=8),
    }
    nodes = [
        helper.make_node("Conv", ["image", "one_w", "one_b"], ["one"], "one"),
        helper.make_node(activation, ["one"], ["one_act"], "one_act"),
        helper.make_node("Conv", ["one_act", "two_w"], ["two"], "two", group=8),
        helper.make_node(activation, ["two"], ["two_act"], "two_act"),
        helper.make_node("Conv", ["two_act", "three_w"], ["three"], "three"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 3, 32, 32]), ("three", [1, 4, 28, 28]))
    ]
    constants = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_the_result_stays_and_the_channels_meet(tensors: Tensors) -> None:
    model = chain()
    factors = equalising(model)
    assert set(factors) == {"one", "two"}
    same = chain()
    equalise(same, factors)
    before, after = run_all(model, tensors)["three"], run_all(same, tensors)["three"]
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3 * np.abs(before).max())
    weights = {t.name: numpy_helper.to_array(t) for t in same.graph.initializer}
    made = np.abs(weights["two_w"]).max(axis=(1, 2, 3))
    read = np.abs(weights["three_w"]).max(axis=(0, 2, 3))
    np.testing.assert_allclose(made, read, rtol=1e-4)


def test_it_is_decided_and_a_copy_is_equalised(tensors: Tensors) -> None:
    model = chain()
    plain = decide(model, tensors, QuantizeConfig())
    decided = decide(model, tensors, QuantizeConfig(equalise=True))
    assert plain.equalised == {} and set(decided.equalised) == {"one", "two"}
    before = run_all(model, tensors)["three"]
    after = run_all(equalised(model, decided.equalised), tensors)["three"]
    assert not np.array_equal(after, before)
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3 * np.abs(before).max())


@pytest.mark.parametrize("activation", ["HardSwish", "Sigmoid"])
def test_what_passes_no_factor_is_left_alone(activation: str) -> None:
    assert equalising(chain(activation)) == {}


def test_a_second_reader_is_left_alone() -> None:
    model = chain()
    model.graph.output.append(helper.make_tensor_value_info("one_act", TensorProto.FLOAT, None))
    assert set(equalising(model)) == {"two"}
