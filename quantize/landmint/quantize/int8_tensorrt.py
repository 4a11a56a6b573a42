"""ONNX to a strongly typed FP16 graph with explicit Q/DQ pairs, by TensorRT's rules.

The rules are numbered as in `lint.tensorrt`, which checks them on the finished graph. An
engine is built from it as from the float graph, on a machine that has TensorRT.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from landmint.export.graphs import (
    Wiring,
    chosen_layers,
    gates,
    last_layers,
    output_axis,
    replace_nodes,
)
from landmint.export.lint import lint, refuse
from landmint.export.lint.tensorrt import LAYERS, is_too_small, reads_levels
from landmint.export.to_tensorrt import build_engine, to_float16
from landmint.quantize.drift import describe, points_of
from landmint.quantize.heads import float_outputs
from landmint.quantize.job import Job
from landmint.quantize.ranges import Range, observe, run_all, settle_all

OPSET = 19
"""The first whose QuantizeLinear and DequantizeLinear take float16."""
_TOP = 127
_SIMULATED = 16  # faces: without fused kernels each takes tens of milliseconds
# The least normal float16: a smaller scale would lose digits, and a dead channel's would be zero.
_LEAST_SCALE = 2.0**-14


def quantize(job: Job) -> dict[str, str]:
    """Write the QDQ graph in float16, and the engine beside it on a machine that can build one.

    The same graph in float32 is run here by ONNX Runtime, on any machine: what the levels cost is
    known before a GPU is at hand.

    Args:
        job: from `landmint.export.to_onnx` to .onnx, whose engine takes the suffix .engine; reads
            the settings coverage and float_layers.

    Returns:
        notes for the manifest.

    Raises:
        LandmintError: the graph breaks a rule, or a weight is beyond float16.
    """
    model = onnx.load(job.source)
    ranges = settle_all(observe(model, job.tensors), job.config.coverage)
    in_float = chosen_layers(model.graph, job.config.float_layers) | gates(model.graph)
    in_float |= last_layers(model.graph, float_outputs(job.contract))
    paired = add_pairs(model, ranges, in_float)
    typed = to_float16(paired)
    check_pairs(typed)
    onnx.save(typed, job.target)
    refusal = build_engine(job.target, job.target.with_suffix(".engine"))
    layers = [node for node in paired.graph.node if node.op_type in LAYERS]
    wiring = Wiring(paired.graph)
    plain = [node.name for node in layers if not reads_levels(node, wiring)]
    faces = job.tensors[:_SIMULATED]
    reference, found = (points_of(job.contract, run_all(graph, faces)) for graph in (model, paired))
    return {
        "engine": f"not built: {refusal}" if refusal else "built on this machine",
        "float layers": f"{len(plain)} of {len(layers)}: {', '.join(plain) or 'none'}",
        "simulated drift": f"{describe(reference, found)} (Q/DQ in float32, onnxruntime)",
    }


def check_pairs(typed: onnx.ModelProto) -> None:
    """Refuse a graph that breaks a rule of TensorRT, be it one that only costs speed.

    Raises:
        LandmintError: it does; the message names the first few places.
    """
    findings = lint(typed, targets=("tensorrt",))
    refuse("the TensorRT graph", [one for one in findings if one.target == "tensorrt"])


def add_pairs(
    model: onnx.ModelProto, ranges: Mapping[str, Range], in_float: frozenset[str]
) -> onnx.ModelProto:
    """A copy of a float32 graph with Q/DQ pairs.

    Args:
        model: as the exporter wrote it.
        ranges: by tensor; made symmetric here (rule 1).
        in_float: names of layers to leave alone.
    """
    paired = onnx.ModelProto()
    paired.CopyFrom(model)
    for opset in paired.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, OPSET)
    pairs = _Pairs(paired.graph, ranges)
    wiring = Wiring(paired.graph)
    chosen = [node for node in paired.graph.node if _is_quantised(node, wiring, in_float)]
    for node in chosen:
        node.input[0] = pairs.activation(node.input[0])
        node.input[1] = pairs.weight(node)
    for node in paired.graph.node:
        if node.op_type == "Add":
            _pair_residual(node, wiring, {n.output[0] for n in chosen}, pairs)
    replace_nodes(paired.graph, pairs.in_order())
    del paired.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(paired, strict_mode=True)


def _is_quantised(node: NodeProto, wiring: Wiring, in_float: frozenset[str]) -> bool:
    if node.op_type not in LAYERS or node.name in in_float:
        return False
    weight = wiring.array(node.input[1])
    return weight is not None and not is_too_small(node, weight.shape)  # rule 9


def _pair_residual(
    add: NodeProto, wiring: Wiring, from_quantised: set[str], pairs: "_Pairs"
) -> None:
    """Rule 7: the Add fuses into one convolution; every other input of it is quantised."""
    if any(name in wiring.constants for name in add.input):
        return
    fused = next((i for i, name in enumerate(add.input) if name in from_quantised), None)
    if fused is None:
        return
    for i, name in enumerate(add.input):
        if i != fused:
            add.input[i] = pairs.activation(name)


class _Pairs:
    """The Q/DQ pairs of one graph: at most one per tensor, whoever reads it."""

    def __init__(self, graph: onnx.GraphProto, ranges: Mapping[str, Range]) -> None:
        self._graph = graph
        self._ranges = ranges
        self._constants = Wiring(graph)
        self._behind: dict[str, list[NodeProto]] = {}
        self._read_first: list[NodeProto] = []
        self._names: dict[str, str] = {}

    def activation(self, tensor: str) -> str:
        """The dequantised twin of a tensor, per tensor and symmetric (rules 1 and 3)."""
        if tensor not in self._names:
            low, high = self._ranges[tensor]
            scale = _representable(np.array(max(-low, high) / _TOP))
            constants = self._add_scale(tensor, scale)
            levels, twin = f"{tensor}_levels", f"{tensor}_dequantised"
            self._behind[tensor] = [
                helper.make_node("QuantizeLinear", [tensor, *constants], [levels], levels),
                helper.make_node("DequantizeLinear", [levels, *constants], [twin], twin),
            ]
            self._names[tensor] = twin
        return self._names[tensor]

    def weight(self, node: NodeProto) -> str:
        """The weight as INT8 constant with one scale per output channel (rules 3 and 4)."""
        name = node.input[1]
        if name not in self._names:
            values = self._constants.array(name)
            assert values is not None
            axis = output_axis(node)
            others = tuple(i for i in range(values.ndim) if i != axis)
            scale = _representable(np.abs(values).max(axis=others) / _TOP)
            steps = values / np.expand_dims(scale, others)
            levels = np.clip(np.rint(steps), -_TOP, _TOP).astype(np.int8)
            self._graph.initializer.append(numpy_helper.from_array(levels, f"{name}_levels"))
            inputs = [f"{name}_levels", *self._add_scale(name, scale)]
            twin = f"{name}_dequantised"
            self._read_first.append(
                helper.make_node("DequantizeLinear", inputs, [twin], twin, axis=axis)
            )
            self._names[name] = twin
        return self._names[name]

    def _add_scale(self, tensor: str, scale: NDArray[np.float32]) -> tuple[str, str]:
        """Constants of the scale and of the zero point, which is zero (rules 1 and 2)."""
        names = f"{tensor}_scale", f"{tensor}_zero_point"
        zeros = np.zeros(scale.shape, dtype=np.int8)
        self._graph.initializer.append(numpy_helper.from_array(scale, names[0]))
        self._graph.initializer.append(numpy_helper.from_array(zeros, names[1]))
        return names

    def in_order(self) -> list[NodeProto]:
        """The graph's nodes with each pair right behind what it quantises."""
        nodes = list(self._read_first)
        for value in self._graph.input:
            nodes += self._behind.get(value.name, [])
        for node in self._graph.node:
            nodes.append(node)
            for name in node.output:
                nodes += self._behind.get(name, [])
        return nodes


def _representable(scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scales that float16 holds exactly, so that typing the graph moves no level (rule 2)."""
    return np.maximum(scale, _LEAST_SCALE).astype(np.float16).astype(np.float32)
