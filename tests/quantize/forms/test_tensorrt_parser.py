"""NVIDIA's own parser and builder on our graphs: TensorRT-RTX has both, and they need no GPU."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from landmint.export.forms.tensorrt import to_float16
from landmint.quantize.forms.onnx import quantize as quantize_onnx
from landmint.quantize.forms.tensorrt import quantize
from landmint.quantize.job import Job
from landmint.runtime.contract import Contract
from landmint.runtime.engines.built import Built

Build = Callable[[Sequence[Path]], list[Built | str]]


def test_it_reads_what_was_decided(
    kind: str,
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: NDArray[np.float32],
    job_of: Callable[..., Job],
    build: Build,
    tmp_path: Path,
) -> None:
    source, half, paired, asymmetric = (
        tmp_path / f"{name}.onnx" for name in ("float32", "float16", "int8", "onnxruntime")
    )
    onnx.save(graph_of(kind), source)
    onnx.save(to_float16(graph_of(kind)), half)
    notes = quantize(job_of(source, paired, tensors, contract_of(kind)))
    quantize_onnx(job_of(source, asymmetric, tensors, contract_of(kind)))

    plain, int8, refusal, untyped = build((half, paired, asymmetric, source))
    assert isinstance(plain, Built) and isinstance(int8, Built)
    assert plain.notes["pairs"] == "0 QuantizeLinear, 0 DequantizeLinear"
    assert len(plain.float_layers) == plain.weighted == int8.weighted
    assert int8.notes == {name: notes[name] for name in int8.notes}
    assert 0 < len(int8.float_layers) < int8.weighted
    assert int8.layers["QUANTIZE int8"] == int8.count("QUANTIZE") > 0
    # Strongly typed: between the casts at the borders, nothing but constants is in float32.
    for built in (plain, int8):
        whole = {name for name in built.layers if name.endswith(" float")}
        assert whole <= {"CAST float", "CONSTANT float"}
    assert "INT8 activations nowhere" in int8.caution
    assert isinstance(untyped, Built) and "CONVOLUTION float" in untyped.layers  # rule 10
    # ONNX Runtime's file: whichever node comes first, a bias in INT32 or a zero point.
    assert isinstance(refusal, str) and "refused the graph" in refusal
    assert "Non-zero zero point is not supported" in refusal or "has type Int32" in refusal


def test_what_was_built_comes_back(build: Build, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no model")
    (refusal,) = build((garbage,))
    assert isinstance(refusal, str) and "refused the graph" in refusal
