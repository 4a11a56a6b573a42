"""How channels and padding of a graph fit an engine's kernels."""

from collections.abc import Iterator

import numpy as np

from landmint.export.graphs import attribute, output_axis
from landmint.export.lint.rule import Breach, Subject

_OUTPUTS, _INPUTS = 8, 4  # what the INT8 kernels of XNNPACK compute and read at a time
_OPSET_OF_AXIS = 13


def odd_channels(subject: Subject) -> Iterator[Breach]:
    """Layers whose channels do not fill INT8 kernels; the image's own three do not count."""
    images = {value.name for value in subject.graph.input}
    for node in subject.graph.node:
        weight = subject.wiring.constants.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type not in ("Conv", "ConvTranspose") or weight is None:
            continue
        axis, group = output_axis(node), int(attribute(node, "group", 1))
        outputs = weight.dims[axis] * (group if axis == 1 else 1)
        inputs = weight.dims[1 - axis] * (group if axis == 0 else 1)
        if outputs % _OUTPUTS or (inputs % _INPUTS and node.input[0] not in images):
            yield node.name, f"{inputs} channels in, {outputs} out"


def odd_padding(subject: Subject) -> Iterator[Breach]:
    """Pads of anything but zeros, and pads that no convolution can take in."""
    for node in subject.graph.node:
        if node.op_type != "Pad":
            continue
        mode = attribute(node, "mode", b"constant").decode()
        value = subject.wiring.array(node.input[2]) if len(node.input) > 2 else None
        if mode != "constant":
            yield node.name, f"pads by {mode}"
        elif value is not None and np.any(value != 0):
            yield node.name, f"pads with {float(value.flat[0]):g}"
        elif any(reader.op_type != "Conv" for reader in subject.wiring.readers(node.output[0])):
            yield node.name, "pads for something that is no convolution"


def old_opset(subject: Subject) -> Iterator[Breach]:
    """Graphs from before Q/DQ knew an axis."""
    for opset in subject.model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < _OPSET_OF_AXIS:
            yield "", f"opset {opset.version}"
