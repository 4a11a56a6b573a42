"""Networks that somebody else exported: written with ONNX's own helpers, no landmint, no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIZE = 32
POINTS = 68


def foreign_onnx(
    path: Path,
    *,
    batch: str | int = "batch",
    layout: str = "NCHW",
    opset: int = 13,
    half: bool = False,
    shape: Sequence[int] = (2 * POINTS,),
    side: int | str = SIZE,
) -> onnx.ModelProto:
    """Write a small network with the input "data" and the outputs "points" and "score".

    Args:
        path: of the file.
        batch: the batch axis; a text leaves it open.
        layout: of the input.
        opset: of the graph.
        half: weights, input and outputs in float16.
        shape: of "points", without the batch.
        side: height and width of the input; a text leaves them open.
    """
    kind = np.float16 if half else np.float32
    rng = np.random.default_rng(0)
    count = int(np.prod(shape))
    angle = np.linspace(0, 2 * np.pi, count // 2, endpoint=False)
    mean = np.stack([0.5 + 0.3 * np.cos(angle), 0.5 + 0.3 * np.sin(angle)], 1)
    norm = np.stack([rng.uniform(0.5, 1.5, 8) for _ in range(4)])
    weights = {
        "w1": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "b1": rng.normal(0, 0.1, 8),
        "w2": rng.normal(0, 0.2, (16, 8, 3, 3)),
        "w3": rng.normal(0, 0.1, (count, 16)),
        "b3": np.resize(mean.ravel(), count),
        "w4": rng.normal(0, 0.5, (POINTS, 16)),
        "b4": np.zeros(POINTS),
        **{f"norm{i}": row for i, row in enumerate(norm)},
    }
    constants = [numpy_helper.from_array(v.astype(kind), n) for n, v in weights.items()]
    constants.append(numpy_helper.from_array(np.array([-1, *shape], np.int64), "shape"))
    node = helper.make_node
    nodes: list[NodeProto] = [
        *([node("Transpose", ["data"], ["image"], perm=[0, 3, 1, 2])] * (layout == "NHWC")),
        node("Conv", ["image" if layout == "NHWC" else "data", "w1", "b1"], ["a"], strides=[4, 4]),
        node("Relu", ["a"], ["b"]),
        node("BatchNormalization", ["b", *(f"norm{i}" for i in range(4))], ["c"]),
        node("Conv", ["c", "w2"], ["d"], strides=[2, 2]),
        node("Relu", ["d"], ["e"]),
        node("GlobalAveragePool", ["e"], ["f"]),
        node("Flatten", ["f"], ["g"]),
        node("Gemm", ["g", "w3", "b3"], ["h"], transB=1),
        node("Reshape", ["h", "shape"], ["points"]),
        node("Gemm", ["g", "w4", "b4"], ["i"], transB=1),
        node("Sigmoid", ["i"], ["score"]),
    ]
    element = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    picture = [3, side, side] if layout == "NCHW" else [side, side, 3]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("data", element, [batch, *picture])],
        [
            helper.make_tensor_value_info("points", element, [batch, *shape]),
            helper.make_tensor_value_info("score", element, [batch, POINTS]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return model


CONTRACT = """
markup = "68"

[input]
size = 32
layout = "{layout}"
color = "BGR"
mean = [127.5, 127.5, 127.5]
std = [128.0, 128.0, 128.0]

[crop]
scale = 1.2

[head]
kind = "coordinates"

[outputs.coordinates]
tensor = "points"
{extra}

[outputs.confidence]
tensor = "score"
"""


def write_contract(path: Path, layout: str = "NCHW", extra: str = "") -> Path:
    """Write what a person would say of `foreign_onnx`."""
    path.write_text(CONTRACT.format(layout=layout, extra=extra), encoding="utf-8")
    return path
