"""OpenVINO's INT8 IR with weights of 7 bits, beside ONNX Runtime's own Q/DQ arithmetic in float."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from numpy.typing import NDArray

from landmint.quantize.forms import openvino as openvino_int8
from landmint.quantize.job import Job
from landmint.quantize.qdq import paired
from landmint.runtime.contract import Contract
from landmint.runtime.engines import load_engine
from tests.quantize.errors import relative_error

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["pip", "heatmap"])
def test_reduced_weights_overflow_on_no_processor(
    kind: str,
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: NDArray[np.float32],
    job_of: Callable[..., Job],
    tmp_path: Path,
) -> None:
    source, target, contract = tmp_path / "float32.onnx", tmp_path / "int8.xml", contract_of(kind)
    onnx.save(graph_of(kind), source)
    job = job_of(source, target, tensors, contract, reduce_range=True)
    notes = openvino_int8.quantize(job)
    assert notes["weights"] == "int8, -64..64"
    levels = [
        np.abs(operator.data.astype(int)).max()
        for operator in openvino.Core().read_model(target).get_ops()
        if operator.get_type_name() == "Constant"
        and operator.get_element_type() == openvino.Type.i8
        and operator.data.ndim > 1
    ]
    assert len(levels) >= 6 and max(levels) == 64

    exact = onnxruntime.SessionOptions()
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    in_float = frozenset(filter(None, notes["float layers"].replace("none", "").split(", ")))
    reference = onnxruntime.InferenceSession(
        paired(job, in_float, reduce_range=True).SerializeToString(), exact
    )
    session = load_engine("openvino").load(target, contract, threads=1)
    for face in tensors[:4]:
        outputs = session.run(face[None])
        for output, expected in zip(
            contract.outputs, reference.run(None, {contract.input_name: face[None]}), strict=True
        ):
            # A level up or down where sums are rounded otherwise.
            assert relative_error(expected, np.asarray(outputs[output.name])) < 0.02
