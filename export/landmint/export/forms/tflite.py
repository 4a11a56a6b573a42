"""ONNX to TFLite through onnx2tf and TensorFlow, which run in a process of their own.

The artefacts are channels-last. Their signature `serving_default` carries the contract's input
name and the canonical output names; order and names of the tensors themselves mean nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landmint.export.embed import write_contract
from landmint.export.isolated import run_isolated
from landmint.runtime.contract import Contract, Output
from landmint.runtime.embedded import read_contract
from landmint.runtime.scratch import scratch_folder

if TYPE_CHECKING:
    import onnx

_WORKER = "landmint.export.forms.tflite_worker"
_ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "PRelu")


def export(onnx_path: Path, files: Mapping[str, Path]) -> Mapping[str, str]:
    """Write a .tflite for each precision, as `Export` says.

    Args:
        onnx_path: of `to_onnx`.
        files: path by precision. In "float16" only the weights are stored so; the engine chooses
            the arithmetic.

    Raises:
        LandmintError: the converter failed, or the ONNX file carries no contract.
    """
    contract = read_contract(onnx_path).with_layout("NHWC")
    wanted = {precision: str(path.absolute()) for precision, path in files.items()}
    _convert(onnx_path, [contract.input_name], contract.outputs, wanted)
    for file in files.values():
        write_contract(file, contract)
    return {}


def decode_to_tflite(decoder: "onnx.ModelProto", contract: Contract) -> bytes:
    """Convert a decoder alone to a float32 flatbuffer.

    Args:
        decoder: takes the contract's outputs, returns those of `contract.decoded()`.
        contract: of the network without the decode.

    Raises:
        LandmintError: the converter failed.
    """
    import onnx

    with scratch_folder() as work:
        graph, made = work / "decode.onnx", work / "decode.tflite"
        onnx.save(decoder, graph)
        names = [output.name for output in contract.outputs]
        _convert(graph, names, contract.decoded().outputs, {"float32": str(made)})
        return made.read_bytes()


def _convert(
    onnx_path: Path,
    inputs: Sequence[str],
    outputs: Sequence[Output],
    files: Mapping[str, str],
) -> None:
    request = {
        "onnx": str(onnx_path.absolute()),
        "inputs": list(inputs),
        "outputs": {output.name: _channels_last(output.shape) for output in outputs},
        "tflite": dict(files),
    }
    run_isolated(_WORKER, request, fact=f"onnx2tf could not convert {onnx_path.name} to TFLite")


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of an output in the artefact, batch axis included."""
    return (1, *shape[1:], shape[0]) if len(shape) == 3 else (1, *shape)


def spread_hard_sigmoid(graph: "onnx.GraphProto") -> None:
    """Write each HardSigmoid(x) = clip(a x + b, 0, 1) as a clip((x + b / a), 0, 1 / a), in place.

    With MobileNet's a = 1/6 and b = 1/2 the clip is a ReLU6 that fuses into the convolution before
    it. onnx2tf's own form ends in RELU_0_TO_1, which XNNPACK leaves outside its partitions: every
    squeeze-and-excitation gate would split the graph in two.
    """
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        graph.node.extend(_spread(graph, node) if node.op_type == "HardSigmoid" else [node])


def _spread(graph: "onnx.GraphProto", node: "onnx.NodeProto") -> "list[onnx.NodeProto]":
    import numpy as np
    from onnx import helper, numpy_helper

    settings = {attribute.name: attribute.f for attribute in node.attribute}
    slope, offset = settings.get("alpha", 0.2), settings.get("beta", 0.5)
    target, name = node.output[0], f"{node.name}_{node.output[0]}"
    values = {"shift": offset / slope, "floor": 0.0, "ceiling": 1 / slope, "slope": slope}
    if abs(values["ceiling"] - 6) < 1e-5:
        values["ceiling"] = 6.0  # exactly, so that it is known for a ReLU6
    for part, value in values.items():
        constant = np.array(value, dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(constant, f"{name}_{part}"))
    shifted, clipped = f"{name}_shifted", f"{name}_clipped"
    return [
        helper.make_node("Add", [node.input[0], f"{name}_shift"], [shifted], name=shifted),
        helper.make_node(
            "Clip", [shifted, f"{name}_floor", f"{name}_ceiling"], [clipped], name=clipped
        ),
        helper.make_node("Mul", [clipped, f"{name}_slope"], [target], name=f"{name}_scaled"),
    ]


def give_four_axes(model: "onnx.ModelProto") -> None:
    """Give each constant (C, 1, 1) that meets a map (1, C, H, W) its first axis, in place.

    onnx2tf looks for the constant's axes among those of the map. On a map of one cell, where a deep
    hourglass of a small picture ends, it takes the wrong ones: (1, 1, 1, C) times (C, 1, 1) becomes
    (1, C, 1, C).
    """
    from onnx import numpy_helper, shape_inference

    graph = model.graph
    known = shape_inference.infer_shapes(model).graph
    values = (*known.input, *known.value_info, *known.output)
    maps = {v.name for v in values if len(v.type.tensor_type.shape.dim) == 4}
    constants = {t.name: t for t in graph.initializer if len(t.dims) == 3}
    widened: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in _ELEMENTWISE and maps.intersection(node.input):
            for name in constants.keys() & set(node.input) - widened.keys():
                widened[name] = f"{name}_of_four_axes"
                wide = numpy_helper.to_array(constants[name])[None]
                graph.initializer.append(numpy_helper.from_array(wide, widened[name]))
            node.input[:] = [widened.get(name, name) for name in node.input]
