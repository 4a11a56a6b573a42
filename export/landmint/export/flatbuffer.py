"""A TFLite flatbuffer taken apart, changed, and put together again.

Not a converter, and no runtime: `ai_edge_litert` knows the schema, and is imported with this file.
"""

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_FILE_ID = b"TFL3"
_KINDS: dict[int, str] = {
    code: kind for kind, code in vars(schema.BuiltinOperator).items() if kind.isupper()
}
_OPTIONS = {
    "ADD": schema.AddOptionsT,
    "MUL": schema.MulOptionsT,
    "DEQUANTIZE": schema.DequantizeOptionsT,
    "RESHAPE": schema.ReshapeOptionsT,
    "TRANSPOSE": schema.TransposeOptionsT,
    "SLICE": schema.SliceOptionsT,
}
_INTEGERS: Mapping[int, np.dtype[np.signedinteger[Any]]] = {
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.INT32: np.dtype(np.int32),
    schema.TensorType.INT64: np.dtype(np.int64),
}
_SINCE = {"DEQUANTIZE": 2}  # the version that takes int8, where it is not the first
_LEFT_OUT = -1  # an input that an operator may have and has not
_BUFFER_AT = 16


class Flatbuffer:
    """A TFLite file with one subgraph and one signature, whose parts can be changed."""

    def __init__(self, content: bytes) -> None:
        """Read a .tflite."""
        self._model = schema.ModelT.InitFromPackedBuf(content, 0)
        (self._graph,) = self._model.subgraphs
        for code in self._model.operatorCodes:  # files of before 2021 have the older field alone
            code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        for buffer in self._model.buffers:
            if buffer.size > 0:  # it stands behind the flatbuffer, where `pack` would lose it
                held = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
                buffer.data, buffer.offset, buffer.size = held, 0, 0

    @property
    def operators(self) -> list[Any]:
        """Operators in order of execution; the list may be changed."""
        operators: list[Any] = self._graph.operators
        return operators

    def kind(self, operator: Any) -> str:
        """The operator's name in the schema, such as "CONV_2D"."""
        code: int = self._model.operatorCodes[operator.opcodeIndex].builtinCode
        return _KINDS[code]

    def name(self, tensor: int) -> str:
        """The tensor's name."""
        text: bytes = self._graph.tensors[tensor].name
        return text.decode()

    def is_output(self, tensor: int) -> bool:
        """Whether the graph returns it."""
        return tensor in self._graph.outputs

    def is_float(self, tensor: int) -> bool:
        """Whether it holds float32."""
        return bool(self._graph.tensors[tensor].type == schema.TensorType.FLOAT32)

    def readers(self, tensor: int) -> list[Any]:
        """The operators that read a tensor."""
        return [operator for operator in self.operators if tensor in operator.inputs]

    @property
    def inputs(self) -> dict[str, int]:
        """Index of each input tensor, by its name in the signature."""
        return {end.name.decode(): end.tensorIndex for end in self._signature.inputs}

    @property
    def outputs(self) -> dict[str, int]:
        """Index of each output tensor, by its name in the signature."""
        return {end.name.decode(): end.tensorIndex for end in self._signature.outputs}

    @property
    def _signature(self) -> Any:
        (signature,) = self._model.signatureDefs
        return signature

    def add_tensor(self, name: str, like: int) -> int:
        """Add a computed tensor with the shape and type of another; returns its index."""
        twin = schema.TensorT()
        original = self._graph.tensors[like]
        twin.shape, twin.shapeSignature = original.shape, original.shapeSignature
        twin.type, twin.name = original.type, name.encode()
        self._graph.tensors.append(twin)
        return len(self._graph.tensors) - 1

    def index(self, name: str) -> int:
        """Index of the input or output tensor of this name."""
        ends = (*self._graph.inputs, *self._graph.outputs)
        return next(int(tensor) for tensor in ends if self.name(tensor) == name)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(int(axis) for axis in self._graph.tensors[tensor].shape)

    def sign(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
        """Make these tensors the graph's ends, under names of one signature."""
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = (
            [_end(name, tensor) for name, tensor in ends.items()] for ends in (inputs, outputs)
        )
        self._model.signatureDefs = [signature]
        self._graph.inputs, self._graph.outputs = [*inputs.values()], [*outputs.values()]

    def add_computed(self, name: str, shape: tuple[int, ...]) -> int:
        """Add a computed float32 tensor; returns its index."""
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), schema.TensorType.FLOAT32
        tensor.name, tensor.buffer = name.encode(), 0
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def add_whole(self, name: str, values: tuple[int, ...]) -> int:
        """Add a constant int32 vector; returns the index of its tensor."""
        buffer, tensor = schema.BufferT(), schema.TensorT()
        buffer.data = np.frombuffer(np.array(values, np.int32).tobytes(), dtype=np.uint8)
        self._model.buffers.append(buffer)
        tensor.shape, tensor.type = [len(values)], schema.TensorType.INT32
        tensor.name, tensor.buffer = name.encode(), len(self._model.buffers) - 1
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def add_number(self, name: str, value: float) -> int:
        """Add a constant float32 scalar; returns the index of its tensor."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.float32(value).tobytes(), dtype=np.uint8)
        self._model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.type = [], schema.TensorType.FLOAT32
        tensor.name, tensor.buffer = name.encode(), len(self._model.buffers) - 1
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def constant(self, tensor: int) -> NDArray[np.float32] | None:
        """The values of a float32 constant, flat; None for any other tensor."""
        mine = self._graph.tensors[tensor]
        data = self._model.buffers[mine.buffer].data
        if data is None or len(data) == 0 or not self.is_float(tensor):
            return None
        return np.frombuffer(np.asarray(data, dtype=np.uint8).tobytes(), dtype=np.float32)

    def levels(self, tensor: int) -> tuple[NDArray[np.signedinteger[Any]], NDArray[np.float64]]:
        """The integers of a quantised constant in its shape, and their scales.

        There is one scale, or one for each channel in an array that is broadcast to the integers.
        """
        mine = self._graph.tensors[tensor]
        content = np.asarray(self._model.buffers[mine.buffer].data, dtype=np.uint8).tobytes()
        values = np.frombuffer(content, _INTEGERS[mine.type]).reshape(self.shape(tensor))
        scales = np.asarray(mine.quantization.scale, np.float64)
        axis = mine.quantization.quantizedDimension if len(scales) > 1 else 0
        return values, scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)])

    def set_levels(
        self, tensor: int, levels: NDArray[np.signedinteger[Any]], scales: NDArray[np.float64]
    ) -> None:
        """Replace what `levels` returned by others of the same shapes and type."""
        mine = self._graph.tensors[tensor]
        mine.quantization.scale = scales.ravel().astype(np.float32)
        content = np.ascontiguousarray(levels).tobytes()
        self._model.buffers[mine.buffer].data = np.frombuffer(content, dtype=np.uint8)

    def set_constant(self, tensor: int, values: NDArray[np.float32]) -> None:
        """Replace a float32 constant; other tensors of the same buffer keep their values."""
        mine = self._graph.tensors[tensor]
        if any(t.buffer == mine.buffer for t in self._graph.tensors if t is not mine):
            self._model.buffers.append(schema.BufferT())
            mine.buffer = len(self._model.buffers) - 1
        content = np.ascontiguousarray(values, dtype=np.float32).tobytes()
        self._model.buffers[mine.buffer].data = np.frombuffer(content, dtype=np.uint8)

    def operator(self, kind: str, inputs: list[int], output: int, **options: Any) -> Any:
        """Make an operator of a kind in `_OPTIONS`; the caller puts it into `operators`."""
        made = schema.OperatorT()
        made.opcodeIndex = self._opcode(getattr(schema.BuiltinOperator, kind), _SINCE.get(kind, 1))
        made.inputs, made.outputs = inputs, [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, f"{kind.capitalize()}Options")
        made.builtinOptions = _OPTIONS[kind]()
        for name, value in options.items():
            setattr(made.builtinOptions, name, value)
        return made

    def _opcode(self, code: int, version: int) -> int:
        for index, known in enumerate(self._model.operatorCodes):
            if known.builtinCode == code:
                known.version = max(known.version, version)
                return index
        made = schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = code
        made.version = version
        self._model.operatorCodes.append(made)
        return len(self._model.operatorCodes) - 1

    def append(self, other: "Flatbuffer", prefix: str) -> None:
        """Append a float32 graph that reads this graph's outputs; its outputs replace them.

        Args:
            other: the graph; its inputs have the names of outputs here. It cannot be used
                afterwards.
            prefix: put before the names of its tensors.
        """
        mine = self.outputs
        places = {tensor: self._in_float(mine[name]) for name, tensor in other.inputs.items()}
        for index, tensor in enumerate(other._graph.tensors):
            if index not in places:
                places[index] = self._adopt(tensor, other._model.buffers[tensor.buffer], prefix)
        for operator in other.operators:
            code = other._model.operatorCodes[operator.opcodeIndex]
            operator.opcodeIndex = self._opcode(code.builtinCode, code.version)
            operator.inputs = [places.get(int(index), _LEFT_OUT) for index in operator.inputs]
            operator.outputs = [places[int(index)] for index in operator.outputs]
            self.operators.append(operator)
        self._graph.outputs = [places[int(index)] for index in other._graph.outputs]
        for end in other._signature.outputs:
            end.tensorIndex = places[end.tensorIndex]
        self._signature.outputs = other._signature.outputs

    def _in_float(self, tensor: int) -> int:
        """Index of a tensor, if it is float32; else of its dequantised copy, which is added."""
        if self._graph.tensors[tensor].type == schema.TensorType.FLOAT32:
            return tensor
        twin = self.add_tensor(f"{self.name(tensor)}_in_float", like=tensor)
        self._graph.tensors[twin].type = schema.TensorType.FLOAT32
        self.operators.append(self.operator("DEQUANTIZE", [tensor], twin))
        return twin

    def _adopt(self, tensor: Any, buffer: Any, prefix: str) -> int:
        """Copy a tensor of another file and its constant values; returns the new index."""
        tensor.name, tensor.buffer = prefix.encode() + tensor.name, 0
        if buffer.data is not None:
            self._model.buffers.append(buffer)
            tensor.buffer = len(self._model.buffers) - 1
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def pack(self) -> bytes:
        """The content of a .tflite file; all data is inside the flatbuffer, for old runtimes."""
        builder = _Sharing(1 << 20)
        builder.Finish(self._model.Pack(builder), _FILE_ID)
        return bytes(builder.Output())


def _end(name: str, tensor: int) -> Any:
    """One input or output of a signature."""
    end = schema.TensorMapT()
    end.name, end.tensorIndex = name.encode(), tensor
    return end


class _Sharing(flatbuffers.Builder):  # type: ignore[misc]  # it has no types
    """A builder that writes equal vectors once, and aligns buffers for vector instructions.

    Zero points repeat most: each is eight bytes, one for every channel of a weight and again of its
    bias. In a narrow network they would be a tenth of the file.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:
        """Write a vector unless an equal one is written already; returns its offset."""
        key = x.dtype.str, x.tobytes()
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        """Begin a vector; the schema wants bytes on multiples of sixteen."""
        return super().StartVector(elemSize, numElems, _BUFFER_AT if elemSize == 1 else alignment)
