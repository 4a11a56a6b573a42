"""OpenVINO IR to INT8 IR by NNCF's own observation: preset MIXED, full bias correction.

The other way to the variant of `openvino`: not the shared decision, so its landmarks agree
less with those of the other formats. Not accuracy-aware quantisation: NNCF knows no NME.
"""

import logging

import onnx

from landmint.export.forms.openvino import save_ir
from landmint.quantize.heads import layers_in_float
from landmint.quantize.job import Job
from landmint.runtime.telemetry import without_telemetry

with without_telemetry():
    import nncf
    import openvino
    from openvino.passes import ConstantFolding, Manager

_WEIGHTED = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")
# NNCF takes the mean of the faces' extremes, beyond which about half of the faces saturate. On a
# PFLD over MobileNetV3-Small that trebled the drift (2.2 % of the inter-ocular distance, not 0.7).
_OUTERMOST = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX


def quantize_by_nncf(job: Job) -> dict[str, str]:
    """Write the INT8 twin of a float32 IR.

    Args:
        job: from `landmint.export.forms.openvino` to .xml, whose .bin stands beside it; reads the
            calibration crops and the setting float_layers.

    Returns:
        notes for the manifest.
    """
    nncf.set_log_level(logging.ERROR)
    model = openvino.Core().read_model(job.source)
    _fold(model)
    graph = job.graph.graph
    layers = layers_in_float(graph, job.contract, job.config)
    in_float = sorted(_twin(model, node) for node in graph.node if node.name in layers)
    quantised = nncf.quantize(
        model,
        nncf.Dataset([face[None] for face in job.tensors]),
        subset_size=len(job.tensors),
        preset=nncf.QuantizationPreset.MIXED,
        fast_bias_correction=False,
        ignored_scope=nncf.IgnoredScope(names=in_float) if in_float else None,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=_OUTERMOST
        ),
    )
    save_ir(quantised, job.target)
    return {"ranges": "NNCF's own", "float layers": ", ".join(sorted(layers)) or "none"}


def _fold(model: openvino.Model) -> None:
    """Make constants of what is constant.

    An IR read from ONNX reshapes each bias by the shape of its convolution; NNCF then finds no
    bias, and corrects none, without a word.
    """
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)


def _twin(model: openvino.Model, layer: onnx.NodeProto) -> str:
    """The name of a layer's weighted node; the IR keeps the names of ONNX's tensors."""
    (output,) = (
        output
        for node in model.get_ordered_ops()
        for output in node.outputs()
        if layer.output[0] in output.get_names()
    )
    node = output.get_node()
    while node.get_type_name() not in _WEIGHTED:
        node = node.input_value(0).get_node()
    name: str = node.get_friendly_name()
    return name
