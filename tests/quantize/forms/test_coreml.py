"""Core ML's INT8 computes what ONNX Runtime computes of the same levels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.export.graphs import Wiring
from landmint.quantize.decide.decision import layers_of
from landmint.quantize.decide.ranges import run_all, weight_levels
from landmint.quantize.forms.coreml import paired, quantize
from landmint.quantize.job import Job
from landmint.runtime.contract import Contract
from landmint.runtime.mlpackage import GRAPH
from tests.ml_program import Program, needs_coremltools

pytestmark = [pytest.mark.slow, needs_coremltools]
Tensors = NDArray[np.float32]


@pytest.fixture
def job(
    kind: str,
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: Tensors,
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> Job:
    onnx.save(graph_of(kind), tmp_path / "float32.onnx")
    ends = tmp_path / "float32.onnx", tmp_path / f"int8{GRAPH}"
    return job_of(*ends, tensors, contract_of(kind))


def test_onnxruntime_agrees(kind: str, job: Job) -> None:
    notes = quantize(job)
    program = Program(job.target, widened=True)
    assert {"quantize", "dequantize", "constexpr_affine_dequantize"} <= program.kinds
    image = job.tensors[:1]
    exact, levels = (run_all(graph, image, "none") for graph in (job.graph, paired(job)))
    for name, values in program.run(image).items():
        # Biases are stored in float16, so a few values fall on the next level.
        lost, apart = (np.abs(other[name] - values).mean() for other in (exact, levels))
        assert apart < 0.4 * lost, name
    in_float = "coordinates" if kind == "coordinates" else "none"
    assert notes["float layers"].endswith(f": {in_float}")
    assert "px of the crop" in notes["simulated displacement"]


@pytest.mark.parametrize("kind", ["pip"], indirect=True)
def test_weights_are_stored_in_the_levels_of_the_decision(job: Job) -> None:
    quantize(job)
    stored = Program(job.target).parameters("constexpr_affine_dequantize", "quantized_data")
    wiring = Wiring(job.graph.graph)
    layers = layers_of(job.graph.graph)
    assert len(stored) == len(layers)
    (stem,) = (node for node in layers if node.name == "stem")
    values = wiring.array(stem.input[1])
    assert values is not None
    levels, _ = weight_levels(values, axis=0)
    (same,) = (value for value in stored if value.shape == levels.shape)
    assert (np.abs(same.astype(int) - levels) <= 1).all() and same.dtype == np.int8
