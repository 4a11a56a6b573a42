"""TFLite to quantised TFLite by AI Edge Quantizer: in integers throughout, or of weights alone.

It starts from the float32 flatbuffer, so TensorFlow is not needed, and takes the ranges that all
formats share. Where activations are INT8, outputs that need more than 8 bits (see
`landmint.quantize.heads`) come in float32 from a float layer.
"""

import re
from collections import Counter
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import onnx
from ai_edge_quantizer import quantizer, recipe
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName

from landmint.export.flatbuffer import Flatbuffer
from landmint.export.graphs import chosen_layers, ending_at, last_layers
from landmint.quantize.decide.ranges import Range, run_all
from landmint.quantize.forms.tflite_graph import plain_hard_swish
from landmint.quantize.forms.tflite_layers import (
    carry_constants,
    fit_biases,
    layers_by_weight,
    tensors_by_value,
)
from landmint.quantize.heads import float_outputs
from landmint.quantize.integer_friendly import gate_ranges, make_friendly
from landmint.quantize.job import Job
from landmint.quantize.prepare import prepared

Recipe = list[dict[str, Any]]
"""What AI Edge Quantizer makes of which operators."""

_SIGNATURE = "serving_default"
_JOINS = ("CONCATENATION", "RESHAPE")


def quantize(job: Job) -> dict[str, str]:
    """Write the full-integer TFLite file: weights and activations in INT8.

    Args:
        job: `source` as `landmint.export.forms.tflite` writes it, `target` with the suffix .tflite.
            Of the settings it reads float_layers.

    Returns:
        notes for the manifest.

    Raises:
        LandmintError: a layer of the ONNX graph has no counterpart in the TFLite graph.
    """
    return _in_integers(job, recipe.static_wi8_ai8(), float_outputs(job.contract))


def quantize_int16x8(job: Job) -> dict[str, str]:
    """Write the full-integer TFLite file whose activations are int16: symmetric, biases int64.

    16 bits are enough for every output. Arguments, notes and errors are those of `quantize`.
    """
    return _in_integers(job, recipe.static_wi8_ai16(), frozenset())


def quantize_weights(job: Job) -> dict[str, str]:
    """Write a TFLite file whose weights alone are INT8 (dynamic-range quantisation).

    LiteRT rounds each activation to INT8 as it comes, by its own least and greatest value, and
    returns floats. So no range of the decision is used, and no output is spoilt. Depthwise layers
    stay in float: XNNPACK has no such kernel for them, and their weights are few. Arguments, notes
    and errors are those of `quantize`.
    """
    graph = Flatbuffer(job.source.read_bytes())
    layers = layers_by_weight(graph, job.graph.graph)
    in_float = chosen_layers(job.graph.graph, job.config.float_layers) | {
        name for name, layer in layers.items() if graph.kind(layer) == "DEPTHWISE_CONV_2D"
    }
    carry_constants(graph, layers, job.graph.graph, prepared(job, in_float).graph)
    work = _quantizer(graph, recipe.dynamic_wi8_afp32(), {layers[n].outputs[0] for n in in_float})
    job.target.write_bytes(Flatbuffer(bytes(work.quantize().quantized_model)).pack())
    return {"float layers": ", ".join(sorted(in_float)) or "none"}


def _in_integers(job: Job, how: Recipe, spoilt: frozenset[str]) -> dict[str, str]:
    """Write a TFLite file with integer weights and activations.

    Args:
        job: as of `quantize`.
        how: types of weights and activations.
        spoilt: outputs whose last layer stays in float.
    """
    graph, network = Flatbuffer(job.source.read_bytes()), job.graph.graph
    layers = layers_by_weight(graph, network)
    in_float = chosen_layers(network, job.config.float_layers) | last_layers(network, spoilt)
    ends = graph.outputs
    float_tensors = {ends[name] for name in spoilt}
    float_tensors |= {layers[name].outputs[0] for name in in_float}
    float_tensors |= _joined_in_float(graph, float_tensors)
    ranges = _ranges(job, graph, layers, prepared(job, in_float))
    work = _quantizer(graph, how, float_tensors)
    # Calibrating on one face makes records of the right form; their figures are replaced.
    records = work.calibrate({_SIGNATURE: [{job.contract.input_name: job.tensors[:1]}]})
    for name, (low, high) in ranges.items():
        if name in records:
            records[name]["min"] = np.full_like(records[name]["min"], low)
            records[name]["max"] = np.full_like(records[name]["max"], high)
    quantised = Flatbuffer(bytes(work.quantize(records).quantized_model))
    fit_biases(quantised, graph)
    job.target.write_bytes(quantised.pack())
    return {
        "float layers": ", ".join(sorted(in_float)) or "none",
        "operators in float": _operators_in_float(quantised) or "none",
    }


def _operators_in_float(graph: Flatbuffer) -> str:
    """The operators that return floats, and how many; the precision has no form of them."""
    kinds = Counter(
        graph.kind(operator) for operator in graph.operators if graph.is_float(operator.outputs[0])
    )
    kinds.pop("DEQUANTIZE", None)
    return ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))


def _quantizer(graph: Flatbuffer, how: Recipe, float_tensors: Set[int]) -> quantizer.Quantizer:
    """AI Edge Quantizer, set up for a graph; what makes the given tensors stays in float."""
    work = quantizer.Quantizer(bytearray(graph.pack()), how)
    for tensor in float_tensors:
        work.update_quantization_recipe(
            regex=f"^{re.escape(graph.name(tensor))};",
            operation_name=TFLOperationName.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )
    return work


def _joined_in_float(graph: Flatbuffer, float_tensors: Set[int]) -> set[int]:
    """The given tensors, and joined or reshaped ones that only float operators read.

    `landmint.quantize.heads.joins_in_float` does the same for ONNX graphs, and says why.
    """
    in_float = set(float_tensors)
    for operator in reversed(graph.operators):
        tensor = int(operator.outputs[0])
        readers = {int(reader.outputs[0]) for reader in graph.readers(tensor)}
        if graph.kind(operator) in _JOINS and readers and readers <= in_float:
            in_float.add(tensor)
    return in_float


def _ranges(
    job: Job, graph: Flatbuffer, layers: Mapping[str, Any], after: onnx.ModelProto
) -> dict[str, Range]:
    """Carry weights and ranges over from ONNX to the flatbuffer.

    Args:
        job: crops and decision.
        graph: the flatbuffer; gets the weights and biases of `after`, and a plain hard-swish.
        layers: its operators by the names of the ONNX layers.
        after: the prepared ONNX graph.

    Returns:
        the range of each tensor of the flatbuffer, by its name.
    """
    carry_constants(graph, layers, job.graph.graph, after.graph)
    friendly, gates = make_friendly(after)
    face, image = job.tensors[:1], job.images[:1]
    names = [name for node in friendly.graph.node for name in node.output]
    known = {**run_all(ending_at(friendly, names), image), job.contract.input_name: image}
    twins = tensors_by_value(graph.pack(), face, known)
    plain = plain_hard_swish(graph)
    decided = {**job.decision.activations, **gate_ranges(gates)}
    ranges = {name: decided[twin] for name, twin in twins.items() if twin in decided}
    for name in plain.sixfold & set(ranges):
        low, high = ranges[name]
        ranges[name] = 6 * low, 6 * high
    ranges |= dict.fromkeys(plain.clipped, (0.0, 6.0))
    return ranges | dict.fromkeys(plain.gates, (0.0, 1.0))
