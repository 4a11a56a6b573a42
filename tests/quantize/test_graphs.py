"""Ranges of a graph's tensors, and the heads that 8 bits spoil."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.quantize.heads import float_outputs
from landmint.quantize.ranges import observe, run_all
from landmint.runtime.contract import Contract, Head

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
    ("head", "in_float"),
    [
        (Head("coordinates"), True),
        (Head("heatmap", "dark", 1.5), True),
        (Head("heatmap", "quarter", 1.0), True),
        (Head("heatmap", "local_soft_argmax", 1.0), False),
        (Head("heatmap", "argmax", 1.0), False),
        (Head("pip"), False),
    ],
)
def test_heads_that_8_bits_spoil(
    contract_of: Callable[[str], Contract], head: Head, in_float: bool
) -> None:
    import dataclasses

    contract = dataclasses.replace(contract_of("pip"), head=head)
    assert bool(float_outputs(contract)) == in_float
