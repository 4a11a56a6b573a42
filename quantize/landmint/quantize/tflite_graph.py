"""A TFLite flatbuffer taken apart and put together again, and hard-swish made of plain operators.

INT8 HARD_SWISH stays outside XNNPACK: a MobileNetV3 falls into some twenty partitions and runs
slower than in float. Not a converter: operators, shapes and results stay what they were.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_FILE_ID = b"TFL3"
_NONE, _RELU6 = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU6
_KINDS: dict[int, str] = {
    code: kind for kind, code in vars(schema.BuiltinOperator).items() if kind.isupper()
}
_OPTIONS = {"ADD": schema.AddOptionsT, "MUL": schema.MulOptionsT}
LINEAR = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Where an operator that is linear in its data takes data, weight and bias."""
_PASS_ON = ("PAD", "MEAN", "RESHAPE")
_BUFFER_AT = 16


class Flatbuffer:
    """The one subgraph of a TFLite file, open for changes."""

    def __init__(self, content: bytes) -> None:
        """Read a .tflite."""
        self._model = schema.ModelT.InitFromPackedBuf(content, 0)
        (self._graph,) = self._model.subgraphs
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

    def readers(self, tensor: int) -> list[Any]:
        """The operators that read a tensor."""
        return [operator for operator in self.operators if tensor in operator.inputs]

    def outputs_of(self, signature: str) -> dict[str, int]:
        """Tensor by output name of a signature."""
        for found in self._model.signatureDefs:
            if found.signatureKey.decode() == signature:
                return {end.name.decode(): end.tensorIndex for end in found.outputs}
        return {}

    def add_tensor(self, name: str, like: int) -> int:
        """A computed tensor of the shape and type of another."""
        twin = schema.TensorT()
        original = self._graph.tensors[like]
        twin.shape, twin.shapeSignature = original.shape, original.shapeSignature
        twin.type, twin.name = original.type, name.encode()
        self._graph.tensors.append(twin)
        return len(self._graph.tensors) - 1

    def add_number(self, name: str, value: float) -> int:
        """A constant float32 scalar."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.float32(value).tobytes(), dtype=np.uint8)
        self._model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.type = [], schema.TensorType.FLOAT32
        tensor.name, tensor.buffer = name.encode(), len(self._model.buffers) - 1
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def constant(self, tensor: int) -> NDArray[np.float32] | None:
        """The values of a float32 constant, flat; None for what is computed or of another type."""
        mine = self._graph.tensors[tensor]
        data = self._model.buffers[mine.buffer].data
        if data is None or len(data) == 0 or mine.type != schema.TensorType.FLOAT32:
            return None
        return np.frombuffer(np.asarray(data, dtype=np.uint8).tobytes(), dtype=np.float32)

    def set_constant(self, tensor: int, values: NDArray[np.float32]) -> None:
        """Replace a float32 constant; other tensors of the same buffer keep their values."""
        mine = self._graph.tensors[tensor]
        if any(t.buffer == mine.buffer for t in self._graph.tensors if t is not mine):
            self._model.buffers.append(schema.BufferT())
            mine.buffer = len(self._model.buffers) - 1
        content = np.ascontiguousarray(values, dtype=np.float32).tobytes()
        self._model.buffers[mine.buffer].data = np.frombuffer(content, dtype=np.uint8)

    def operator(self, kind: str, inputs: list[int], output: int, activation: int = _NONE) -> Any:
        """An ADD or MUL, to be put among the operators."""
        made = schema.OperatorT()
        made.opcodeIndex = self._opcode(kind)
        made.inputs, made.outputs = inputs, [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, f"{kind.capitalize()}Options")
        made.builtinOptions = _OPTIONS[kind]()
        made.builtinOptions.fusedActivationFunction = activation
        return made

    def _opcode(self, kind: str) -> int:
        code = getattr(schema.BuiltinOperator, kind)
        for index, found in enumerate(self._model.operatorCodes):
            if found.builtinCode == code:
                return index
        made = schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = code
        made.version = 1
        self._model.operatorCodes.append(made)
        return len(self._model.operatorCodes) - 1

    def pack(self) -> bytes:
        """The .tflite again, all within the flatbuffer: older runtimes look nowhere else."""
        builder = _Sharing(1 << 20)
        builder.Finish(self._model.Pack(builder), _FILE_ID)
        return bytes(builder.Output())


class _Sharing(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors once, and what buffers hold where vector instructions read it best.

    Each channel's zero point is a 0 of eight bytes, for a layer's weights and again for its bias:
    a tenth of a narrow network.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:
        """Where a vector stands."""
        key = x.dtype.str, x.tobytes()
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        """Begin a vector; the schema wants bytes on multiples of sixteen."""
        return super().StartVector(elemSize, numElems, _BUFFER_AT if elemSize == 1 else alignment)


@dataclass(frozen=True)
class PlainGates:
    """What `plain_hard_swish` did to tensors, by their names."""

    clipped: frozenset[str]
    """New: relu6(x + 3)."""
    gates: frozenset[str]
    """New: a sixth of that."""
    sixfold: frozenset[str]
    """Old, with six times the values."""


def plain_hard_swish(model: Flatbuffer) -> PlainGates:
    """Replace every HARD_SWISH by ADD with RELU6 and MUL, in place.

    x relu6(x + 3) / 6: where all that reads the product is linear in it, the sixth goes into the
    weights behind and costs nothing; else one more MUL does it.
    """
    three = sixth = -1
    clips, gates, sixfold = set(), set(), set[str]()
    for swish in [o for o in model.operators if model.kind(o) == "HARD_SWISH"]:
        if three < 0:
            three, sixth = model.add_number("three", 3.0), model.add_number("sixth", 1 / 6)
        source, product = int(swish.inputs[0]), int(swish.outputs[0])
        clipped = model.add_tensor(f"{model.name(product)}_clipped", like=source)
        plain = [model.operator("ADD", [source, three], clipped, _RELU6)]
        linear = _linear_weights(model, product)
        gate = clipped
        if linear is None:
            gate = model.add_tensor(f"{model.name(product)}_gate", like=source)
            plain.append(model.operator("MUL", [clipped, sixth], gate))
            gates.add(model.name(gate))
        else:
            for weight in linear.weights:
                values = model.constant(weight)
                assert values is not None
                model.set_constant(weight, values / np.float32(6))
            sixfold |= {model.name(tensor) for tensor in linear.scaled}
        plain.append(model.operator("MUL", [source, gate], product))
        place = next(i for i, o in enumerate(model.operators) if o is swish)
        model.operators[place : place + 1] = plain
        clips.add(model.name(clipped))
    return PlainGates(frozenset(clips), frozenset(gates), frozenset(sixfold))


@dataclass(frozen=True)
class _Linear:
    """Where a scaling of a tensor ends, when all that reads it is linear."""

    weights: list[int]
    """Whose scaling undoes it."""
    scaled: set[int]
    """Tensors that are scaled with it."""


def _linear_weights(model: Flatbuffer, tensor: int) -> _Linear | None:
    """The weights whose scaling undoes a scaling of a tensor; None when there are no such."""
    weights: list[int] = []
    scaled, waiting = {tensor}, [tensor]
    while waiting:
        current = waiting.pop()
        if model.is_output(current):
            return None
        for reader in model.readers(current):
            kind, inputs = model.kind(reader), list(reader.inputs)
            if kind in LINEAR and inputs.index(current) == LINEAR[kind][0]:
                weights.append(int(inputs[LINEAR[kind][1]]))
            elif kind in _PASS_ON or _is_plain_product(model, reader, scaled):
                scaled.add(int(reader.outputs[0]))
                waiting.append(int(reader.outputs[0]))
            else:
                return None
    once = all(len(model.readers(weight)) == 1 for weight in weights)
    return _Linear(weights, scaled) if once else None


def _is_plain_product(model: Flatbuffer, reader: Any, scaled: Iterable[int]) -> bool:
    """Whether it multiplies one scaled tensor by one that is not."""
    if model.kind(reader) != "MUL" or reader.builtinOptions.fusedActivationFunction != _NONE:
        return False
    return len(set(reader.inputs) & set(scaled)) == 1 and len(set(reader.inputs)) == 2
