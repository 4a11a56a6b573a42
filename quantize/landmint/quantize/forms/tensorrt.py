"""ONNX to a strongly typed FP16 graph with explicit Q/DQ pairs, by TensorRT's rules.

The rules are numbered as in `lint.tensorrt`, which checks them on the finished graph. An
engine is built from it as from the float graph, on a machine that has TensorRT.
"""

from collections.abc import Mapping
from functools import partial

import onnx
from onnx import NodeProto

from landmint.export.forms.tensorrt import build_engine, built_or_not, to_float16
from landmint.export.graphs import Wiring, gates, replace_nodes
from landmint.export.lint import lint, refuse
from landmint.export.lint.tensorrt import LAYERS, is_too_small, reads_levels
from landmint.quantize.decide.decision import layers_of
from landmint.quantize.decide.ranges import Range, rounded_weights, run_all
from landmint.quantize.drift import describe, points_of
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.pairs import Pairs, ScaleRule
from landmint.quantize.prepare import prepared

OPSET = 19
"""The first whose QuantizeLinear and DequantizeLinear take float16."""
_SIMULATED = 16  # faces: without fused kernels each takes tens of milliseconds
# The least normal float16: a smaller scale would lose digits, and a dead channel's would be zero.
# Float16 holds every scale exactly, so that typing the graph moves no level.
_SCALES = ScaleRule(symmetric=True, least_scale=2.0**-14, half=True)  # rules 1 and 2


def quantize(job: Job) -> dict[str, str]:
    """Write the QDQ graph in float16, and the engine beside it on a machine that can build one.

    The same graph in float32 is run here by ONNX Runtime, on any machine: what the levels cost is
    known before a GPU is at hand.

    Args:
        job: from ONNX to .onnx, whose engine takes the suffix .engine; reads the settings coverage
            and float_layers.

    Returns:
        notes for the manifest.

    Raises:
        LandmintError: the graph breaks a rule, or a weight is beyond float16.
    """
    model = job.graph
    in_float = _float_layers(job)
    ready = prepared(job, in_float, partial(rounded_weights, fit=_SCALES.fit))
    paired = add_pairs(ready, job.decision.activations, in_float)
    typed = to_float16(paired)
    check_pairs(typed)
    onnx.save(typed, job.target)
    refusal = build_engine(job.target, job.target.with_suffix(".engine"))
    layers = [node for node in paired.graph.node if node.op_type in LAYERS]
    wiring = Wiring(paired.graph)
    plain = [node.name for node in layers if not reads_levels(node, wiring)]
    faces = job.tensors[:_SIMULATED]
    reference, points = (
        points_of(job.contract, run_all(graph, faces, "float")) for graph in (model, paired)
    )
    return {
        "engine": built_or_not(refusal),
        "float layers": f"{len(plain)} of {len(layers)}: {', '.join(plain) or 'none'}",
        "simulated drift": f"{describe(reference, points)} (Q/DQ in float32, onnxruntime)",
    }


def _float_layers(job: Job) -> frozenset[str]:
    """Names of the layers that are asked for in float, and of those that TensorRT wants there."""
    graph = job.graph.graph
    asked = layers_in_float(graph, job.contract, job.config) | gates(graph)
    wiring = Wiring(graph)
    layers = layers_of(graph)
    return frozenset(node.name for node in layers if not _is_quantised(node, wiring, asked))


def check_pairs(typed: onnx.ModelProto) -> None:
    """Refuse a graph that breaks a rule of TensorRT, be it one that only costs speed.

    Raises:
        LandmintError: it does; the message names the first few places.
    """
    findings = lint(typed, targets=("tensorrt",))
    refuse("the TensorRT graph", [finding for finding in findings if finding.target == "tensorrt"])


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
    pairs = Pairs(paired.graph, ranges, _SCALES)
    wiring = Wiring(paired.graph)
    chosen = [node for node in paired.graph.node if _is_quantised(node, wiring, in_float)]
    pairs.layers(chosen)
    for node in paired.graph.node:
        if node.op_type == "Add":
            pairs.residual(node, wiring, {layer.output[0] for layer in chosen})  # rule 7
    replace_nodes(paired.graph, pairs.in_order())
    del paired.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(paired, strict_mode=True)


def _is_quantised(node: NodeProto, wiring: Wiring, in_float: frozenset[str]) -> bool:
    if node.op_type not in LAYERS or node.name in in_float:
        return False
    weight = wiring.array(node.input[1])
    return weight is not None and not is_too_small(node, weight.shape)  # rule 9
