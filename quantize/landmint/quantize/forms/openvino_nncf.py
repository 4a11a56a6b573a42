"""OpenVINO IR to INT8 IR by NNCF, with its own ranges: preset MIXED, full bias correction.

It replaces `openvino.py` where the setting `nncf` is on. The ranges are not those of the other
formats, so landmarks agree less with theirs. NNCF's accuracy-aware mode is not used.
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
# By default NNCF takes the mean of the faces' extremes, so that about half of the faces are
# clipped. On a PFLD over MobileNetV3-Small that trebled the displacement: from 0.7 to 2.2 % of the
# inter-ocular distance.
_OUTERMOST = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX


def quantize_by_nncf(job: Job) -> dict[str, str]:
    """Write the INT8 IR.

    Args:
        job: `source` as `landmint.export.forms.openvino` writes it; `target` has the suffix .xml,
            and the .bin file is written beside it. Of the settings it reads float_layers.

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
    """Fold constant expressions, in place.

    An IR read from ONNX computes the shape of each bias from that of its convolution. NNCF does not
    recognise such a bias, and silently corrects none.
    """
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)


def _twin(model: openvino.Model, layer: onnx.NodeProto) -> str:
    """The name in the IR of a layer of the ONNX graph, by its output, whose name the IR keeps."""
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
