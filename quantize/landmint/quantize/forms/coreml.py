"""ONNX to a Core ML program with INT8 weights and activations, and float16 for the rest.

Activations are rounded by `quantize` and `dequantize`, weights are stored as int8 with a scale for
each channel: the form of coremltools' own quantiser, which would draw ranges by running the model
on a Mac. The Neural Engine of the A17 Pro and the M4 has integer units for it; other processors
compute in float16 between the two.
"""

from functools import partial

import onnx

from landmint.export.forms.coreml import convert
from landmint.export.graphs import replace_nodes
from landmint.quantize.decide.decision import layers_of
from landmint.quantize.decide.ranges import rounded_weights, run_all
from landmint.quantize.displacement import describe, points_of
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.quantize.pairs import Pairs, ScaleRule
from landmint.quantize.prepare import prepared
from landmint.runtime.engines.built import float_layers_note
from landmint.runtime.scratch import scratch_folder

_SIMULATED = 16  # number of faces: without fused kernels each takes tens of milliseconds
# Scales are stored as float16, whose least normal number is 2**-14. Rounded here, they are the same
# for whoever computes the graph in float32.
_SCALES = ScaleRule(symmetric=True, least_scale=2.0**-14, half=True)


def quantize(job: Job) -> dict[str, str]:
    """Write the package with INT8 layers.

    The same levels in float32 are run by ONNX Runtime, so that their loss is known without a Mac.

    Args:
        job: `source` is the float32 ONNX file, `target` the graph inside the package, as
            `landmint.runtime.mlpackage` says. Of the settings it reads float_layers.

    Returns:
        notes for the manifest.

    Raises:
        LandmintError: the converter failed.
    """
    graph = paired(job)
    with scratch_folder() as work:
        onnx.save(graph, work / "paired.onnx")
        convert(work / "paired.onnx", job.target, job.contract, half=True)
    in_float = layers_in_float(job.graph.graph, job.contract, job.config)
    faces = job.tensors[:_SIMULATED]
    reference, points = (
        points_of(job.contract, run_all(model, faces, "float")) for model in (job.graph, graph)
    )
    return {
        "float layers": float_layers_note(sorted(in_float), len(layers_of(job.graph.graph))),
        "simulated displacement": f"{describe(reference, points)} (Q/DQ in float32, onnxruntime)",
    }


def paired(job: Job) -> onnx.ModelProto:
    """The float32 graph of a job with a symmetric Q/DQ pair before each layer that becomes INT8."""
    in_float = layers_in_float(job.graph.graph, job.contract, job.config)
    model = prepared(job, in_float, partial(rounded_weights, fit=_SCALES.fit))
    pairs = Pairs(model.graph, job.decision.activations, _SCALES)
    pairs.layers(node for node in layers_of(model.graph) if node.name not in in_float)
    replace_nodes(model.graph, pairs.in_order())
    return model
