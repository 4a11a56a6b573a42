"""The process that makes TFLite files: onnx2tf makes a Keras network, TensorFlow the files.

Run as `python -m landmint.export.forms.tflite_worker`, with the request on its standard input, in a
working directory that may be littered. Nothing else imports it: it lives on tensorflow.
"""

import os
import sys
from collections.abc import Mapping
from json import load
from pathlib import Path
from typing import Any

# Read by TensorFlow while it is imported: no chatter, and no GPU memory taken for a conversion.
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnx2tf  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.python.framework.convert_to_constants import (  # noqa: E402
    convert_variables_to_constants_v2,
)

from landmint.export.forms.tflite import give_four_axes, spread_hard_sigmoid  # noqa: E402

# onnx2tf looks for these pictures in the working directory, and else downloads them.
_SAMPLE_FILE = "calibration_image_sample_data_20x128x128x3_float32.npy"
_FOLDER = "saved_model"
_SAMPLE_SHAPE = (20, 128, 128, 3)


def main(request: Mapping[str, Any]) -> None:
    """Convert request["onnx"] into the files that the request names.

    Args:
        request: "onnx" path, "inputs" names, "outputs" name to shape (batch and channels last);
            "tflite" precision to path.
    """
    network = _keras(Path(request["onnx"]))
    module = _signed(network, request["inputs"], request["outputs"])
    tf.saved_model.save(module, _FOLDER, signatures={"serving_default": module.serve})
    for precision, path in request["tflite"].items():
        Path(path).write_bytes(_flatbuffer(half=precision == "float16"))


def _keras(onnx_path: Path) -> Any:
    model = onnx.load(onnx_path)
    spread_hard_sigmoid(model.graph)
    give_four_axes(model)
    onnx.save(model, "model.onnx")
    return onnx2tf.convert(
        input_onnx_file_path="model.onnx",
        output_folder_path="keras",
        custom_input_op_name_np_data_path=_samples(model.graph),
        keep_shape_absolutely_input_names=[v.name for v in model.graph.input if not _is_map(v)],
        not_use_onnxsim=True,  # to_onnx has done that
        disable_model_save=True,  # saving the unfrozen network takes longer than all the rest
        non_verbose=True,
    )


def _samples(graph: onnx.GraphProto) -> list[list[str]]:
    """Write random numbers for each input; returns its name and the file.

    On them onnx2tf compares every layer with ONNX's, to learn which axis of a square map is which.
    By default it feeds ones to an input that is no picture, on which all axes look alike.
    """
    rng = np.random.default_rng(0)
    np.save(_SAMPLE_FILE, rng.random(_SAMPLE_SHAPE, dtype=np.float32))
    files = []
    for place, value in enumerate(graph.input):
        shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        if _is_map(value):
            shape = [shape[0], *shape[2:], shape[1]]
        np.save(f"{place}.npy", rng.random(shape, dtype=np.float32))
        files.append([value.name, f"{place}.npy"])
    return files


def _is_map(value: onnx.ValueInfoProto) -> bool:
    """Whether an input is an image or a map, whose channels come last in TFLite."""
    return len(value.type.tensor_type.shape.dim) == 4


def _signed(network: Any, inputs: list[str], shapes: Mapping[str, list[int]]) -> Any:
    """The network as constants behind a signature with the contract's names.

    onnx2tf keeps the order of inputs and outputs but renames them. So names are given by position,
    and shapes are checked. Two outputs of equal shape that were swapped would fail the parity
    check.
    """
    actual = [list(output.shape) for output in network.outputs]
    if actual != list(shapes.values()):
        sys.exit(f"onnx2tf returned outputs of shapes {actual}, expected {dict(shapes)}")
    specs = [
        tf.TensorSpec(tensor.shape, tf.float32, name=name)
        for tensor, name in zip(network.inputs, inputs, strict=True)
    ]
    variable = tf.function(lambda *tensors: network(list(tensors), training=False))
    frozen = convert_variables_to_constants_v2(variable.get_concrete_function(*specs))

    module = tf.Module()
    module.serve = tf.function(
        lambda *tensors: dict(zip(shapes, frozen(*tensors), strict=True)), input_signature=specs
    )
    return module


def _flatbuffer(half: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(_FOLDER)
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    content: bytes = converter.convert()
    return content


if __name__ == "__main__":
    main(load(sys.stdin))
