"""Every lint rule: for whom, how grave, why, and what to do; the checks stand beside this file."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from landmint.export.finding import Target
from landmint.export.lint import general, layout, operators, tensorrt
from landmint.export.lint.rule import Rule
from landmint.runtime.formats import FORMATS, Format

TARGETS: tuple[Format, ...] = tuple(FORMATS)
"""In the order in which they are told."""

EVERY: Target = "every target"
_PLACEMENT = "place the pairs by the rules: `landmint quantize` does"
_DECOMPOSE = "train the student with ReLU or ReLU6, or leave the layers around it in float"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "non-finite-constant": Rule(
            EVERY, "error", "any", general.non_finite,
            "whatever is computed from it is NaN too, and no scale spans it",
            "train again from the last sound checkpoint; look at the loss",
        ),
        "dynamic-shape": Rule(
            EVERY, "error", "any", general.dynamic_shapes,
            "converters, XNNPACK and TensorRT plan memory and kernels for one shape",
            "export the network for one input size and batch 1",
        ),
        "unfolded-operator": Rule(
            EVERY, "error", "any", general.unfolded,
            "it should have been folded into weights and shapes; INT8 needs it so",
            "export in eval mode and simplify, or build the network from layers that fold",
        ),
        "dead-channel": Rule(
            EVERY, "warning", "any", general.dead_channels,
            "it costs time and gives nothing; its own INT8 scale would be zero",
            "train with less weight decay, or prune the channels",
        ),
        "output-grid": Rule(
            EVERY, "warning", "any", general.output_floor,
            "one scale spans coordinates from 0 to 1 in 255 steps",
            "leave the last layer in float, as `landmint quantize` does, or take a PIP head",
        ),
        "mixed-output": Rule(
            EVERY, "warning", "any", general.mixed_outputs,
            "the widest of them sets the one scale, and the others lose their digits",
            "return them as outputs of their own",
        ),
        "onnx-float-operator": Rule(
            "onnx", "warning", "float", partial(operators.float_operators, target="onnx"),
            "ONNX Runtime has no integer kernel for it: two conversions stand around it",
            "replace the operator in the network, if the advice after measuring says it costs",
        ),
        "onnx-activation-per-channel": Rule(
            "onnx", "error", "paired", tensorrt.per_tensor,
            "ONNX Runtime's integer kernels take one scale for an activation; it does not load",
            "quantise activations per tensor: `landmint quantize` does",
        ),
        "openvino-float-operator": Rule(
            "openvino", "warning", "float", partial(operators.float_operators, target="openvino"),
            "OpenVINO's CPU plugin runs it in f32 between INT8 layers",
            "replace the operator in the network, if the advice after measuring says it costs",
        ),
        "openvino-opset": Rule(
            "openvino", "warning", "any", layout.old_opset,
            "before opset 13 a weight has one scale; per channel is what saves depthwise layers",
            "export with opset 13 or later",
        ),
        "tflite-no-operator": Rule(
            "tflite", "error", "float", operators.without_builtin,
            "the converter fails, or wants operators that no board has",
            "build the network from other operators: ReLU or hard-swish, linear upsampling",
        ),
        "tflite-outside-float": Rule(
            "tflite", "warning", "float", partial(operators.outside, precision="float32"),
            "plain kernels are slow, and each border between them and XNNPACK costs a copy",
            "replace the operators in the network",
        ),
        "tflite-outside-int8": Rule(
            "tflite", "warning", "float", partial(operators.outside, precision="int8"),
            "plain kernels are slow, and each border between them and XNNPACK costs a copy",
            "replace the operators in the network",
        ),
        "tflite-converted": Rule(
            "tflite", "warning", "float", operators.in_float_in_xnnpack,
            "there is no INT8 form of it, so its tensor is widened and narrowed again",
            _DECOMPOSE,
        ),
        "tflite-padding": Rule(
            "tflite", "warning", "float", layout.odd_padding,
            "only zeros fold into the convolution behind; other values widen its INT8 range too",
            "pad with zeros, within the convolution",
        ),
        "tflite-channels": Rule(
            "tflite", "warning", "float", layout.odd_channels,
            "INT8 kernels compute 8 output channels and read 4 input channels at a time; the rest "
            "is padding",
            "choose multiples of 8; a head's channels follow from its landmarks and stay",
        ),
        "tensorrt-no-int8": Rule(
            "tensorrt", "warning", "float", tensorrt.float_only,
            "it runs in float16, behind a conversion",
            "decode outside of the graph, or replace the operator",
        ),
        "tensorrt-small-layer": Rule(
            "tensorrt", "warning", "float", tensorrt.small_layers,
            "it stays in float16: rule 9 of explicit quantisation",
            "choose 16 channels or more, multiples of 8, and kernels of 3 in grouped layers",
        ),
        "tensorrt-gate": Rule(
            "tensorrt", "warning", "float", tensorrt.float_gates,
            "the product behind the gate does not fuse, so the gate stays in float16",
            "train the student without squeeze-and-excitation",
        ),
        "tensorrt-1-symmetric": Rule(
            "tensorrt", "error", "paired", tensorrt.symmetric,
            "TensorRT knows INT8 with a zero point of zero, and nothing else", _PLACEMENT,
        ),
        "tensorrt-2-scale": Rule(
            "tensorrt", "error", "paired", tensorrt.positive,
            "scales must be constant and positive; a dead channel's is zero", _PLACEMENT,
        ),
        "tensorrt-3-per-tensor": Rule(
            "tensorrt", "error", "paired", tensorrt.per_tensor,
            "only a constant weight may have a scale for each channel", _PLACEMENT,
        ),
        "tensorrt-4-axis": Rule(
            "tensorrt", "error", "paired", tensorrt.written_axis,
            "the channel axis must be written: 0 for Conv, 1 for ConvTranspose", _PLACEMENT,
        ),
        "tensorrt-5-bias": Rule(
            "tensorrt", "error", "paired", tensorrt.float_bias,
            "a bias is never quantised", _PLACEMENT,
        ),
        "tensorrt-6-layer": Rule(
            "tensorrt", "warning", "paired", tensorrt.whole_layers,
            "a layer is INT8 when all of its inputs are, and nothing parts it from its activation",
            _PLACEMENT,
        ),
        "tensorrt-7-residual": Rule(
            "tensorrt", "warning", "paired", tensorrt.residuals,
            "an Add fuses into one convolution; its other inputs must be quantised", _PLACEMENT,
        ),
        "tensorrt-8-others": Rule(
            "tensorrt", "warning", "paired", tensorrt.no_strangers,
            "other operators are INT8 only with INT8 in and out; a lone pair breaks a fusion",
            _PLACEMENT,
        ),
        "tensorrt-9-small": Rule(
            "tensorrt", "warning", "paired", tensorrt.large_enough,
            "there is no good INT8 kernel for it", _PLACEMENT,
        ),
        "tensorrt-10-half": Rule(
            "tensorrt", "error", "paired", tensorrt.half_elsewhere,
            "TensorRT 11 takes precision from the graph: what is not INT8 must be float16",
            "type the graph in float16: `landmint quantize` does",
        ),
    }
)  # fmt: skip
"""Every rule by its id, general ones first, then target by target."""
