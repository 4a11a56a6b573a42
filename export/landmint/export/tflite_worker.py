"""The process behind `to_tflite`: onnx2tf to a Keras network, TensorFlow to files.

Run as `python -m landmint.export.tflite_worker REQUEST` in a working directory that may be
littered. Nothing else imports it: it lives on tensorflow.
"""

import os
import sys
from collections.abc import Mapping
from json import loads
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

from landmint.export.to_tflite import spread_hard_sigmoid  # noqa: E402

# onnx2tf looks for these pictures in the working directory, and else downloads them. It compares
# each layer with the ONNX one on them; any numbers in [0, 1] do.
_SAMPLE_FILE = "calibration_image_sample_data_20x128x128x3_float32.npy"
_SAMPLE_SHAPE = (20, 128, 128, 3)


def main(request: Mapping[str, Any]) -> None:
    """Convert request["onnx"] into the files that the request names.

    Args:
        request: "onnx" path, "input" name, "outputs" name to shape (batch and channels last);
            "tflite" precision to path and "saved_model" folder where wanted; "pseudo" operators
            to be kept apart.
    """
    network = _keras(Path(request["onnx"]), list(request.get("pseudo", ())))
    module = _signed(network, request["input"], request["outputs"])
    folder = request.get("saved_model", "saved_model")
    tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
    for precision, path in request.get("tflite", {}).items():
        Path(path).write_bytes(_flatbuffer(folder, half=precision == "float16"))


def _keras(onnx_path: Path, pseudo: list[str]) -> Any:
    sample = np.random.default_rng(0).random(_SAMPLE_SHAPE, dtype=np.float32)
    np.save(_SAMPLE_FILE, sample)
    model = onnx.load(onnx_path)
    spread_hard_sigmoid(model.graph)
    onnx.save(model, "model.onnx")
    return onnx2tf.convert(
        input_onnx_file_path="model.onnx",
        output_folder_path="keras",
        not_use_onnxsim=True,  # to_onnx has done that
        replace_to_pseudo_operators=pseudo,
        disable_model_save=True,  # saving the unfrozen network takes longer than all the rest
        non_verbose=True,
    )


def _signed(network: Any, input_name: str, shapes: Mapping[str, list[int]]) -> Any:
    """The network as constants behind a signature with the contract's names.

    onnx2tf keeps the outputs in ONNX order but renames them, so names are given by position and
    the shapes checked; that no two of equal shape were swapped is what the parity check is for.
    """
    found = [list(output.shape) for output in network.outputs]
    if found != list(shapes.values()):
        sys.exit(f"onnx2tf returned outputs of shapes {found}, expected {dict(shapes)}")
    spec = tf.TensorSpec(network.inputs[0].shape, tf.float32, name=input_name)
    variable = tf.function(lambda image: network(image, training=False))
    frozen = convert_variables_to_constants_v2(variable.get_concrete_function(spec))

    module = tf.Module()
    module.serve = tf.function(
        lambda image: dict(zip(shapes, frozen(image), strict=True)), input_signature=[spec]
    )
    return module


def _flatbuffer(saved_model: str, half: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    content: bytes = converter.convert()
    return content


if __name__ == "__main__":
    main(loads(sys.argv[1]))
