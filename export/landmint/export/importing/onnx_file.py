"""Reads an ONNX file of a stranger: one sound float32 graph of one face, or the reason why not."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from landmint.export.forms.onnx import OPSET
from landmint.export.importing.foreign_contract import Signature
from landmint.export.importing.original import Run
from landmint.export.lint.rule import PAIR
from landmint.runtime.contract import Shape
from landmint.runtime.embedded import external_locations
from landmint.runtime.engines.engine import import_library, loading
from landmint.runtime.errors import LandmintError

OLDEST_OPSET = 11
_HALF, _FULL = TensorProto.FLOAT16, TensorProto.FLOAT
_PLAIN = ("", "ai.onnx")
_QUANTISED = (*PAIR, "DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger")


def files_of(path: Path) -> tuple[str, ...]:
    """An ONNX file and the files in which it keeps tensors, as paths in its folder.

    Raises:
        LandmintError: it does not exist, is cut short, or names a file that is missing or lies
            outside its folder.
    """
    locations = sorted(external_locations(path))
    root = path.parent.resolve()
    for location in locations:
        beside = path.parent / location
        if not location or Path(location).is_absolute() or "\\" in location:
            inside = False
        else:
            inside = ".." not in Path(location).parts and beside.resolve().is_relative_to(root)
        if not inside:
            raise LandmintError(
                f"{path} keeps tensors in {location[:200]!r}",
                reason="that is outside the model's own folder",
                remedy="do not use this file; get one from somebody whom you trust",
            )
        if not beside.is_file():
            raise LandmintError(
                f"{path} keeps tensors in {location!r}, which is missing",
                remedy=f"put it into {path.parent}",
            )
    return (path.name, *locations)


def read(path: Path, size: int) -> tuple[onnx.ModelProto, Signature]:
    """A file's graph for pictures of a size, and its input and outputs."""
    model = close_shapes(read_onnx(path), size)
    return model, signature_of(model.graph)


def read_onnx(path: Path) -> onnx.ModelProto:
    """A file's graph with batch 1, in float32, of an opset that converters read.

    Its input's height and width may still be open.

    Raises:
        LandmintError: it is no sound ONNX file, or something in it cannot be worked with.
    """
    model = load_sound(path)
    _refuse_what_is_not_plain(model, path)
    _drop_constants_among_inputs(model.graph)
    _open_batch(model.graph, path)
    _widen(model.graph)
    return _newer(model, path)


def load_sound(path: Path) -> onnx.ModelProto:
    """A file as it stands, with the files in which it keeps tensors.

    Raises:
        LandmintError: it is no sound ONNX file.
    """
    files_of(path)
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # onnx raises protobuf's errors, its own, and bare ones
        raise LandmintError(
            f"{path} is no sound ONNX file",
            reason=" ".join(str(error).split())[:400] or type(error).__name__,
            remedy="copy it again, or export it again",
        ) from None
    return model


def close_shapes(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """A copy whose open axes of the input are closed: batch 1, three channels, a square.

    Shapes of all other tensors are inferred anew.

    Args:
        model: of `read_onnx`.
        size: height and width, where they are open.

    Raises:
        LandmintError: shapes contradict each other.
    """
    closed = onnx.ModelProto()
    closed.CopyFrom(model)
    for value in closed.graph.input:
        shape = value.type.tensor_type.shape
        last = len(shape.dim) == 4 and shape.dim[3].dim_value == 3
        sides = (1, size, size, 3) if last else (1, 3, size, size)
        for axis, side in zip(shape.dim, sides, strict=False):
            if axis.dim_value <= 0:
                axis.dim_value = side
    del closed.graph.value_info[:]
    for value in closed.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(closed, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise LandmintError(
            f"the model does not take a picture of {size} x {size} pixels",
            reason=" ".join(str(error).split())[:400],
            remedy="correct input.size in the contract",
        ) from None


def runner(path: Path) -> tuple[Run, str]:
    """What runs the file as it came, and with which library."""
    library = import_library("onnxruntime", "pip install onnxruntime")
    options = library.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    with loading("onnxruntime", path):
        session = library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (entrance,) = session.get_inputs()
    kind = _ONNX_TYPES.get(entrance.type, np.float32)
    names = [output.name for output in session.get_outputs()]

    def infer(tensor: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        values = session.run(None, {entrance.name: tensor.astype(kind)})
        return dict(zip(names, values, strict=True))

    return infer, f"onnxruntime {library.__version__}"


_ONNX_TYPES: Mapping[str, type] = MappingProxyType(
    {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8, "tensor(double)": np.float64}
)


def signature_of(graph: onnx.GraphProto) -> Signature:
    """Input and outputs of a graph, 0 for an axis that is open."""

    def shapes(values: "list[onnx.ValueInfoProto]") -> dict[str, Shape]:
        return {
            value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
            for value in values
        }

    return Signature(shapes(list(graph.input)), shapes(list(graph.output)))


def _refuse_what_is_not_plain(model: onnx.ModelProto, path: Path) -> None:
    """Refuse operators that no converter knows, graphs in INT8, and opsets that are too old."""
    nodes = list(nodes_of(model.graph))
    custom = sorted({f"{n.domain}.{n.op_type}" for n in nodes if n.domain not in _PLAIN})
    if custom or model.functions:
        named = custom or [function.name for function in model.functions]
        raise LandmintError(
            f"{path.name} has operators of its own: {', '.join(named[:6])}",
            reason="converters know ONNX's standard operators alone",
            remedy="export it again without custom operators, from before any optimiser of an "
            "engine has fused them",
        )
    paired = sorted({node.op_type for node in nodes if node.op_type in _QUANTISED})
    if paired:
        raise LandmintError(
            f"{path.name} is quantised already: {', '.join(paired)}",
            reason="INT8 forms are made of a float network, and compared with it",
            remedy="import the float network that it was made of",
        )
    opset = next((o.version for o in model.opset_import if o.domain in _PLAIN), 0)
    if opset < OLDEST_OPSET:
        raise LandmintError(
            f"{path.name} is of opset {opset}",
            reason=f"opsets from {OLDEST_OPSET} on are read",
            remedy=f"export it again with opset {OPSET}",
        )


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of inner graphs among them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)


def _drop_constants_among_inputs(graph: onnx.GraphProto) -> None:
    """Old exporters list every weight as an input too."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)


def _open_batch(graph: onnx.GraphProto, path: Path) -> None:
    """Set an open batch axis to 1.

    Raises:
        LandmintError: the batch is fixed at another number.
    """
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if not dims:
            continue
        if dims[0].dim_value > 1:
            raise LandmintError(
                f"{path.name} takes {dims[0].dim_value} pictures at once",
                reason="a device runs one face at a time, and the batch is fixed",
                remedy="export it again with batch 1, or with an open batch",
            )
        dims[0].dim_value = 1


def _widen(graph: onnx.GraphProto) -> None:
    """Write a float16 or byte-fed graph as float32, in place; what it computes stays the same.

    Constants, casts and declared types change alike, so that each operator still gets what fits.
    """
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if kind.elem_type in (_HALF, TensorProto.DOUBLE) or value in graph.input:
            kind.elem_type = _FULL
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i in (_HALF, TensorProto.DOUBLE):
                attribute.i = _FULL
            if attribute.HasField("t"):
                _widen_tensor(attribute.t)
            for inner in (attribute.g, *attribute.graphs):
                _widen(inner)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in (_HALF, TensorProto.DOUBLE):
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _newer(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The graph in the opset that landmint's own networks have, if it is older."""
    if next(o.version for o in model.opset_import if o.domain in _PLAIN) >= OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # its converters are in C++, and raise bare RuntimeErrors
        raise LandmintError(
            f"{path.name} cannot be brought to opset {OPSET}",
            reason=" ".join(str(error).split())[:400],
            remedy=f"export it again with opset {OPSET} or later",
        ) from None
