"""A TFLite file written from the schema alone: no signature, as MediaPipe's files have none."""

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SIZE, POINTS = 32, 68


class _Graph:
    """A model that is put together, tensor by tensor."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, name: str, shape: list[int], values: Any = None, kind: str = "FLOAT32") -> int:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), shape, 0
        made.type = getattr(schema.TensorType, kind)
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def add(self, kind: str, options: str, inputs: list[int], output: int, **values: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = 1
        self.model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(self.model.operatorCodes) - 1
        made.inputs, made.outputs = inputs, [output]
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in values.items():
                setattr(made.builtinOptions, name, value)
        self.graph.operators.append(made)


def foreign_tflite(path: Path, *, whole: bool = False) -> Path:
    """Write a network with the outputs "points" (1, 1, 1, 204) and "score" (1, 68).

    Args:
        path: of the file.
        whole: say that the input is of integers, as a quantised file does.
    """
    rng, net = np.random.default_rng(0), _Graph()
    picture = net.tensor("data", [1, SIZE, SIZE, 3], kind="INT8" if whole else "FLOAT32")
    axes = net.tensor("axes", [2], np.array([1, 2], np.int32), "INT32")
    means = net.tensor("means", [1, 3], kind="INT8" if whole else "FLOAT32")
    net.add("MEAN", "ReducerOptions", [picture, axes], means, keepDims=False)
    ends = []
    for name, count in (("points", 3 * POINTS), ("score", POINTS)):
        numbers = rng.normal(size=(count, 3)).astype(np.float32) * (9 if name == "points" else 1)
        offset = np.full(count, SIZE / 2 if name == "points" else 0, np.float32)
        weights = net.tensor(f"{name}/w", [count, 3], numbers)
        bias = net.tensor(f"{name}/b", [count], offset)
        flat = net.tensor(f"{name}/flat", [1, count])
        if not whole:
            inputs = [means, weights, bias]
            net.add("FULLY_CONNECTED", "FullyConnectedOptions", inputs, flat)
        if name == "points":
            shape = [1, 1, 1, count]
            numbers_ = net.tensor("shape", [4], np.array(shape, np.int32), "INT32")
            end = net.tensor(name, shape)
            inputs = [flat, numbers_]
            if not whole:
                net.add("RESHAPE", "ReshapeOptions", inputs, end, newShape=shape)
        else:
            end = net.tensor(name, [1, count])
            if not whole:
                net.add("LOGISTIC", "", [flat], end)
        ends.append(end)
    net.graph.inputs, net.graph.outputs = [picture], [means] if whole else ends
    builder = flatbuffers.Builder(1024)
    builder.Finish(net.model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
