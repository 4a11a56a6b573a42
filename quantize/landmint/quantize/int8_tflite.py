"""TFLite to full-integer TFLite by AI Edge Quantizer: INT8 from input to output.

It starts from the float32 flatbuffer, so TensorFlow is not needed, and the scales are ours. An
output that 8 bits would spoil comes in float32 from a float layer; `heads` says which.
"""

import re
from typing import Any

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_quantizer import quantizer, recipe
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName
from numpy.typing import NDArray

from landmint.export.graphs import chosen_layers, last_layers
from landmint.quantize.heads import float_outputs
from landmint.quantize.job import Job
from landmint.quantize.ranges import settle_all
from landmint.quantize.tflite_graph import Flatbuffer, plain_hard_swish
from landmint.quantize.tflite_layers import layers_by_weight

_SIGNATURE = "serving_default"


def quantize(job: Job) -> dict[str, str]:
    """Write the full-integer twin of a float32 TFLite file.

    Args:
        job: from `landmint.export.to_tflite` to .tflite; reads the
            settings coverage and float_layers.

    Returns:
        notes for the manifest.
    """
    graph = Flatbuffer(job.source.read_bytes())
    onnx_graph = onnx.load(job.graph).graph
    layers = layers_by_weight(graph, onnx_graph)
    in_float = chosen_layers(onnx_graph, job.config.float_layers)
    spoilt = float_outputs(job.contract)
    in_float |= last_layers(onnx_graph, spoilt)
    gates = plain_hard_swish(graph)
    model = graph.pack()
    ranges = settle_all(_observe(model, job.tensors), job.config.coverage)
    for name, clipped in gates:
        low, high = ranges[name]
        ranges[name], ranges[clipped] = (max(low, -3.0), high), (0.0, 6.0)

    work = quantizer.Quantizer(bytearray(model), recipe.static_wi8_ai8())
    ends = graph.outputs_of(_SIGNATURE)
    for tensor in {ends[name] for name in spoilt} | {layers[name].outputs[0] for name in in_float}:
        work.update_quantization_recipe(
            regex=f"^{re.escape(graph.name(tensor))};",
            operation_name=TFLOperationName.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )
    # One face gives the quantizer's records their form; the figures in them are replaced.
    records = work.calibrate({_SIGNATURE: [{job.contract.input_name: job.tensors[:1]}]})
    for name, record in records.items():
        if name in ranges:
            low, high = ranges[name]
            record["min"] = np.full_like(record["min"], low)
            record["max"] = np.full_like(record["max"], high)
    job.target.write_bytes(work.quantize(records).quantized_model)
    return {"float layers": ", ".join(sorted(in_float)) or "none"}


def _observe(model: bytes, tensors: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Per float tensor by name (N, 2): least and greatest value for each face."""
    interpreter = Interpreter(
        model_content=model,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (entrance,) = interpreter.get_input_details()
    watched: list[dict[str, Any]] = [
        detail for detail in interpreter.get_tensor_details() if detail["dtype"] is np.float32
    ]
    found: dict[str, list[tuple[float, float]]] = {detail["name"]: [] for detail in watched}
    for face in tensors:
        interpreter.set_tensor(entrance["index"], face[None])
        interpreter.invoke()
        for detail in watched:
            values = interpreter.get_tensor(detail["index"])
            found[detail["name"]].append((values.min(), values.max()))
    return {name: np.array(pairs, dtype=np.float64) for name, pairs in found.items()}
