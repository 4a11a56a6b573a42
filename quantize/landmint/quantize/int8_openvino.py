"""OpenVINO IR to INT8 IR by NNCF: preset MIXED, with bias correction.

Not accuracy-aware quantisation: no layer is put back to float for its effect on NME.
"""

import logging

import nncf
import openvino
from openvino.passes import ConstantFolding, Manager

from landmint.quantize.heads import float_outputs
from landmint.quantize.job import Job

_WEIGHTED = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")
# NNCF takes the mean of the faces' extremes, beyond which about half of the faces saturate. On a
# PFLD over MobileNetV3-Small that trebled the drift (2.2 % of the inter-ocular distance, not 0.7).
_OUTERMOST = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX


def quantize(job: Job) -> dict[str, str]:
    """Write the INT8 twin of a float32 IR.

    Args:
        job: from `landmint.export.to_openvino` to .xml, whose .bin stands beside it; reads the
            setting bias_correction.

    Returns:
        notes for the manifest.
    """
    nncf.set_log_level(logging.ERROR)
    model = openvino.Core().read_model(job.source)
    _fold(model)
    in_float = _last_layers(model, float_outputs(job.contract))
    quantised = nncf.quantize(
        model,
        nncf.Dataset([face[None] for face in job.tensors]),
        subset_size=len(job.tensors),
        preset=nncf.QuantizationPreset.MIXED,
        fast_bias_correction=job.config.bias_correction != "full",
        ignored_scope=nncf.IgnoredScope(names=in_float) if in_float else None,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            disable_bias_correction=job.config.bias_correction == "none",
            activations_range_estimator_params=_OUTERMOST,
        ),
    )
    openvino.save_model(quantised, job.target, compress_to_fp16=False)
    return {
        "bias correction": job.config.bias_correction,
        "float layers": ", ".join(in_float) or "none",
    }


def _fold(model: openvino.Model) -> None:
    """Make constants of what is constant.

    An IR read from ONNX reshapes each bias by the shape of its convolution; NNCF then finds no
    bias, and corrects none, without a word.
    """
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)


def _last_layers(model: openvino.Model, outputs: frozenset[str]) -> list[str]:
    """Names of the weighted nodes that make these outputs, bias and reshapes set aside."""
    found = []
    for output in model.outputs:
        node = output.get_node().input_value(0).get_node()
        while node.get_type_name() not in _WEIGHTED and node.get_input_size():
            node = node.input_value(0).get_node()
        if output.get_names() & outputs and node.get_type_name() in _WEIGHTED:
            found.append(node.get_friendly_name())
    return sorted(found)
