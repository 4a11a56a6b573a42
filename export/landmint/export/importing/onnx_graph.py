"""A foreign ONNX graph with the contract's input and outputs, in the shape that quantisers want."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from landmint.export.forms.onnx import save_onnx, strip
from landmint.export.graphs import Wiring, alive, attribute, replace_nodes
from landmint.export.importing.binding import Binding, Step, steps_of
from landmint.export.importing.onnx_file import signature_of
from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError

_OWN = "landmint_"
_OPERATORS = {"reshape": "Reshape", "transpose": "Transpose"}


def write(model: onnx.ModelProto, contract: Contract, binding: Binding, path: Path) -> None:
    """Write a foreign network as ONNX with the contract's input and outputs."""
    save_onnx(canonical_graph(model, contract, binding), contract, path)


def canonical_graph(
    model: onnx.ModelProto, contract: Contract, binding: Binding
) -> onnx.ModelProto:
    """The graph of a foreign network behind the contract's names, shapes and layout, simplified.

    Args:
        model: of `close_shapes`.
        contract: in NCHW.
        binding: how its tensors become the contract's.

    Raises:
        LandmintError: the graph cannot be simplified.
    """
    import onnxsim

    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.ClearField("metadata_props")
    _connect(made.graph, contract, binding)
    replace_nodes(made.graph, alive(made.graph))
    try:
        simplified: onnx.ModelProto
        simplified, same = onnxsim.simplify(made)
    except Exception as error:  # it is a C++ library that raises bare errors
        raise LandmintError(
            "onnxsim cannot simplify the network",
            reason=" ".join(str(error).split())[:400],
            remedy="export it again from its framework, with a later opset",
        ) from None
    if not same:
        raise LandmintError(
            "onnxsim changed what the network computes",
            remedy="export it again, with another opset",
        )
    graph = simplified.graph
    _spread_norms(graph)
    _name_nodes(graph)
    strip(simplified)
    return simplified


def _make_room(graph: onnx.GraphProto, names: Iterable[str]) -> dict[str, str]:
    """Rename the tensors that have one of these names; returns old names with the new."""
    renamed = {name: f"net/{name}" for name in names}
    _rename(graph, renamed)
    return renamed


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for part in node.attribute:
            for inner in (part.g, *part.graphs):
                _rename(inner, names)


def _connect(graph: onnx.GraphProto, contract: Contract, binding: Binding) -> None:
    """Put the contract's input before the network, and its outputs behind it."""
    shapes = signature_of(graph).outputs
    renamed = _make_room(graph, (contract.input_name, *(o.name for o in contract.outputs)))
    entrance = graph.input[0].name
    ends = [contract.input_name], [entrance], f"{_OWN}in"
    if binding.layout == "NHWC":
        before = helper.make_node("Transpose", *ends, perm=[0, 2, 3, 1])
    else:
        before = helper.make_node("Identity", *ends)
    graph.node.insert(0, before)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(
        helper.make_tensor_value_info(contract.input_name, TensorProto.FLOAT, contract.input_shape)
    )
    for output in contract.outputs:
        tap = binding.taps[output.name]
        steps = steps_of(tap, shapes[tap.tensor], output, contract)
        _append(graph, renamed.get(tap.tensor, tap.tensor), output.name, steps)
        shape = (1, *output.shape)
        graph.output.append(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape))


def _append(graph: onnx.GraphProto, source: str, target: str, steps: Sequence[Step]) -> None:
    """Take the steps in the graph, from one tensor to another."""
    tensor = source
    for place, step in enumerate(steps):
        made = f"{_OWN}{target}_{place}"
        graph.node.extend(_nodes(graph, step, tensor, made))
        tensor = made
    graph.node.append(helper.make_node("Identity", [tensor], [target], f"{_OWN}{target}"))


def _nodes(graph: onnx.GraphProto, step: Step, source: str, made: str) -> list[NodeProto]:
    def constant(suffix: str, values: object, kind: type) -> str:
        name = f"{made}_{suffix}"
        graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=kind), name))
        return name

    if step.kind == "reshape":
        return [
            helper.make_node(
                "Reshape", [source, constant("shape", step.whole, np.int64)], [made], made
            )
        ]
    if step.kind == "transpose":
        return [helper.make_node("Transpose", [source], [made], made, perm=step.whole)]
    if step.kind == "first":
        ends = [
            constant(name, [value], np.int64)
            for name, value in (("from", 0), ("to", step.whole[0]), ("axis", -1))
        ]
        return [helper.make_node("Slice", [source, *ends], [made], made)]
    factor, summand = step.numbers
    scaled = f"{made}_scaled"
    return [
        helper.make_node("Mul", [source, constant("factor", factor, np.float32)], [scaled], scaled),
        helper.make_node("Add", [scaled, constant("summand", summand, np.float32)], [made], made),
    ]


def _spread_norms(graph: onnx.GraphProto) -> None:
    """Write each batch norm that no layer could take in as a factor and a summand."""
    wiring = Wiring(graph)
    nodes: list[NodeProto] = []
    for node in graph.node:
        rank = 4
        values = [wiring.array(name) for name in node.input[1:5]]
        if node.op_type != "BatchNormalization" or any(value is None for value in values):
            nodes.append(node)
            continue
        scale, bias, mean, variance = (np.asarray(value, np.float64) for value in values)
        factor = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        shape = (1, -1, *[1] * (rank - 2))
        own = {"factor": factor, "summand": bias - mean * factor}
        made = node.output[0]
        for suffix, numbers in own.items():
            tensor = numbers.astype(np.float32).reshape(shape)
            graph.initializer.append(numpy_helper.from_array(tensor, f"{made}_{suffix}"))
        scaled = f"{made}_scaled"
        nodes += [
            helper.make_node("Mul", [node.input[0], f"{made}_factor"], [scaled], scaled),
            helper.make_node("Add", [scaled, f"{made}_summand"], [made], f"{made}_shifted"),
        ]
    replace_nodes(graph, nodes)


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a name of its own: ranges and reports refer to nodes by name."""
    taken: set[str] = set()
    for place, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{place}"
        taken.add(node.name)
