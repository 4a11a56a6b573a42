"""Ranges of a graph's tensors, and the heads that 8 bits spoil."""

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.quantize.decide.ranges import observe, run_all
from landmint.quantize.heads import float_outputs
from landmint.runtime.contract import Contract, Decode

Graphs = Callable[[str], onnx.ModelProto]


def test_ranges_are_those_of_the_tensors(graph_of: Graphs, tensors: NDArray[np.float32]) -> None:
    model = graph_of("pip")
    seen = observe(model, tensors)
    outputs = run_all(model, tensors)
    assert outputs["nb_x"].shape == (len(tensors), 136, 8, 8)
    np.testing.assert_allclose(seen["nb_x"][:, 1], outputs["nb_x"].max(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(seen["image"][:, 0], tensors.min(axis=(1, 2, 3)))
    assert (seen["deep_act"][:, 0] >= 0).all()
    assert {"stem", "gate", "joined"} < set(seen)


@pytest.mark.parametrize(
    ("kind", "decode", "in_float"),
    [
        ("coordinates", "", True),
        ("heatmap", "dark", True),
        ("heatmap", "quarter", True),
        ("heatmap", "local_soft_argmax", False),
        ("heatmap", "argmax", False),
        ("pip", "", False),
        ("simcc", "", False),
    ],
)
def test_heads_that_8_bits_spoil(
    contract_of: Callable[[str], Contract], kind: str, decode: Decode, in_float: bool
) -> None:
    plain = contract_of(kind)
    contract = dataclasses.replace(plain, head=dataclasses.replace(plain.head, decode=decode))
    assert bool(float_outputs(contract)) == in_float
