"""ONNX to a strongly typed FP16 graph with explicit Q/DQ pairs, by TensorRT's rules.

The rules have the numbers of `landmint.export.lint.tensorrt`, which checks them on the finished
graph. The engine is built from this graph on a machine that has TensorRT.
"""

from collections.abc import Mapping
from functools import partial

import onnx
from onnx import NodeProto

from landmint.export.forms.tensorrt import build_engine, built_or_not, to_float16
from landmint.export.graphs import Wiring, gates, replace_nodes
from landmint.export.lint import lint, refuse
from landmint.export.lint.rule import PAIR
from landmint.export.lint.tensorrt import LAYERS, is_too_small, reads_levels
from landmint.quantize.decide.decision import layers_of
from landmint.quantize.decide.ranges import Range, rounded_weights, run_all
from landmint.quantize.displacement import describe, points_of
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.pairs import Pairs, ScaleRule
from landmint.quantize.prepare import prepared
from landmint.runtime.engines.built import float_layers_note, pairs_note

QDQ_OPSET = 19
"""The first whose QuantizeLinear and DequantizeLinear take float16."""
_SIMULATED = 16  # number of faces: without fused kernels each takes tens of milliseconds
# 2**-14 is the least normal float16: a smaller scale would lose digits, and that of a dead channel
# would become zero. Scales are rounded to float16 here, so converting the graph to it changes none.
_SCALES = ScaleRule(symmetric=True, least_scale=2.0**-14, half=True)  # rules 1 and 2


def quantize(job: Job) -> dict[str, str]:
    """Write the graph with Q/DQ pairs in float16, and its engine if this machine can build one.

    The same graph in float32 is run by ONNX Runtime, so that the loss by INT8 is known without a
    GPU.

    Args:
        job: `source` is the float32 ONNX file. `target` has the suffix .onnx; the engine is written
            beside it, with the suffix .engine. Of the settings it reads float_layers.

    Returns:
        notes for the manifest.

    Raises:
        LandmintError: the graph breaks a rule, or a weight is too large for float16.
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
        "pairs": pairs_note(*(sum(n.op_type == kind for n in paired.graph.node) for kind in PAIR)),
        "float layers": float_layers_note(plain, len(layers)),
        "simulated displacement": f"{describe(reference, points)} (Q/DQ in float32, onnxruntime)",
    }


def _float_layers(job: Job) -> frozenset[str]:
    """Names of the layers that stay in float, because of the settings or of TensorRT's rules."""
    graph = job.graph.graph
    asked = layers_in_float(graph, job.contract, job.config) | gates(graph)
    wiring = Wiring(graph)
    layers = layers_of(graph)
    return frozenset(node.name for node in layers if not _is_quantised(node, wiring, asked))


def check_pairs(typed: onnx.ModelProto) -> None:
    """Refuse a graph that breaks a rule of TensorRT, even one that only concerns speed.

    Raises:
        LandmintError: it breaks one; the message names the first few places.
    """
    findings = lint(typed, targets=("tensorrt",))
    refuse("the TensorRT graph", [finding for finding in findings if finding.target == "tensorrt"])


def add_pairs(
    model: onnx.ModelProto, ranges: Mapping[str, Range], in_float: frozenset[str]
) -> onnx.ModelProto:
    """A copy of a float32 graph with Q/DQ pairs.

    Args:
        model: the graph, as the exporter writes it.
        ranges: range of each activation by its name; made symmetric here (rule 1).
        in_float: names of layers that stay in float.
    """
    paired = onnx.ModelProto()
    paired.CopyFrom(model)
    for opset in paired.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, QDQ_OPSET)
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
