"""ONNX to TensorRT: a strongly typed FP16 graph, and the engine built from it where one can be.

TensorRT 11 takes the precision from the graph alone, so the graph itself is in float16. Graphs with
Q/DQ pairs come from `landmint.quantize`, which also uses `build_engine`.
"""

import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from landmint.export.embed import write_contract
from landmint.export.isolated import run_converter, run_isolated
from landmint.runtime.embedded import read_contract
from landmint.runtime.engines import tensorrt_build
from landmint.runtime.engines.trtexec import find_trtexec
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path

if TYPE_CHECKING:
    import onnx

_FLOAT16_MAX = 65504.0
_DETAILED = "--profilingVerbosity=detailed"  # the engine can say how each layer runs
# Inputs that ONNX wants in float32 whatever the type of the data: Resize's roi and scales.
_FLOAT32_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}


def export(onnx_path: Path, files: Mapping[str, Path]) -> Mapping[str, str]:
    """Write a typed graph and, where one can be built, the engine beside it, as `Export` says.

    Args:
        onnx_path: of `to_onnx`.
        files: of the typed graph in float16; its engine takes the suffix .engine.

    Returns:
        the note "engine": whether it was built, and why not.

    Raises:
        LandmintError: a weight is beyond float16, or the ONNX file carries no contract.
    """
    typed_path = files["float16"]
    to_tensorrt(onnx_path, typed_path)
    return {"engine": built_or_not(build_engine(typed_path, typed_path.with_suffix(".engine")))}


def built_or_not(refusal: str | None) -> str:
    """What `build_engine` returned as a note for the manifest."""
    return f"not built: {refusal}" if refusal else "built on this machine"


def to_tensorrt(onnx_path: Path, typed_path: Path) -> None:
    """Convert a float32 ONNX file to a strongly typed FP16 one, with the contract inside.

    Input and outputs stay float32, with a Cast behind and before them.

    Args:
        onnx_path: of `to_onnx`.
        typed_path: of the new .onnx file.

    Raises:
        LandmintError: a weight is beyond float16, or the ONNX file carries no contract.
    """
    import onnx

    contract = read_contract(onnx_path)
    typed = to_float16(onnx.load(onnx_path))
    with atomic_path(typed_path) as fresh:
        onnx.save(typed, fresh)
    write_contract(typed_path, contract)


def to_float16(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy of `model` whose float tensors are float16 and whose inputs and outputs are float32.

    Types are inferred anew and checked strictly, so what is returned is well typed throughout.

    Raises:
        LandmintError: a weight is beyond float16's range.
    """
    import onnx

    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    graph = typed.graph
    kept = _float32_constants(graph)
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(_half(tensor))
    for node in graph.node:
        _retype_attributes(node)
    _cast_borders(graph)
    del graph.value_info[:]
    typed = onnx.shape_inference.infer_shapes(typed, strict_mode=True, data_prop=True)
    onnx.checker.check_model(typed, full_check=True)
    return typed


def _float32_constants(graph: "onnx.GraphProto") -> set[str]:
    """Names of the constants that must stay float32."""
    return {
        node.input[i]
        for node in graph.node
        for i in _FLOAT32_INPUTS.get(node.op_type, ())
        if i < len(node.input) and node.input[i]
    }


def _half(tensor: "onnx.TensorProto") -> "onnx.TensorProto":
    import numpy as np
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    if values.size and np.abs(values).max() > _FLOAT16_MAX:
        raise LandmintError(
            f"weight '{tensor.name}' reaches {np.abs(values).max():.3g}",
            reason=f"float16 ends at {_FLOAT16_MAX:.0f}",
            remedy="train with weight decay, or leave tensorrt out of the formats",
        )
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)


def _retype_attributes(node: "onnx.NodeProto") -> None:
    """Turn casts to float32, and float32 constants in attributes, into float16; in place."""
    from onnx import TensorProto

    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(_half(attribute.t))


def _cast_borders(graph: "onnx.GraphProto") -> None:
    """Put a Cast behind each input and before each output, which stay float32; in place."""
    from onnx import TensorProto

    inner = {value.name: f"{value.name}_float16" for value in (*graph.input, *graph.output)}
    for node in graph.node:
        node.input[:] = [inner.get(name, name) for name in node.input]
        node.output[:] = [inner.get(name, name) for name in node.output]
    nodes = list(graph.node)
    into = [_cast(v.name, inner[v.name], TensorProto.FLOAT16) for v in graph.input]
    out = [_cast(inner[v.name], v.name, TensorProto.FLOAT) for v in graph.output]
    del graph.node[:]
    graph.node.extend([*into, *nodes, *out])


def _cast(source: str, target: str, kind: int) -> "onnx.NodeProto":
    from onnx import helper

    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)


def build_engine(onnx_path: Path, engine_path: Path) -> str | None:
    """Build a TensorRT engine from a strongly typed ONNX file, with or without Q/DQ pairs.

    The tensorrt package is used where it is installed, else trtexec where that is. An engine fits
    the GPU and the TensorRT version that built it, and no other.

    Args:
        onnx_path: precision is what the graph says, in TensorRT 10 as in 11.
        engine_path: written whole or not at all.

    Returns:
        None when the engine stands, else the reason why it was not built.
    """
    if importlib.util.find_spec("tensorrt") is not None:
        return _build_by_library(onnx_path, engine_path)
    if program := find_trtexec():
        return _build_by_trtexec(program, onnx_path, engine_path)
    return "tensorrt is not installed here, nor is trtexec"


def _build_by_library(onnx_path: Path, engine_path: Path) -> str | None:
    try:
        with atomic_path(engine_path) as fresh:
            request = {"graph": str(onnx_path.absolute()), "plan": str(fresh.absolute())}
            run_isolated(tensorrt_build.__name__, request, "tensorrt failed")
    except LandmintError as error:
        return f"tensorrt failed: {error.reason}"
    return None


def _build_by_trtexec(program: str, onnx_path: Path, engine_path: Path) -> str | None:
    engine_path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=engine_path.parent) as work:
        built = Path(work) / engine_path.name
        options = [f"--onnx={onnx_path}", f"--saveEngine={built}"]
        reason = run_converter([program, *options, "--stronglyTyped", "--skipInference", _DETAILED])
        if reason or not built.is_file():
            return f"trtexec failed: {reason or 'it wrote no engine'}"
        built.replace(engine_path)
    return None
