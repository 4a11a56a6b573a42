"""Hard-swish in plain operators returns what HARD_SWISH returns."""

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from landmint.export.flatbuffer import Flatbuffer
from landmint.quantize.forms.tflite_graph import plain_hard_swish

CHANNELS = 4
_SHAPE = [1, 6, 6, CHANNELS]


class Maker:
    """Writes a .tflite of 1x1 convolutions and element-wise operators, operator by operator."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, name: str, values: NDArray[np.float32] | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type = name.encode(), schema.TensorType.FLOAT32
        tensor.shape = _SHAPE if values is None else list(values.shape)
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: list[int], output: str, options: Any = None) -> int:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = 1
        self.model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(self.model.operatorCodes) - 1
        made.inputs, made.outputs = inputs, [self.tensor(output)]
        if options is not None:
            names = vars(schema.BuiltinOptions)
            made.builtinOptionsType = names[type(options).__name__.removesuffix("T")]
            made.builtinOptions = options
        self.graph.operators.append(made)
        return int(made.outputs[0])

    def conv(self, source: int, output: str) -> int:
        weight = self.rng.normal(size=(CHANNELS, 1, 1, CHANNELS)).astype(np.float32)
        bias = self.rng.normal(size=CHANNELS).astype(np.float32)
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = 1
        inputs = [source, self.tensor(f"{output}_w", weight), self.tensor(f"{output}_b", bias)]
        return self.operator("CONV_2D", inputs, output, options)

    def finish(self, image: int, output: int) -> bytes:
        self.graph.inputs, self.graph.outputs = [image], [output]
        signature = schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.inputs, signature.outputs = [self.end(image)], [self.end(output)]
        self.model.signatureDefs = [signature]
        return packed(self.model)

    def end(self, tensor: int) -> Any:
        named = schema.TensorMapT()
        named.name, named.tensorIndex = self.graph.tensors[tensor].name, tensor
        return named


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def network(behind: str) -> bytes:
    """A convolution, a hard-swish, and what reads it."""
    make = Maker()
    image = make.tensor("image")
    swish = make.operator(
        "HARD_SWISH", [make.conv(image, "first")], "swish", schema.HardSwishOptionsT()
    )
    if behind == "conv":
        return make.finish(image, make.conv(swish, "last"))
    if behind == "residual":
        last = make.conv(swish, "last")
        return make.finish(image, make.operator("ADD", [swish, last], "sum", schema.AddOptionsT()))
    if behind == "square":
        square = make.operator("MUL", [swish, swish], "square", schema.MulOptionsT())
        return make.finish(image, make.conv(square, "last"))
    if behind == "two swishes":
        gate = make.operator("MUL", [swish, image], "gated", schema.MulOptionsT())
        again = make.operator(
            "HARD_SWISH", [make.conv(gate, "second")], "swish2", schema.HardSwishOptionsT()
        )
        return make.finish(image, make.conv(again, "last"))
    return make.finish(image, swish)


def run(content: bytes, image: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    if image is None:
        image = np.random.default_rng(1).normal(0, 2, _SHAPE).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found: NDArray[np.float32] = interpreter.get_tensor(
        interpreter.get_output_details()[0]["index"]
    )
    return found


@pytest.mark.parametrize(
    ("behind", "kinds"),
    [
        ("conv", "CONV_2D ADD MUL CONV_2D"),
        ("residual", "CONV_2D ADD MUL MUL CONV_2D ADD"),
        ("square", "CONV_2D ADD MUL MUL MUL CONV_2D"),
        ("two swishes", "CONV_2D ADD MUL MUL CONV_2D ADD MUL CONV_2D"),
        ("nothing", "CONV_2D ADD MUL MUL"),
    ],
)
def test_same_result_without_hard_swish(behind: str, kinds: str) -> None:
    content = network(behind)
    graph = Flatbuffer(content)
    plain = plain_hard_swish(graph)
    assert [graph.kind(operator) for operator in graph.operators] == kinds.split()
    assert "swish_clipped" in plain.clipped
    assert len(plain.clipped) == (2 if behind == "two swishes" else 1)
    assert ("swish" in plain.sixfold) != ("swish_gate" in plain.gates)
    np.testing.assert_allclose(run(graph.pack()), run(content), rtol=1e-4, atol=1e-5)


def test_weights_that_others_read_are_not_scaled() -> None:
    make = Maker()
    image = make.tensor("image")
    first = make.conv(image, "first")
    swish = make.operator("HARD_SWISH", [first], "swish", schema.HardSwishOptionsT())
    last = make.conv(swish, "last")
    make.graph.operators[-1].inputs[1] = make.graph.operators[0].inputs[1]
    content = make.finish(image, last)
    graph = Flatbuffer(content)
    plain_hard_swish(graph)
    assert [graph.kind(o) for o in graph.operators] == "CONV_2D ADD MUL MUL CONV_2D".split()
    np.testing.assert_allclose(run(graph.pack()), run(content), rtol=1e-4, atol=1e-5)


def test_a_shared_buffer_keeps_its_values() -> None:
    make = Maker()
    image = make.tensor("image")
    first = make.conv(image, "first")
    swish = make.operator("HARD_SWISH", [first], "swish", schema.HardSwishOptionsT())
    last = make.conv(swish, "last")
    weights = [make.graph.tensors[make.graph.operators[i].inputs[1]] for i in (0, 2)]
    weights[1].buffer = weights[0].buffer
    content = make.finish(image, last)
    graph = Flatbuffer(content)
    plain_hard_swish(graph)
    np.testing.assert_allclose(run(graph.pack()), run(content), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("levels", [False, True])
def test_a_graph_behind_another_reads_what_that_returns(levels: bool) -> None:
    """Levels are what the engine makes of them: (level - zero point) * scale."""
    make = Maker()
    image = make.tensor("image")
    middle = make.conv(image, "middle")
    if levels:
        middle = make.operator("QUANTIZE", [middle], "levels", schema.QuantizeOptionsT())
        made = make.graph.tensors[middle]
        made.type, made.quantization = schema.TensorType.INT8, schema.QuantizationParametersT()
        made.quantization.scale = np.array([0.05], dtype=np.float32)
        made.quantization.zeroPoint = np.array([7])
    first = make.finish(image, middle)
    behind = Maker()
    source = behind.tensor(make.graph.tensors[middle].name.decode())
    second = behind.finish(source, behind.conv(behind.conv(source, "again"), "last"))
    joined = Flatbuffer(first)
    joined.append(Flatbuffer(second), "behind/")
    kinds = [joined.kind(operator) for operator in joined.operators]
    assert kinds == ["CONV_2D", *["QUANTIZE", "DEQUANTIZE"] * levels, "CONV_2D", "CONV_2D"]
    assert joined.name(joined.outputs["last"]) == "behind/last"
    between = run(first)
    if levels:
        between = (between.astype(np.float32) - 7) * np.float32(0.05)
    np.testing.assert_array_equal(run(joined.pack()), run(second, between))


def test_equal_vectors_are_written_once_and_nothing_stands_behind_the_flatbuffer() -> None:
    make = Maker()
    image = make.tensor("image")
    content = make.finish(image, make.conv(make.conv(image, "first"), "last"))
    zeros = np.zeros(4096, dtype=np.int64)
    for tensor in make.graph.tensors:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.zeroPoint = zeros
    weights = [buffer for buffer in make.model.buffers if buffer.data is not None]
    held = [buffer.data for buffer in weights]
    for buffer in weights:
        buffer.data, buffer.offset, buffer.size = None, 1, 1
    start = len(packed(make.model))  # the numbers below take as much room as those above
    for buffer, data in zip(weights, held, strict=True):
        buffer.offset, buffer.size = start, len(data)
        start += len(data)
    behind = packed(make.model) + b"".join(data.tobytes() for data in held)
    np.testing.assert_array_equal(run(behind), run(content))
    slim = Flatbuffer(behind).pack()
    np.testing.assert_array_equal(run(slim), run(content))
    assert len(slim) < len(content) + 2 * zeros.nbytes
    for data in held:
        assert slim.index(data.tobytes()) % 16 == 0
