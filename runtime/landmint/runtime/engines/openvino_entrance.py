"""Lets a quantised OpenVINO model take a picture's integers, where its file takes real numbers."""

from typing import Any

import numpy as np

from landmint.runtime.quantised import Quantisation

_LEVELS = 256
_OFF_LEVEL = 1e-3
"""How far zero may lie from a level, in levels: ends of ranges are written as float32."""


def take_integers(model: Any) -> Quantisation | None:
    """Replace a model's input by one of bytes, where all that reads it rounds it to 256 levels.

    The bytes are those levels. So the model computes what it did, and spares the rounding.

    Args:
        model: an `openvino.Model`, which is changed.

    Returns:
        What the bytes stand for; None where the model was left as it is.
    """
    from openvino import opset8 as operators

    (place,) = model.inputs
    readers = list(place.get_target_inputs())
    rounding = readers[0].get_node() if len(readers) == 1 else None
    if rounding is None or rounding.get_type_name() != "FakeQuantize":
        return None
    ends = [_number(rounding.input_value(i).get_node()) for i in range(1, 5)]
    entrance, leaving = _bytes(*ends[:2]), _bytes(*ends[2:])
    if rounding.get_attributes()["levels"] != _LEVELS or entrance is None or leaving is None:
        return None
    image = operators.parameter(list(place.shape), np.uint8, name=place.get_node().friendly_name)
    image.output(0).tensor.set_names(place.get_names())
    reals = operators.convert(image, np.float32)
    if leaving.zero_point:
        reals = operators.subtract(reals, np.float32(leaving.zero_point))
    reals = operators.multiply(reals, np.float32(leaving.scale))
    for reader in list(rounding.output(0).get_target_inputs()):
        reader.replace_source_output(reals.output(0))
    model.add_parameters([image])
    model.remove_parameter(place.get_node())
    model.validate_nodes_and_infer_types()
    return entrance


def _number(node: Any) -> float:
    """A constant's only value; NaN of anything else."""
    values = node.get_data() if node.get_type_name() == "Constant" else np.empty(0)
    return float(values.item()) if values.size == 1 else float("nan")


def _bytes(low: float, high: float) -> Quantisation | None:
    """Bytes from the lowest to the highest of 256 levels; None where zero is not one of them."""
    scale = (high - low) / (_LEVELS - 1)
    zero = -low / scale if scale > 0 else float("nan")
    if not (0 <= zero <= _LEVELS - 1 and abs(zero - round(zero)) < _OFF_LEVEL):
        return None
    return Quantisation(scale, round(zero), np.dtype(np.uint8))
